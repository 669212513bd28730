"""Histograms of the data report, as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..common.page import Picture
from ..engine.documents import SCALES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_KEPT, _REMOVED = "#2f6fb3", "#e08a3c"


@dataclass(frozen=True)
class Panel:
    """One histogram.

    Attributes:
        title: above it.
        scale: key of `SCALES`, whose bins are all drawn with the same width.
        kept: documents per bin.
        removed: documents per bin.
        limits: drawn as dashed lines.
    """

    title: str
    scale: str
    kept: Sequence[int]
    removed: Sequence[int]
    limits: Sequence[float] = ()


def _place(edges: np.ndarray, value: float) -> float:
    """Where a value lies among bins of width 1; values beyond them at the ends."""
    return float(np.interp(value, edges, np.arange(len(edges))))


def _draw(axes: "Axes", panel: Panel, removed_below: bool) -> None:
    edges = SCALES[panel.scale].edges
    limits = [_place(edges, limit) for limit in panel.limits]
    used = np.flatnonzero(np.add(panel.kept, panel.removed))
    ends = [*used, *used + 1, *limits] or [0, len(edges) - 1]
    first = int(min(ends))
    last = max(int(np.ceil(max(ends))), first + 1)
    places = np.arange(first, last + 1)
    sign = -1 if removed_below else 1
    for counts, colour in ((sign * np.array(panel.removed), _REMOVED), (panel.kept, _KEPT)):
        # One outline: hundreds of bars take seconds to lay out.
        axes.stairs(counts[first:last], places, fill=True, color=colour)
    for limit in limits:
        axes.axvline(limit, color="black", linestyle="--", linewidth=1)
    ticks = sorted({first, (first + last) // 2, last})
    labels = (f"{edge:.3g}" if edge < 1000 else f"{edge:,.0f}" for edge in edges[ticks])
    axes.set_xticks(ticks, labels)
    if removed_below:
        # Few documents near a limit are what it is about.
        axes.set_yscale("symlog", linthresh=1)
        axes.axhline(0, color="black", linewidth=0.7)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    said = " and ".join(f"{limit:g}" for limit in panel.limits)
    title = f"{panel.title} ({f'limit {said}' if said else SCALES[panel.scale].unit})"
    axes.set_title(title, fontsize=8, loc="left")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def draw_histograms(title: str, panels: list[Panel], *, removed_below: bool = True) -> Picture:
    """Draw histograms side by side.

    Args:
        title: of the picture, for those who cannot see it.
        panels: one or more.
        removed_below: removed documents below the axis, numbers on a logarithmic scale; otherwise
            behind the kept ones, on a linear one.
    """
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 4.0 * columns, 1.8 * rows  # inches
    figure = Figure(figsize=(width, height))
    # Numbers of seven digits fit; a layout engine would take seconds to find so.
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - 0.15 / width,
        bottom=0.3 / height,
        top=1 - 0.25 / height,
        wspace=0.2,
        hspace=0.45,
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    for place, panel in zip(chain(*axes), panels):
        _draw(place, panel, removed_below)
    for place in list(chain(*axes))[len(panels) :]:
        place.set_visible(False)
    return Picture.of(figure, title)
