"""What an experiment will cost, and what it could find, before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from data_recipes.common.statistics import detectable_effect

from .config import ROW_STAGES, ExperimentConfig
from .measures import training_seconds
from .needs import missing
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
    """Add up what stages of pretraining cost from their shapes and lengths, each once."""
    from ..build import trained_shape  # loads torch
    from ..engine.metrics import count_parameters, count_view_parameters, flops_per_token

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


def _row_lines(
    left: list[Run], done: list[Run], published: list[dict[str, Any]], size: str
) -> list[str]:
    """How long the stages are that train on rows, and what a run of them took."""
    cells = [cell for run in left for cell in run.cells if cell.on_rows]
    lines = []
    for stage in dict.fromkeys(cell.stage for cell in cells):
        own = [cell for cell in cells if cell.stage == stage]
        # None says it where rows do.
        steps = sum(cell.steps or 0 for cell in own) if all(cell.steps for cell in own) else None
        if steps is None:
            lines.append(f"{stage:<22}{len(own)} times the epochs of its rows")
            continue
        per_step = getattr(own[0].config.batch, "tokens_per_step", None)
        tokens = f", of {per_step:,} tokens at most" if per_step else ""
        lines.append(f"{stage:<22}{steps:,} steps in {len(own)} runs{tokens}")
    if not cells:
        return []
    took, source = training_seconds(c for run in done for c in run.cells), "the finished runs"
    runs = len(done)
    for results in published:
        same = [cell.stage for cell in left[0].cells] == results["experiment"]["stages"]
        if not took and same and results["size"] == size:
            took, runs = sum(run["seconds"] for run in results["runs"]), len(results["runs"])
            source = f"{results['name']} on {_processor(results)}"
    said = "unknown until a run is finished"
    if took:
        said = f"{took / runs * len(left) / 3600:.2f} hours of training, as {source}"
    name = "time" if all(c.on_rows for run in left for c in run.cells) else "time, with these"
    lines.append(f"{name:<22}{said}; questions come on top")
    return lines


def _processor(results: dict[str, Any]) -> str:
    return results["machine"].get("processor", "a machine that nobody recorded")


def _hours(
    left: list[PlannedStage],
    cost: Cost,
    done: list[Run],
    published: list[dict[str, Any]],
    size: str,
) -> str:
    """Time of pretraining proper, from the nearest thing that was measured."""
    rate = None
    if seconds := training_seconds(c for run in done for c in run.cells if not c.on_rows):
        rate, source = sum(run.tokens for run in done) / seconds, "as the finished runs"
    else:
        for results in published:
            own = results["runs"]
            if results["size"] != size or {*results["experiment"]["stages"]} & {*ROW_STAGES}:
                continue
            if seconds := sum(run["seconds"] for run in own):
                rate = sum(run["tokens"] for run in own) / seconds
                source = f"as {results['name']} on {_processor(results)}"
                break
    if rate is None:
        parallelism = left[0].config.parallelism
        from ..engine.metrics import peak_flops

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
    if cells := [cell for cell in _cells(left) if not cell.on_rows]:
        cost = cost_of(cells)
        lines += [
            f"tokens                {cost.tokens:,}",
            f"FLOPs                 {cost.flops:.3g}",
            f"time                  {_hours(cells, cost, done, published, size)}",
            f"disk                  {cost.gigabytes:.1f} GB",
        ]
    return lines + _row_lines(left, done, published, size)


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
    # What is nearest decides: how it came out when it was published itself.
    published = sorted(published, key=lambda r: r["experiment"]["question"] != experiment.question)
    lines = cost_lines(size, left, done, published)
    made_on_the_way, first = missing(experiment, left)
    if made_on_the_way:
        lines.append(f"made on the way       {', '.join(made_on_the_way)}: not in these figures")
    lines += [f"missing               {line}" for line in first]
    pairs = len(experiment.seeds)
    lines.append(f"what would matter, and what {pairs} seeds find four times in five, if alone:")
    width = max(map(len, experiment.decide))
    for measure, smallest in experiment.decide.items():
        known = known_spread([*([own] if own else []), *published], size, measure)
        found = "nobody knows, as no experiment of this size has measured it"
        if known is not None:
            effect, (spread, name) = detectable_effect(pairs, known[0]), known
            found = f"{effect:.3f}, as paired differences have a standard deviation of {spread:.4f}"
            found += f" in {name}"
        lines.append(f"  {measure:<{width}}  {smallest:<6g}{found}")
    return "\n".join(lines)
