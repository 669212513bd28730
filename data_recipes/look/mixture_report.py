"""`python -m data_recipes mixture`: the plan of a mixture as a table and as a picture."""

import argparse
import math
from collections import defaultdict
from pathlib import Path

from ..common.terminal import align
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
    cells = [
        [r.name, r.language, f"{r.share:.2%}", _amount(r.tokens), _amount(r.available)]
        + [f"{r.epochs:.2f}", r.synthesizer or "-", r.hub or "-"]
        for r in rows
    ]
    head = "source language share tokens available epochs synthesizer Hub".split()
    lines = [f"{config.stage}: {_amount(config.tokens)} tokens"]
    lines.append(align([head, *cells], left=(0, 1, 6, 7)))
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


def _colours(order: list[PlannedSource]) -> dict[str, tuple[float, ...]]:
    """Colour of each source by its name: shades of the colour of its group."""
    from matplotlib import colormaps

    groups: dict[str, list[str]] = defaultdict(list)
    for row in order:
        written = row.synthesizer is not None
        groups[_COLOURS.get((row.language, written), _OTHER_COLOURS[written])].append(row.name)
    return {
        name: colormaps[group](0.75 - 0.5 * place / max(1, len(names)))
        for group, names in groups.items()
        for place, name in enumerate(names)
    }


def plot_mixtures(plans: list[tuple[MixtureConfig, list[PlannedSource]]], path: Path) -> None:
    """Draw stacked bars: all tokens of each stage by source, and its Korean tokens by source.

    English is blue and purple, Korean orange and red; synthetic text is hatched.
    """
    from matplotlib.figure import Figure

    # The same order everywhere: by language, text by people first.
    every = {row.name: row for _, rows in plans for row in rows}
    order = sorted(every.values(), key=lambda r: (r.language, r.synthesizer is not None))
    colours = _colours(order)
    figure = Figure(figsize=(13, 1.2 + len(plans)))
    both = figure.subplots(1, 2, sharey=True)
    for axes, title, language in zip(both, ("all tokens", "Korean tokens"), (None, KOREAN)):
        tokens = [
            {row.name: row.tokens for row in rows if language in (None, row.language)}
            for _, rows in plans
        ]
        left = [0.0] * len(plans)
        for source in order:
            shares = [own.get(source.name, 0) / math.fsum(own.values()) for own in tokens]
            bars = axes.barh(
                range(len(plans)),
                shares,
                left=left,
                height=0.7,
                color=colours[source.name],
                hatch="//" if source.synthesizer else None,
                edgecolor="white",
                linewidth=0.8,
                label=f"{source.name}, by {source.synthesizer or 'people'}",
            )
            labels = [f"{share:.0%}" if share >= _LABELLED_SHARE else "" for share in shares]
            box = {"facecolor": "white", "alpha": 0.75, "pad": 1, "lw": 0}
            axes.bar_label(bars, labels, label_type="center", bbox=box)
            left = [a + b for a, b in zip(left, shares)]
        axes.set(title=title, xlim=(0, 1))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    names = [
        f"{config.stage}\n{_amount(config.tokens)}, {total_shares(rows).korean:.1%} ko"
        for config, rows in plans
    ]
    both[0].set_yticks(range(len(plans)), names)
    both[0].invert_yaxis()
    figure.tight_layout()
    handles, shown = both[0].get_legend_handles_labels()
    figure.legend(handles, shown, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
    figure.savefig(path, dpi=120, bbox_inches="tight")


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
