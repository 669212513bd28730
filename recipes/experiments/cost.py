"""What an experiment will cost, and what it could find, before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from data_recipes.common.statistics import detectable_effect

from .config import KNOWLEDGE, ExperimentConfig
from .measures import training_seconds
from .results import known_spread
from .runs import PlannedStage, Run

# Bytes a parameter: fp32 weights of `final/`; a checkpoint has AdamW's two moments as well.
_FINAL, _CHECKPOINT = 4, 12


@dataclass(frozen=True)
class Cost:
    """Of stages.

    Attributes:
        tokens: to train on.
        flops: of that training.
        gigabytes: on disk, with checkpoints.
    """

    tokens: int
    flops: float
    gigabytes: float


def cost_of(cells: Iterable[PlannedStage]) -> Cost:
    """Add up what stages cost from their shapes and lengths, each once."""
    from ..build import trained_shape  # loads torch
    from ..engine.flops import count_parameters, count_view_parameters, flops_per_token

    flops, size, tokens = 0.0, 0.0, 0
    for cell in {cell.directory: cell for cell in cells}.values():
        shape, config = trained_shape(cell.config), cell.config
        views = config.model.views
        flops += flops_per_token(shape, config.batch.sequence_length, views) * cell.tokens
        tokens += cell.tokens
        kept = config.logging.keep_checkpoints or cell.tokens // config.logging.save_every_tokens
        if every := config.logging.keep_every_tokens:
            kept += cell.tokens // every
        checkpoint = _CHECKPOINT + (_FINAL if config.logging.average_tokens else 0)
        size += count_parameters(shape) * (_FINAL + kept * checkpoint)
        size += count_view_parameters(shape, views) * kept * _CHECKPOINT
    return Cost(tokens, flops, size / 1e9)


def _cells(left: list[Run]) -> list[PlannedStage]:
    """List the stages of runs that are not finished, and the parents that are not."""
    cells = [cell for run in left for cell in run.cells]
    return cells + [run.parent for run in left if run.parent and not run.parent.done]


def _hours(left: list[Run], done: list[Run], published: list[dict[str, Any]], size: str) -> str:
    """Time of training proper, from the nearest thing that was measured."""
    cost, rate = cost_of(_cells(left)), None
    if seconds := training_seconds(cell for run in done for cell in run.cells):
        rate, source = sum(run.tokens for run in done) / seconds, "as the finished runs"
    else:
        for results in published:
            own = results["runs"]
            if results["size"] == size and (seconds := sum(run["seconds"] for run in own)):
                rate = sum(run["tokens"] for run in own) / seconds
                source = f"as {results['name']} on {results['machine']['processor']}"
                break
    if rate is None:
        parallelism = left[0].cells[-1].config.parallelism
        from ..engine.flops import peak_flops

        peak = peak_flops(parallelism.gpu) if parallelism.require_gpu else None
        if peak is None:
            return "unknown until a run is finished"
        hours = cost.flops / (parallelism.planned_mfu * peak) / 3600
        return f"{hours:,.0f} GPU-hours on {parallelism.gpu} at {parallelism.planned_mfu:.0%} MFU"
    return f"{cost.tokens / rate / 3600:.2f} hours of training at {rate:,.0f} tokens/s, {source}"


def cost_lines(
    size: str, left: list[Run], done: list[Run], published: list[dict[str, Any]]
) -> list[str]:
    """Say what is left to do and what it costs (`cost_report`)."""
    lines = [f"runs                  {len(left)} to do, {len(done)} finished"]
    if left and left[0].cells[0].stage == KNOWLEDGE:
        lines.append(f"steps                 {sum(run.cells[0].config.steps for run in left):,}")
    elif left:
        cost = cost_of(_cells(left))
        lines += [
            f"tokens                {cost.tokens:,}",
            f"FLOPs                 {cost.flops:.3g}",
            f"time                  {_hours(left, done, published, size)}",
            f"disk                  {cost.gigabytes:.1f} GB",
        ]
    return lines


def cost_report(
    experiment: ExperimentConfig,
    size: str,
    left: list[Run],
    done: list[Run],
    own: dict[str, Any] | None,
    published: list[dict[str, Any]],
) -> str:
    """Say what is left to do, what it costs, and the smallest effect that it would find.

    Args:
        experiment: the experiment.
        size: of its recipes.
        left: runs to do.
        done: finished ones.
        own: earlier results of the same experiment.
        published: those of all.
    """
    lines = cost_lines(size, left, done, published)
    pairs = len(experiment.seeds)
    for measure, smallest in experiment.decide.items():
        spread = known_spread([*([own] if own else []), *published], size, measure)
        found = "nobody knows: no experiment of this size has measured how far pairs lie apart"
        if spread is not None:
            effect = detectable_effect(pairs, spread)
            found = f"{effect:.3f}, as paired differences have a standard deviation of {spread:.4f}"
        lines.append(
            f"{measure:<22}{smallest:g} would matter; what {pairs} seeds find four times in five: "
            f"{found}"
        )
    return "\n".join(lines)
