"""Stage 2: higher-quality text, synthetic Korean and reasoning (KORMo section 4: 1.8 T tokens).

    accelerate launch recipes/stage2.py                             # tiny, minutes on a laptop
    accelerate launch recipes/stage2.py --config 10b/stage2.yaml --dry-run
    accelerate launch recipes/stage2.py optimizer.learning_rate=1e-3 logging.output_dir=runs/x

It starts from stage 1's weights with a fresh optimizer: a new schedule warms up again, and the old
moments belong to other data. Korean text from a single synthesizer is refused, because that run
collapsed. Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.arguments import check_machine, start_processes, training_arguments
from recipes.build import build_mixture, build_model, build_tokenizer
from recipes.command_line import exit_on_error, parse_command_line
from recipes.engine.dry_run import plan_report
from recipes.engine.schedule import plan_steps
from recipes.inputs import ensure_inputs
from recipes.run import build_trainer, claim_output, export, train


def main() -> None:
    invocation = parse_command_line("stage2", __doc__)
    config = invocation.config
    steps = plan_steps(config)
    if invocation.dry_run:
        print(plan_report(config, steps))
        return

    check_machine(config)
    start_processes()
    args = training_arguments(config, steps)
    claim_output(config.logging.output_dir)
    ensure_inputs(config)  # at tiny size: data and stage 1, if they are not there

    tokenizer = build_tokenizer(config)
    mixture = build_mixture(config, steps, tokenizer)
    model = build_model(config, tokenizer)
    trainer = build_trainer(config, args, steps, model, tokenizer, mixture)

    train(trainer, config, mixture, steps)
    export(trainer, config, tokenizer, mixture, steps)


if __name__ == "__main__":
    exit_on_error(main)
