"""The training of a language model from top to bottom, for every stage of pretraining.

`stage1.py`, `stage2.py`, `midtrain_long.py` and `midtrain_reasoning.py` say what is different in
each, as rules. How one step is made stands in `recipes/engine/trainer.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_recipes.common.config_files import parse_recipe
from data_recipes.common.errors import RecipeError

from .command_line import CONFIGS, EXAMPLE
from .config import PretrainingStage, StageConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from data_recipes.tokens.mixture import Mixture

    Check = Callable[[StageConfig, Mixture, PreTrainedTokenizerBase], None]


@dataclass(frozen=True)
class StageRules:
    """What makes a stage of pretraining the stage that it is, declared by its script.

    Attributes:
        stage: its name, that of its script and of its configs.
        parent: stage whose weights it starts from; `None` is a random initialisation. Weights
            alone: optimizer and schedule begin afresh, because the warm-up does and the old moments
            belong to other data (KORMo section 4).
        unscored: tokens that are read and carry no loss.
        short_text: the config says how much short text there must be, and `checks` look for it.
        grows: the config says how the parent grows.
        expands: the parent has new rows, made by `kormo expand-vocabulary`, and the config says how
            long they are trained before the rest.
        checks: of the mixture, before anything is trained. Each raises `RecipeError`.
    """

    stage: PretrainingStage
    parent: PretrainingStage | None
    unscored: tuple[str, ...] = ()
    short_text: bool = False
    grows: bool = False
    expands: bool = False
    checks: tuple[Check, ...] = ()

    def check_config(self, config: StageConfig) -> None:
        """Check the keys that belong to one stage alone.

        Raises:
            RecipeError: keys about short text, growth or new rows in a stage without, or one of
                them missing.
        """
        for key, owner, wanted in (
            ("growth", "grow", self.grows),
            ("unfreezing", "expand", self.expands),
        ):
            if (getattr(config, key) is not None) != wanted:
                raise RecipeError(
                    f"{key}: belongs to the stage {owner}, which needs it; this is {self.stage}"
                )
        if self.grows and config.model.init_from is None:
            raise RecipeError("model.init_from: growth needs a model to start from")
        if self.expands and config.model.init_from is None:
            raise RecipeError(
                "model.init_from: new rows need a model to stand in; make it with "
                "`kormo expand-vocabulary`"
            )
        data = config.data
        given = {data.short_document_tokens is not None, data.min_short_share is not None}
        if given != {self.short_text}:
            raise RecipeError(
                "data.short_document_tokens and data.min_short_share belong to midtrain_long, "
                f"which needs both; this is {self.stage}"
            )


@dataclass(frozen=True)
class Steps:
    """A stage in optimizer steps.

    Attributes:
        total: steps of the stage.
        warmup: steps of rising learning rate.
        decay: steps of falling learning rate at the end.
        eval_every: steps between measurements of bits per byte.
        save_every: steps between checkpoints.
    """

    total: int
    warmup: int
    decay: int
    eval_every: int
    save_every: int


def plan_steps(config: StageConfig) -> Steps:
    """Turn the tokens of a config into steps.

    Raises:
        RecipeError: less than one step, or warm-up and decay, or what an expansion trains first,
            longer than the stage.
    """
    batch, schedule = config.batch, config.schedule
    total = schedule.total_tokens // batch.tokens_per_step
    if total == 0:
        raise RecipeError(
            f"schedule.total_tokens ({schedule.total_tokens:,}) is less than one step of "
            f"batch.tokens_per_step ({batch.tokens_per_step:,})"
        )
    warmup = round(total * schedule.warmup_fraction)
    decay = round(schedule.decay_tokens / batch.tokens_per_step)
    if warmup + decay > total:
        raise RecipeError(
            f"warm-up ({warmup:,} steps) plus decay ({decay:,} steps) exceed the stage "
            f"({total:,} steps): lower schedule.warmup_fraction or schedule.decay_tokens, or raise "
            "schedule.total_tokens"
        )
    held = config.unfreezing.model_dump() if config.unfreezing else {}
    if sum(held.values()) > schedule.total_tokens:
        raise RecipeError(
            "unfreezing: new_rows_tokens and matrices_tokens exceed schedule.total_tokens "
            f"({schedule.total_tokens:,}); lower them"
        )
    for key, tokens in held.items():
        if 0 < tokens < batch.tokens_per_step:
            raise RecipeError(
                f"unfreezing.{key}: {tokens:,} tokens are less than a step "
                f"({batch.tokens_per_step:,}); raise it, or give 0"
            )
    return Steps(
        total=total,
        warmup=warmup,
        decay=decay,
        eval_every=max(1, config.logging.eval_every_tokens // batch.tokens_per_step),
        save_every=max(1, config.logging.save_every_tokens // batch.tokens_per_step),
    )


@dataclass(frozen=True)
class BatchSplit:
    """A step over ranks and forward passes.

    Attributes:
        micro_batch: windows per rank and forward pass.
        accumulation: forward passes per rank and step.
    """

    micro_batch: int
    accumulation: int


def split_windows(config: StageConfig, ranks: int) -> BatchSplit:
    """Split a step over ranks and forward passes; the step itself never changes.

    Raises:
        RecipeError: the windows of a step cannot be split evenly over the ranks.
    """
    windows = config.batch.windows_per_step
    if windows % ranks:
        raise RecipeError(
            f"batch.tokens_per_step: {windows} windows a step cannot be split evenly over "
            f"{ranks} ranks; make tokens_per_step a multiple of {ranks} x batch.sequence_length, "
            "or change the number of processes"
        )
    per_rank = windows // ranks
    micro_batch = max(m for m in range(1, config.batch.micro_batch + 1) if per_rank % m == 0)
    return BatchSplit(micro_batch, per_rank // micro_batch)


def pretrain(rules: StageRules, description: str) -> None:
    """Train a stage as its command line says.

    Args:
        rules: of the stage.
        description: of the stage, for `--help`.

    Raises:
        RecipeError: anything that a user can mend.
    """
    invocation = parse_recipe(CONFIGS, rules.stage, StageConfig, description, EXAMPLE)
    config = invocation.config
    rules.check_config(config)
    steps = plan_steps(config)  # every count of steps follows from tokens

    # torch and transformers take seconds to load: a mistake above is told without them.
    from . import build
    from .arguments import check_machine, start_processes, training_arguments
    from .engine.checkpoints import begin_run, claim_output, list_checkpoints, run_fingerprint

    if invocation.dry_run:
        from .engine.dry_run import plan_report
        from .parent import check_start

        check_start(config, build.growth_of(config))
        print(plan_report(config, build.trained_shape(config), steps))
        print(f"starts from           {build.parent_of(config, rules).describe()}")
        return

    # Before anything is made or downloaded: can this machine do it, and is the output free?
    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    args = training_arguments(config, steps)
    claim_output(config.logging.output_dir)
    # At tiny size: data and the stages before, if they are missing.
    build.ensure_inputs(config, rules)

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
    checkpoint, step = None, 0
    fingerprint = run_fingerprint(config, mixture)
    if config.schedule.branch_from or list_checkpoints(config.logging.output_dir):
        from .engine.resume import find_checkpoint

        checkpoint, step = find_checkpoint(config, fingerprint, steps.total)
    else:
        begin_run(config.logging.output_dir, fingerprint)
    build.record_run(trainer, config, invocation.config_path, mixture, steps, step)
    trainer.run(checkpoint, step)

    build.export(trainer, config, tokenizer, mixture, steps)
