"""Step counts, every one of them derived from tokens."""

from dataclasses import dataclass

from data_recipes.common.errors import RecipeError

from ..config import StageConfig


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
