"""What an experiment will cost, and what it could find, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_recipes.common.statistics import detectable_effect

from .config import ExperimentConfig
from .measures import training_seconds
from .plan import Run
from .results import known_spread

# Bytes a parameter: fp32 weights of `final/`; a checkpoint has AdamW's two moments as well.
_FINAL, _CHECKPOINT = 4, 12


@dataclass(frozen=True)
class Cost:
    """Of the runs that are not finished.

    Attributes:
        runs: their number.
        tokens: to train on.
        flops: of that training.
        gigabytes: on disk, with checkpoints.
    """

    runs: int
    tokens: int
    flops: float
    gigabytes: float


def cost_of(runs: list[Run]) -> Cost:
    """Add up what runs cost from the shapes and lengths of their stages."""
    from ..build import model_config  # loads torch
    from ..engine.flops import count_parameters, count_view_parameters, flops_per_token

    flops = size = 0.0
    for run in runs:
        for cell in run.cells:
            shape, config = model_config(cell.config, None), cell.config
            views = config.model.views
            per_token = flops_per_token(shape, config.batch.sequence_length, views)
            flops += per_token * config.schedule.total_tokens
            kept = config.logging.keep_checkpoints or (
                config.schedule.total_tokens // config.logging.save_every_tokens
            )
            if every := config.logging.keep_every_tokens:
                kept += config.schedule.total_tokens // every
            checkpoint = _CHECKPOINT + (_FINAL if config.logging.average_tokens else 0)
            size += count_parameters(shape) * (_FINAL + kept * checkpoint)
            size += count_view_parameters(shape, views) * kept * _CHECKPOINT
    return Cost(len(runs), sum(run.tokens for run in runs), flops, size / 1e9)


def _hours(left: list[Run], done: list[Run], published: list[dict[str, Any]], size: str) -> str:
    """Time of training proper, from the nearest thing that was measured."""
    tokens, rate = sum(run.tokens for run in left), None
    if seconds := sum(map(training_seconds, done)):
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
        hours = cost_of(left).flops / (parallelism.planned_mfu * peak) / 3600
        return f"{hours:,.0f} GPU-hours on {parallelism.gpu} at {parallelism.planned_mfu:.0%} MFU"
    return f"{tokens / rate / 3600:.2f} hours of training at {rate:,.0f} tokens/s, {source}"


def cost_lines(
    size: str, left: list[Run], done: list[Run], published: list[dict[str, Any]]
) -> list[str]:
    """Say what is left to do and what it costs (`cost_report`)."""
    lines = [f"runs                  {len(left)} to do, {len(done)} finished"]
    if left:
        cost = cost_of(left)
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
