"""`python -m data_recipes mixture`: the plan of a mixture as a table and as a picture."""

import argparse
import math
from collections import defaultdict
from pathlib import Path

from ..tokens.mixture import MAX_USEFUL_EPOCHS
from ..tokens.mixture_plan import (
    KOREAN,
    MixtureConfig,
    MixtureTotals,
    PlannedSource,
    check_plan,
    load_mixture,
    plan_sources,
    short_share,
    total_shares,
)

# Colour map by language and by who wrote the text; shades of it tell the sources apart.
_COLOURS = {
    ("en", False): "Blues",
    ("en", True): "Purples",
    (KOREAN, False): "Oranges",
    (KOREAN, True): "Reds",
}
_OTHER_COLOURS = {False: "Greens", True: "BuGn"}
# Narrower segments carry no label of their own: it would not fit.
_LABELLED_SHARE = 0.045


def _amount(tokens: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if tokens >= size:
            return f"{tokens / size:.4g} {unit}"
    return f"{tokens:,.0f}"


def format_mixture(config: MixtureConfig, rows: list[PlannedSource]) -> str:
    """The plan as a table, its totals, and warnings."""
    columns: list[tuple[str, list[str]]] = [
        ("source", [r.name for r in rows]),
        ("language", [r.language for r in rows]),
        ("share", [f"{r.share:.2%}" for r in rows]),
        ("tokens", [_amount(r.tokens) for r in rows]),
        ("available", [_amount(r.available) for r in rows]),
        ("epochs", [f"{r.epochs:.2f}" for r in rows]),
        ("synthesizer", [r.synthesizer or "-" for r in rows]),
        ("Hub", [r.hub or "-" for r in rows]),
    ]
    widths = [max(len(head), *map(len, cells)) for head, cells in columns]
    numbers = ("share", "tokens", "available", "epochs")
    lines = [f"{config.stage}: {_amount(config.tokens)} tokens"]
    for cells in [[head for head, _ in columns], *zip(*(cells for _, cells in columns))]:
        parts = [
            cell.rjust(width) if head in numbers else cell.ljust(width)
            for (head, _), cell, width in zip(columns, cells, widths)
        ]
        lines.append("  ".join(parts).rstrip())
    lines.append(format_totals(total_shares(rows)))
    if config.min_short_share is not None:
        lines.append(f"short text {short_share(rows):.2%} (at least {config.min_short_share:.2%})")
    return "\n".join([*lines, *_warnings(rows)])


def format_totals(totals: MixtureTotals) -> str:
    """Totals in a line or two."""
    text = (
        f"Korean {totals.korean:.2%} of {_amount(totals.tokens)} tokens; synthetic "
        f"{totals.synthetic:.2%}; of the Korean, synthetic {totals.korean_synthetic:.2%}"
    )
    if totals.synthesizers:
        parts = ", ".join(f"{name} {share:.2%}" for name, share in totals.synthesizers.items())
        text += f"\nKorean synthetic text by synthesizer: {parts}"
    return text


def format_together(rows: list[PlannedSource]) -> str:
    """Totals and warnings over all stages that were planned."""
    return "\n".join(["all stages", format_totals(total_shares(rows)), *_warnings(rows)])


def _warnings(rows: list[PlannedSource]) -> list[str]:
    """One line per source that is seen too often, over all rows that it has."""
    epochs: dict[str, float] = defaultdict(float)
    for r in rows:
        epochs[r.name] += r.epochs
    return [
        f"warning: {name} is seen {seen:.1f} times; beyond {MAX_USEFUL_EPOCHS} epochs repeated "
        "text adds little"
        for name, seen in epochs.items()
        if seen > MAX_USEFUL_EPOCHS
    ]


def _colours(sources: dict[str, PlannedSource]) -> dict[str, tuple[float, ...]]:
    from matplotlib import colormaps

    groups: dict[str, list[str]] = defaultdict(list)
    for name, row in sources.items():
        written = row.synthesizer is not None
        groups[_COLOURS.get((row.language, written), _OTHER_COLOURS[written])].append(name)
    colours = {}
    for group, names in groups.items():
        for place, name in enumerate(names):
            colours[name] = colormaps[group](0.75 - 0.5 * place / max(1, len(names)))
    return colours


def plot_mixtures(plans: list[tuple[MixtureConfig, list[PlannedSource]]], path: Path) -> None:
    """Draw stacked bars: all tokens of each stage by source, and its Korean tokens by source.

    English is blue and purple, Korean orange and red; synthetic text is hatched.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    # The same order everywhere: by language, text by people first.
    every = {row.name: row for _, rows in plans for row in rows}
    order = sorted(every, key=lambda n: (every[n].language, every[n].synthesizer is not None))
    sources = {name: every[name] for name in order}
    colours = _colours(sources)
    figure, axes = plt.subplots(1, 2, figsize=(13, 1.2 + len(plans)), sharey=True)
    for axis, title, language in zip(axes, ("all tokens", "Korean tokens"), (None, KOREAN)):
        for height, (_, rows) in enumerate(plans):
            shown = {r.name: r for r in rows if language in (None, r.language)}
            total = math.fsum(r.tokens for r in shown.values())
            left = 0.0
            for name in [n for n in order if n in shown]:
                row, share = shown[name], shown[name].tokens / total
                axis.barh(
                    height,
                    share,
                    left=left,
                    height=0.7,
                    color=colours[name],
                    hatch="//" if row.synthesizer else None,
                    edgecolor="white",
                    linewidth=0.8,
                )
                if share >= _LABELLED_SHARE:
                    label = axis.text(
                        left + share / 2, height, f"{share:.0%}", ha="center", va="center"
                    )
                    label.set_bbox({"facecolor": "white", "alpha": 0.75, "pad": 1, "lw": 0})
                left += share
        axis.set(title=title, xlim=(0, 1))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axis.tick_params(axis="y", length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
    labels = [
        f"{config.stage}\n{_amount(config.tokens)}, {total_shares(rows).korean:.1%} ko"
        for config, rows in plans
    ]
    axes[0].set_yticks(range(len(plans)), labels)
    axes[0].invert_yaxis()
    patches = [
        Patch(
            facecolor=colours[name],
            hatch="//" if row.synthesizer else None,
            edgecolor="white",
            label=f"{name}, by {row.synthesizer or 'people'}",
        )
        for name, row in sources.items()
    ]
    figure.tight_layout()
    figure.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def run(args: argparse.Namespace) -> None:
    """Print the plan of each mixture, and draw it if asked.

    Raises:
        RecipeError: a bad file, or a mixture that cannot be met; the tables are printed all the
            same.
    """
    plans = []
    for path in args.config:
        config = load_mixture(path, args.overrides)
        plans.append((config, plan_sources(config, args.shards)))
        print(format_mixture(*plans[-1]), end="\n\n")
    if len(plans) > 1:
        print(format_together([row for _, rows in plans for row in rows]), end="\n\n")
    for config, rows in plans:
        check_plan(config, rows, args.force_single_synthesizer)
    if args.plot:
        plot_mixtures(plans, args.plot)
        print(f"drawn in {args.plot}")
