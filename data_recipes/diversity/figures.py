"""Figures of the diversity report."""

from ..look.report_figures import svg, text_at
from ..text.histograms import SCALES

_WIDTH, _NAME, _NUMBER = 340, 140, 44
_BAR, _GAP, _TOP = 14, 4, 20
_LETTERS = 24  # of a name that have room
_HEIGHT, _BASE = 90, 72


def draw_measure(
    title: str, rows: list[tuple[str, float, bool]], limits: list[float], more: bool
) -> str:
    """A measure of each sample as bars from zero.

    Args:
        title: of the measure.
        rows: name, value, and whether it is beyond a limit.
        limits: drawn as dashed lines.
        more: whether varied text has more of it.
    """
    highest = max(*(value for _, value, _ in rows), *limits, 1e-9)
    unit = (_WIDTH - _NAME - _NUMBER) / highest
    arrow = "more is varied" if more else "less is varied"
    parts = [text_at(0, 11, title), text_at(_WIDTH, 11, arrow, "end")]
    end = _TOP + len(rows) * (_BAR + _GAP)
    for i, (name, value, bad) in enumerate(rows):
        y = _TOP + i * (_BAR + _GAP)
        kind = "gone" if bad else "kept"
        parts += [
            text_at(0, y + 11, name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"),
            f'<rect class="{kind}" x="{_NAME}" y="{y}" width="{value * unit:.1f}" '
            f'height="{_BAR}"/>',
            text_at(_WIDTH, y + 11, f"{value:.3f}", "end"),
        ]
    for limit in limits:
        x = _NAME + limit * unit
        parts.append(f'<path class="limit" d="M{x:.1f} {_TOP}V{end}"/>')
    said = ", ".join(f"{name} {value:.3f}" for name, value, _ in rows)
    return svg(_WIDTH, end, f"{title}: {said}", parts)


def _columns(title: str, right: str, heights: list[float], ends: tuple[str, str]) -> str:
    step = _WIDTH / len(heights)
    unit = (_BASE - _TOP) / max(*heights, 1e-9)
    rects = "".join(
        f"M{i * step:.1f} {_BASE}v{-height * unit:.1f}h{step - 1:.1f}V{_BASE}"
        for i, height in enumerate(heights)
        if height
    )
    parts = [
        text_at(0, 11, title),
        text_at(_WIDTH, 11, right, "end"),
        f'<path class="kept" d="{rects}"/>',
        f'<path class="axis" d="M0 {_BASE}H{_WIDTH}"/>',
        text_at(0, _HEIGHT - 6, ends[0]),
        text_at(_WIDTH, _HEIGHT - 6, ends[1], "end"),
    ]
    return svg(_WIDTH, _HEIGHT, f"{title}, {right}", parts)


def draw_lengths(name: str, counts: list[int], middle: float, shown: tuple[int, int]) -> str:
    """Documents by words, on a logarithmic axis.

    Args:
        name: of the sample.
        counts: documents per bin of the scale `count`.
        middle: median of the words.
        shown: first bin and end of those drawn, the same for all that are compared.
    """
    edges = SCALES["count"].edges
    first, end = shown
    ends = f"{edges[first]:,.0f} words", f"{edges[end]:,.0f}"
    right = f"{sum(counts):,} documents, median {middle:,.0f} words"
    return _columns(name, right, [float(c) for c in counts[first:end]], ends)


def draw_ranks(name: str, shares: list[float], types: int, once: float, bands: int) -> str:
    """Share of all words by their rank, in bands that double.

    Args:
        name: of the sample.
        shares: by band.
        types: different words.
        once: share of them that occur once.
        bands: drawn, the same for all that are compared.
    """
    right = f"{types:,} words, {once:.0%} of them once"
    padded = [*shares, *[0.0] * (bands - len(shares))]
    return _columns(name, right, padded, ("commonest word", f"rank {2 ** (bands - 1):,} and up"))
