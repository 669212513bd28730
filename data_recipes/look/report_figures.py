"""Figures of the report, as SVG whose colours are those of the page, in light and in dark.

Drawn here and not with matplotlib, whose SVG is ten times as large, repeats the same ids in every
figure of a page, and keeps the colours that it was made with.
"""

from html import escape

import numpy as np

from ..text.histograms import SCALES, Scale

_WIDTH, _HEIGHT = 340, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 18, 16
_BAR, _NAME = 16, 110  # of the funnel: height of a bar, width of its name


def svg(width: float, height: float, label: str, parts: list[str]) -> str:
    """A figure of parts, with a label for those who do not see it."""
    # The title is shown under the mouse, and read to those who do not see the figure.
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">'
        f"<title>{escape(label)}</title>{''.join(parts)}</svg>"
    )


def text_at(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Words of a figure."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _place(scale: Scale, value: float) -> float:
    """Where a value lies among the bins, all of one width; values beyond them at the ends."""
    edges = scale.edges
    value = float(np.clip(value, edges[0], edges[-1]))
    bin_ = min(int(np.searchsorted(edges, value, side="right")) - 1, scale.bins - 1)
    return bin_ + (value - edges[bin_]) / (edges[bin_ + 1] - edges[bin_])


def _shown(scale: Scale, used: np.ndarray, limits: list[float]) -> tuple[int, int]:
    """First bin and end of the bins that are drawn: all with documents, and all limits."""
    found = [*np.flatnonzero(used), *(min(int(_place(scale, v)), scale.bins - 1) for v in limits)]
    return (int(min(found)), int(max(found)) + 1) if found else (0, scale.bins)


def _axis(scale: Scale, first: int, last: int, y: float) -> list[str]:
    step = (_WIDTH - _LEFT - _RIGHT) / (last - first)
    parts = []
    for bin_, anchor in ((first, "start"), ((first + last) // 2, "middle"), (last, "end")):
        edge = scale.edges[bin_]
        said = f"{edge:.3g}" if edge < 1000 else f"{edge:,.0f}"
        parts.append(text_at(_LEFT + (bin_ - first) * step, y, said, anchor))
    return parts


def _bars(counts: np.ndarray, step: float, base: float, unit: float, name: str) -> str:
    """Bars upwards from `base` with a positive unit, downwards with a negative one."""
    rects = [
        f"M{_LEFT + i * step:.1f} {base:.1f}v{-count * unit:.1f}h{step:.1f}V{base:.1f}"
        for i, count in enumerate(counts)
        if count
    ]
    return f'<path class="{name}" d="{"".join(rects)}"/>' if rects else ""


def draw_outcomes(
    title: str, scale_name: str, counts: dict[str, list[int]], limits: list[float]
) -> str:
    """A statistic of the kept documents above the axis, of the removed ones below it.

    Heights are logarithms of the counts: few documents near a limit are what it is about.

    Args:
        title: of the figure.
        scale_name: key of `histograms.SCALES`.
        counts: "kept" and "rejected", one number per bin.
        limits: drawn as dashed lines.
    """
    scale = SCALES[scale_name]
    kept, rejected = (np.array(counts[name]) for name in ("kept", "rejected"))
    first, last = _shown(scale, kept + rejected, limits)
    step = (_WIDTH - _LEFT - _RIGHT) / (last - first)
    heights = [np.log1p(own[first:last]) for own in (kept, rejected)]
    unit = (_HEIGHT - _TOP - _BOTTOM) / max(sum(own.max() for own in heights), 1e-9)
    base = _TOP + heights[0].max() * unit
    parts = [
        text_at(_LEFT, 11, title),
        _bars(heights[0], step, base, unit, "kept"),
        _bars(heights[1], step, base, -unit, "gone"),
        f'<path class="axis" d="M{_LEFT} {base:.1f}H{_WIDTH - _RIGHT}"/>',
    ]
    for limit in limits:
        x = _LEFT + (_place(scale, limit) - first) * step
        parts.append(f'<path class="limit" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
    said = " and ".join(f"{limit:g}" for limit in limits)
    parts.append(text_at(_WIDTH - _RIGHT, 11, f"limit {said}" if said else scale.unit, "end"))
    parts += _axis(scale, first, last, _HEIGHT - 4)
    label = (
        f"{title}: {kept.sum():,} documents kept, at most {kept.max():,} in a bar; "
        f"{rejected.sum():,} removed, at most {rejected.max():,} in a bar"
    )
    return svg(_WIDTH, _HEIGHT, label, parts)


def draw_lengths(title: str, before: list[int], after: list[int]) -> str:
    """Lengths of documents in bytes, as they were read and as they are at the end."""
    scale = SCALES["bytes"]
    first, last = _shown(scale, np.array(before) + np.array(after), [])
    step = (_WIDTH - _LEFT - _RIGHT) / (last - first)
    highest = max(*before, *after, 1)
    unit = (_HEIGHT - _TOP - _BOTTOM) / highest
    base = _HEIGHT - _BOTTOM
    parts = [
        text_at(_LEFT, 11, title),
        text_at(_WIDTH - _RIGHT, 11, f"highest: {highest:,} documents", "end"),
        _bars(np.array(before[first:last]), step, base, unit, "gone"),
        _bars(np.array(after[first:last]), step, base, unit, "kept"),
        f'<path class="axis" d="M{_LEFT} {base}H{_WIDTH - _RIGHT}"/>',
        *_axis(scale, first, last, _HEIGHT - 4),
    ]
    label = f"{title}: {sum(before):,} documents before, {sum(after):,} after"
    return svg(_WIDTH, _HEIGHT, label, parts)


def draw_funnel(title: str, rows: list[tuple[str, float, float]]) -> str:
    """Shares of all that was read, from 0 to 1, as bars: what came into a step, and what it kept.

    Args:
        title: of the figure.
        rows: name of the step, share that came in, share that was kept.
    """
    full = _WIDTH - _NAME - 50
    parts = [text_at(0, 11, title)]
    for i, (name, came, kept) in enumerate(rows):
        y = _TOP + i * (_BAR + 4)
        parts += [
            text_at(0, y + 12, name),
            f'<rect class="gone" x="{_NAME}" y="{y}" width="{came * full:.1f}" height="{_BAR}"/>',
            f'<rect class="kept" x="{_NAME}" y="{y}" width="{kept * full:.1f}" height="{_BAR}"/>',
            text_at(_WIDTH, y + 12, f"{kept:.1%}", "end"),
        ]
    said = ", ".join(f"{name} keeps {kept:.1%}" for name, _, kept in rows)
    return svg(_WIDTH, _TOP + len(rows) * (_BAR + 4), f"{title}: {said}", parts)
