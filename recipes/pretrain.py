"""The training of a language model from top to bottom, for every stage of pretraining.

`stage1.py`, `stage2.py`, `midtrain_long.py` and `midtrain_reasoning.py` say what is different in
each, as rules. How one step is made stands in `recipes/engine/trainer.py`.
"""

from .command_line import parse_command_line
from .engine.schedule import plan_steps
from .rules import StageRules


def pretrain(rules: StageRules, description: str) -> None:
    """Train a stage as its command line says.

    Args:
        rules: of the stage.
        description: of the stage, for `--help`.

    Raises:
        RecipeError: anything that a user can mend.
    """
    invocation = parse_command_line(rules.stage, description)
    config = invocation.config
    rules.check_config(config)
    steps = plan_steps(config)  # every count of steps follows from tokens

    # torch and transformers take seconds to load: a mistake above is told without them.
    from . import build
    from .arguments import check_machine, start_processes, training_arguments
    from .engine.dry_run import plan_report
    from .engine.resume import claim_output, find_checkpoint
    from .inputs import describe_parent, ensure_inputs, is_parent_to_be_made

    if invocation.dry_run:
        growth = build.growth_of(config)
        shape = growth.new if growth else build.model_config(config, tokenizer=None)
        build.check_start(config, growth)
        print(plan_report(config, shape, steps))
        start = describe_parent(config.model.init_from, lambda: is_parent_to_be_made(config, rules))
        print(f"starts from           {start}")
        return

    # Before anything is made or downloaded: can this machine do it, and is the output free?
    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    args = training_arguments(config, steps)
    claim_output(config.logging.output_dir)
    ensure_inputs(config, rules)  # at tiny size: data and the stages before, if they are missing

    # Data: windows of token shards, drawn from the sources by their weights.
    tokenizer = build.build_tokenizer(config)
    mixture = build.build_mixture(config, steps, tokenizer)
    for check in rules.checks:
        check(config, mixture, tokenizer)

    # Weights: random, or those of the stage before, which `grow` makes deeper and wider. Either way
    # the optimizer is fresh, unless what has grown takes its moments along.
    model = build.build_model(config, tokenizer)
    trainer = build.build_trainer(config, rules, args, steps, model, tokenizer, mixture)

    # From the start, from where the last attempt was stopped, or from a branching point.
    checkpoint, step = find_checkpoint(config, mixture, steps)
    build.record_run(trainer, config, invocation.config_path, mixture, steps, step)
    trainer.run(checkpoint, step)

    build.export(trainer, config, tokenizer, mixture, steps)
