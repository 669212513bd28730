"""Reasoning mid-training: traces as raw text, everything learned but `<think>` itself.

    accelerate launch recipes/midtrain_reasoning.py                 # tiny, minutes on a laptop
    accelerate launch recipes/midtrain_reasoning.py --config 10b/midtrain_reasoning.yaml --dry-run

It starts from the long-context weights with a fresh optimizer (KORMo section 4: 157.8 B tokens).
Question, English chain of thought and Korean or English answer are one document; `<think>` carries
no loss, so that SFT can teach it as the trigger. General text is mixed in against forgetting.

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
    invocation = parse_command_line("midtrain_reasoning", __doc__)
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
