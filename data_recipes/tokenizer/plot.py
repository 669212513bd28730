"""The picture of a tokenizer study."""

from pathlib import Path
from typing import Any

_BAR = 0.28  # inches a bar


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Bytes per token, one panel per source, one bar per tokenizer.

    Args:
        rows: with `tokenizer`, `source`, `language`, `kind`, `bytes_per_token`.
        path: the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sources = list(dict.fromkeys(row["source"] for row in rows))
    names = list(dict.fromkeys(row["tokenizer"] for row in rows))
    figure, panels = plt.subplots(
        1,
        len(sources),
        figsize=(2.2 + 2.6 * len(sources), 1.2 + _BAR * len(names)),
        sharey=True,
        squeeze=False,
    )
    for panel, source in zip(panels[0], sources):
        own = {row["tokenizer"]: row for row in rows if row["source"] == source}
        values = [own[name]["bytes_per_token"] for name in names]
        bars = panel.barh(range(len(names)), values, color="#4477aa")
        best = max(values)
        for bar, value in zip(bars, values):
            bar.set_color("#228833" if value == best else "#4477aa")
        panel.bar_label(bars, [f"{v:.2f}" for v in values], padding=2, fontsize=8)
        first = own[names[0]]
        panel.set_title(f"{first['language']} {first['kind']}\n{source}", fontsize=9)
        panel.set_xlim(0, best * 1.2)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_yticks(range(len(names)), [name.split("/")[-1] for name in names], fontsize=8)
    panels[0][0].invert_yaxis()
    figure.supxlabel("bytes per token on held-out text (higher is shorter)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)
