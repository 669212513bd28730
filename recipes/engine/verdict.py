"""Whether replayed steps are those that were recorded: to the bit, to rounding, or not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import StageConfig

# How far losses (nats per token) may differ and still be called rounding: our choice.
# In fp32, two threads in place of one moved the losses of a model of 64 units by 2e-7 in ten steps.
_BOUND = {"fp32": 1e-4, "bf16": 1e-2}


@dataclass(frozen=True)
class Comparison:
    """Replayed steps against recorded ones.

    Attributes:
        steps: that were compared.
        hashes: of them, those whose weights were hashed in both.
        largest: difference of losses, in nats per token.
        first: step that first differs in loss, gradient norm or weights; `None` if none does.
        losses: by step, recorded and replayed.
    """

    steps: int
    hashes: int
    largest: float
    first: int | None
    losses: dict[int, tuple[float, float]]


def bound_of(config: StageConfig) -> float:
    """Return the difference of losses up to which it is rounding."""
    return _BOUND[config.parallelism.precision]


def compare_steps(
    recorded: Mapping[str, Mapping[str, Any]], replayed: Mapping[str, Mapping[str, Any]]
) -> Comparison:
    """Compare what both have of each step.

    Args:
        recorded: facts by step, as `reproduce.json` has them.
        replayed: the same of the steps that were computed again.
    """
    first, hashes, losses = None, 0, {}
    for step in sorted(map(int, replayed.keys() & recorded.keys())):
        was, now = recorded[str(step)], replayed[str(step)]
        both = was.keys() & now.keys()
        hashes += "weights" in both
        if "loss" in both:
            losses[step] = was["loss"], now["loss"]
        if first is None and any(was[key] != now[key] for key in both):
            first = step
    largest = max((_apart(a, b) for a, b in losses.values()), default=0.0)
    return Comparison(len(losses), hashes, largest, first, losses)


def _apart(was: float, now: float) -> float:
    # `max` passes over a NaN that does not come first.
    return math.inf if math.isnan(was - now) else abs(was - now)


def judge(found: Sequence[Comparison], bound: float) -> str:
    """Say in one line what comparisons come to."""
    steps, hashes = sum(f.steps for f in found), sum(f.hashes for f in found)
    if all(f.first is None for f in found):
        return f"bit-equal: {steps:,} losses and {hashes:,} hashes of all weights are the same"
    largest = max(f.largest for f in found)
    if largest <= bound:
        first = min(f.first for f in found if f.first is not None)
        return (
            f"equal to rounding: {steps:,} losses differ by at most {largest:.2g} nats (bound "
            f"{bound:g}); losses, gradient norms or weights differ from step {first:,} on"
        )
    step, (was, now) = next(
        (step, pair)
        for f in found
        for step, pair in f.losses.items()
        if not abs(pair[0] - pair[1]) <= bound
    )
    first = min(f.first for f in found if f.first is not None)
    more = f"; beyond the bound of {bound:g} at step {step:,}" if step != first else ""
    return f"different, first at step {first:,}{more}: loss {now:.6f} instead of {was:.6f}"
