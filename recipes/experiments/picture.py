"""The picture of an experiment: curves, paired differences, and what arms trade."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import Any

from data_recipes.common.page import Picture

from .measures import BITS
from .results import by_arm, measured

Runs = list[dict[str, Any]]


def pareto_front(runs: Runs, first: str, second: str) -> list[str]:
    """Return the arms that no other beats in one measure without losing in the other.

    Args:
        runs: of an experiment.
        first: a measure that is better the lower it is; arms come in its order.
        second: another one.
    """
    means = {
        arm: (statistics.fmean(measured(own, first)), statistics.fmean(measured(own, second)))
        for arm, own in by_arm(runs).items()
    }
    front = []
    for arm in sorted(means, key=means.__getitem__):
        if not front or means[arm][1] < means[front[-1]][1]:
            front.append(arm)
    return front


def _draw_front(axes: Any, runs: Runs, first: str, second: str) -> None:
    """What each arm gains in one measure and loses in the other; the front is a line."""
    for number, (arm, own) in enumerate(by_arm(runs).items()):
        axes.plot(measured(own, first), measured(own, second), ".", color=f"C{number}", alpha=0.6)
        where = statistics.fmean(measured(own, first)), statistics.fmean(measured(own, second))
        axes.annotate(arm, where, fontsize=7)
    front = [by_arm(runs)[arm] for arm in pareto_front(runs, first, second)]
    points = [[statistics.fmean(measured(own, name)) for own in front] for name in (first, second)]
    axes.plot(*points, color="0.5", linewidth=1)
    axes.set(xlabel=first, ylabel=second, title="means; the line is the Pareto front")
    axes.grid(alpha=0.3)


def _draw_curves(axes: Any, runs: Runs, shown: str) -> None:
    """A measure over tokens, a colour for each arm."""
    for number, (arm, own) in enumerate(by_arm(runs).items()):
        for i, run in enumerate(own):
            points = run["curve"].get(shown, [])
            tokens, values = [t / 1e6 for t, _ in points], [v for _, v in points]
            style = {"color": f"C{number}", "linewidth": 1.2, "alpha": 0.7, "marker": "."}
            axes.plot(tokens, values, label=arm if i == 0 else None, **style)
    axes.set(xlabel="tokens (millions)", ylabel=shown)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_differences(axes: Any, comparisons: list[dict[str, Any]]) -> None:
    found = [c for c in comparisons if math.isfinite(c["high"])]
    for row, c in enumerate(found):
        reach = [[c["difference"] - c["low"]], [c["high"] - c["difference"]]]
        axes.errorbar(c["difference"], row, xerr=reach, fmt="o", color="C0", capsize=3)
        width = 2 * c["smallest"]
        axes.barh(row, width, left=-c["smallest"], color="0.9", height=0.8, zorder=0)
    axes.axvline(0, color="0.5", linewidth=1)
    axes.set_yticks(range(len(found)), [f"{c['arm']}\n{c['measure']}" for c in found], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="difference from the baseline, 95 % (grey: would not matter)")


def draw(results: dict[str, Any], file: str) -> Picture:
    """Draw the deciding measure over tokens, where logs have it, and the paired differences.

    With more than two arms also what they trade between the first two measures in bits per byte.

    Args:
        results: of one experiment.
        file: name of the picture beside its report.
    """
    from matplotlib.figure import Figure

    runs = results["runs"]
    bits = [name for name in results["experiment"]["decide"] if name.startswith(BITS)]
    shown = bits[0] if bits else "loss"
    panels = [partial(_draw_differences, comparisons=results["comparisons"])]
    if any(shown in run["curve"] for run in runs):
        panels.insert(0, partial(_draw_curves, runs=runs, shown=shown))
    if len(bits) > 1 and len(by_arm(runs)) > 2:
        panels.append(partial(_draw_front, runs=runs, first=bits[0], second=bits[1]))
    figure = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        panel(axes)
    return Picture.of(figure, "curves and differences", file)
