"""Figures of the report, as SVG that stands in the page."""

import io
from typing import Any

from ..histograms import SCALES

_KEPT, _REJECTED, _LIMIT = "#4477aa", "#ee6677", "#222222"
_WIDTH, _HEIGHT = 3.6, 2.0  # inches


def _svg(figure: Any) -> str:
    import matplotlib.pyplot as plt

    figure.tight_layout()
    # Names of fonts, not shapes of letters: the page has the reader's own fonts, Hangul among them.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=False)
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(width: float = _WIDTH, height: float = _HEIGHT) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    return figure, axes


def draw_histogram(
    title: str, scale: str, counts: dict[str, list[int]], limits: tuple[float | None, ...] = ()
) -> str:
    """Documents kept and rejected by the value of a statistic.

    Args:
        title: of the figure.
        scale: key of `histograms.SCALES`.
        counts: "kept" and "rejected", one number per bin.
        limits: values that are drawn as lines.
    """
    figure, axes = _axes()
    edges = SCALES[scale].edges
    used = [i for i, pair in enumerate(zip(counts["kept"], counts["rejected"])) if any(pair)]
    low, high = (used[0], used[-1] + 1) if used else (0, len(edges) - 1)
    place = range(high - low)
    axes.bar(place, counts["kept"][low:high], 1, color=_KEPT, label="kept", align="edge")
    axes.bar(
        place,
        counts["rejected"][low:high],
        1,
        bottom=counts["kept"][low:high],
        color=_REJECTED,
        label="rejected",
        align="edge",
    )
    ticks = sorted({0, (high - low) // 2, high - low})
    axes.set_xticks(ticks, [f"{edges[low + t]:,.3g}" for t in ticks])
    for limit in limits:
        if limit is not None and edges[low] <= limit <= edges[high]:
            inside = next((i for i in range(low, high) if edges[i + 1] >= limit), high - 1)
            part = (limit - edges[inside]) / (edges[inside + 1] - edges[inside])
            axes.axvline(inside - low + part, color=_LIMIT, linewidth=1, linestyle="--")
    axes.set_title(title, fontsize=8)
    axes.set_xlabel(SCALES[scale].unit, fontsize=7)
    return _svg(figure)


def draw_funnel(steps: list[str], kept: dict[str, list[float]]) -> str:
    """Share of the bytes that came in which is left after each step, one line per source.

    Args:
        steps: names, in order.
        kept: share per step, by source.
    """
    figure, axes = _axes(7.2, 2.8)
    for source, shares in kept.items():
        axes.plot(range(len(steps)), shares, marker="o", markersize=3, label=source)
    axes.set_xticks(range(len(steps)), steps)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("bytes left", fontsize=8)
    if len(kept) <= 12:
        axes.legend(fontsize=7, frameon=False)
    return _svg(figure)
