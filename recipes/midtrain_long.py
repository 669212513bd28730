"""Long-context mid-training: windows of 32,768 tokens, long documents with short text among them.

    accelerate launch recipes/midtrain_long.py                      # tiny: 256 to 2,048 tokens
    accelerate launch recipes/midtrain_long.py --config 10b/midtrain_long.yaml --dry-run
    accelerate launch recipes/midtrain_long.py model.rope_theta=2_000_000 logging.output_dir=runs/x

It starts from stage 2's weights with a fresh optimizer (KORMo section 4: 10.3 B tokens). A mixture
with too little short text is refused: without it, math and code degrade. Documents still do not see
each other, so only documents longer than the old windows teach anything about the new ones.

Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.arguments import check_machine, start_processes, training_arguments
from recipes.build import build_mixture, build_model, build_tokenizer
from recipes.command_line import exit_on_error, parse_command_line
from recipes.engine.dry_run import plan_report
from recipes.engine.schedule import plan_steps
from recipes.inputs import ensure_inputs
from recipes.run import build_trainer, claim_output, export, train


def main() -> None:
    invocation = parse_command_line("midtrain_long", __doc__)
    config = invocation.config
    steps = plan_steps(config)
    if invocation.dry_run:
        print(plan_report(config, steps))
        return

    check_machine(config)
    start_processes()
    args = training_arguments(config, steps)
    claim_output(config.logging.output_dir)
    ensure_inputs(config)  # at tiny size: data and the stages before, if they are not there

    tokenizer = build_tokenizer(config)
    mixture = build_mixture(config, steps, tokenizer)
    model = build_model(config, tokenizer)
    trainer = build_trainer(config, args, steps, model, tokenizer, mixture)

    train(trainer, config, mixture, steps)
    export(trainer, config, tokenizer, mixture, steps)


if __name__ == "__main__":
    exit_on_error(main)
