"""Colours of the heat map, and the plot of several runs."""

import base64
import io

from .content import Cell, Content

# Blue of the darkest cell; white is the lightest.
_DARK = (24, 83, 145)


def shade(cell: Cell | None) -> str:
    """Style of a heat map's cell: from white at 0 % to dark blue at 100 %."""
    if cell is None:
        return ""
    share = min(max(cell.value / 100, 0.0), 1.0)
    red, green, blue = (round(255 - (255 - dark) * share) for dark in _DARK)
    ink = "#fff" if share > 0.55 else "#111"
    return f"background:rgb({red},{green},{blue});color:{ink}"


def plot_runs(content: Content) -> str:
    """Scores of several runs in their order, one line per task, as a PNG's data URI."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4.8), layout="constrained")
    for line in content.lines:
        points = [(i, cell) for i, cell in enumerate(line.runs) if cell is not None]
        axes.errorbar(
            [i for i, _ in points],
            [cell.value for _, cell in points],
            # A score without a standard error has no bar.
            yerr=[cell.stderr or 0.0 for _, cell in points],
            label=line.label,
            marker="o",
            markersize=4,
            capsize=3,
            linewidth=1.4,
            linestyle="--" if "(thinking)" in line.label else "-",
        )
    axes.set_xticks(range(len(content.names)), content.names, rotation=20, ha="right")
    axes.set(ylabel="score (%), ± one standard error", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
