"""What an experiment came to: a table and a plot, and the page of all published results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any

from data_recipes.common.page import (
    Block,
    Bullets,
    Details,
    Heading,
    Page,
    Paragraph,
    Picture,
    Span,
    Table,
)

from .results import read_negative, records

_BITS = "bits_per_byte/"


def _arms(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        arm: [r for r in runs if r["arm"] == arm] for arm in dict.fromkeys(r["arm"] for r in runs)
    }


def _values(runs: list[dict[str, Any]], measure: str) -> list[float]:
    return [run["measures"][measure] for run in runs if measure in run["measures"]]


def _mean(values: list[float]) -> str:
    """Mean, and the standard deviation over seeds."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def verdict_of(comparison: dict[str, Any]) -> str:
    """Say a verdict in words."""
    smallest = f"{comparison['smallest']:g}"
    match comparison["verdict"]:
        case "no difference":
            return f"no difference larger than {smallest}"
        case "undecided":
            needed = comparison["needed"]
            return f"undecided (about {needed:,} seeds would find {smallest})"
        case verdict:
            return verdict


def _comparison_rows(results: dict[str, Any]) -> list[list[Any]]:
    baseline = results["experiment"]["baseline"]
    arms, rows = _arms(results["runs"]), []
    for measure in results["experiment"]["decide"]:
        own = arms.get(baseline, [])
        value = own[0]["value"] if own else ""
        means = _mean(_values(own, measure))
        rows.append(
            [measure, f"{baseline} (baseline)", str(len(own)), value, means, "", "", "", ""]
        )
        for c in results["comparisons"]:
            if c["measure"] != measure:
                continue
            own = arms[c["arm"]]
            rows.append(
                [
                    measure,
                    c["arm"],
                    str(c["pairs"]),
                    own[0]["value"],
                    _mean(_values(own, measure)),
                    f"{c['difference']:+.4f} [{c['low']:+.4f}, {c['high']:+.4f}]",
                    f"{c['corrected']:.2g}",
                    f"{c['detectable']:.3f}",
                    [Span(verdict_of(c))],
                ]
            )
    return rows


def _other_measures(results: dict[str, Any]) -> list[Block]:
    decide = results["experiment"]["decide"]
    names = dict.fromkeys(name for run in results["runs"] for name in run["measures"])
    names = [name for name in names if name not in decide]
    if not names:
        return []
    rows = [
        [arm, *(_mean(_values(own, name)) for name in names)]
        for arm, own in _arms(results["runs"]).items()
    ]
    return [Table(["arm", *(f"{name}>" for name in names)], rows, "What else was measured")]


def _sweep(results: dict[str, Any]) -> list[Block]:
    if not results["sweep"]:
        return []
    decide = list(results["experiment"]["decide"])
    seed = results["experiment"]["sweep_seed"]
    rows = [
        [run["arm"], run["value"], *(f"{run['measures'][name]:.4f}" for name in decide)]
        for run in results["sweep"]
    ]
    columns = ["arm", "value", *(f"{name}>" for name in decide)]
    table = Table(columns, rows, f"Each arm tried these on seed {seed} and went on with its best")
    return [Details("The sweep", [table])]


def _ends(values: Iterable[int]) -> list[int]:
    """Smallest and largest; one of them if they are the same."""
    found = sorted({*values})
    return found if len(found) == 1 else [found[0], found[-1]]


def _minutes(results: dict[str, Any]) -> str:
    seconds = sum(run["seconds"] for run in results["runs"] + results["sweep"])
    seconds += results.get("parents_seconds", 0)  # of before there were any: none
    return f"{seconds / 60:,.0f}"


def _unfinished(results: dict[str, Any]) -> list[tuple[str, int]]:
    """Arm and seed of each run that is planned and not among the results."""
    there = {(run["arm"], run["seed"]) for run in results["runs"]}
    experiment = results["experiment"]
    planned = [(arm, seed) for arm in experiment["arms"] for seed in experiment["seeds"]]
    return [run for run in planned if run not in there]


def _conditions(results: dict[str, Any]) -> str:
    experiment, machine = results["experiment"], results["machine"]
    commits = sorted({run["commit"] or "not in git" for run in results["runs"]})
    tokens = " to ".join(f"{t:,}" for t in _ends(run["tokens"] for run in results["runs"]) if t)
    length = f"{tokens} tokens a run, " if tokens else ""
    words = ", ".join(
        value if name == "processor" else f"{name} {value}" for name, value in machine.items()
    )
    short = ", ".join(c[:12] + ("+changes" if c.endswith("+changes") else "") for c in commits)
    stages = " and ".join(experiment["stages"])
    if parent := experiment.get("parent"):
        stages += f", after {parent['tokens']:,} tokens of {parent['stage']}"
    return (
        f"{stages} of {results['size']}, {length}"
        f"seeds {', '.join(map(str, experiment['seeds']))}; {results['date']}, commit {short}; "
        f"{words}; {_minutes(results)} minutes of training in all."
    )


def describe(results: dict[str, Any], level: int = 2) -> list[Block]:
    """Describe an experiment from its `results.json` alone.

    Args:
        results: of the experiment.
        level: of its headings.
    """
    experiment = results["experiment"]
    command = f"kormo experiment {results['name']} --size {results['size']}"
    arms = [
        f"{arm}: {', '.join(f'{k} = {v}' for k, v in settings.items()) or 'as the recipe'}"
        for arm, settings in experiment["arms"].items()
    ]
    columns = ["measure", "arm", "seeds>", "best of the sweep", "mean ± sd over seeds>"]
    columns += ["difference [95 %]>", "p (Holm)>", "80 % find>", "verdict"]
    pairing = [
        f"{arm} and the baseline share their windows: {own['windows']}; weights: {own['weights']}."
        for arm, own in results["pairing"].items()
    ]
    blocks: list[Block] = [
        Heading(f"{results['name']}, {results['size']}", level),
        Paragraph([Span(experiment["question"], "strong")]),
        Paragraph([Span(command, "code")]),
        Bullets(arms),
        Table(columns, _comparison_rows(results)),
        *_other_measures(results),
        *_sweep(results),
        Bullets(pairing),
        Paragraph(_conditions(results), "dim"),
    ]
    if left_out := _unfinished(results):
        named = "; ".join(f"{arm}, seed {seed}" for arm, seed in left_out)
        blocks.append(Paragraph(f"Not finished, and left out of all figures: {named}."))
    if experiment["note"]:
        blocks.append(Paragraph(experiment["note"]))
    return blocks


def results_page(results: dict[str, Any], picture: Picture) -> Page:
    """Make the report of one experiment."""
    return Page(f"Experiment {results['name']}", [*describe(results), picture])


def _overview(results: dict[str, Any]) -> list[str]:
    """One row of the table that the page begins with."""
    experiment, found = results["experiment"], results["comparisons"]
    answers = [
        f"{c['arm']}, {c['measure']}: {c['difference']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}], "
        f"{c['verdict']}"
        for c in found
    ]
    seeds = len(experiment["seeds"])
    whole = seeds - len({seed for _, seed in _unfinished(results)})
    return [
        f"{results['name']}, {results['size']}",
        experiment["question"],
        f"{', '.join(experiment['arms'])}; baseline {experiment['baseline']}",
        str(seeds) if whole == seeds else f"{whole} of {seeds} for all arms",
        "; ".join(answers),
        _minutes(results),
    ]


def all_results_page() -> Page:
    """Make `docs/experiments.md` of all published results."""
    page = Page("Experiments")
    page.add(
        Paragraph(
            [
                "Made of the files in docs/experiments by ",
                Span("kormo experiment NAME --size SIZE --publish", "code"),
                "; do not edit it.",
            ]
        ),
        Paragraph(
            "An arm differs from the baseline in what stands beside its name. Arms share their "
            "seeds: the same windows in the same order and, unless they change it, the same "
            "weights at the start; held-out text is measured in the same way for all. The "
            "difference is that of the pairs, with the interval of a paired t; p is corrected over "
            "all comparisons of an experiment (Holm). '80 % find': the smallest difference that "
            "as many seeds find four times in five. A verdict is better, worse, no difference "
            "larger than what would matter, or undecided. All of it says something about this "
            "size, these data and this length, and no more."
        ),
    )
    published = records()
    columns = ["experiment", "question", "arms", "seeds>", "difference [95 %], verdict", "minutes>"]
    if published:
        page.add(Table(columns, [_overview(results) for results in published]))
    for results in published:
        page.add(*describe(results))
    page.add(*negative_results())
    return page


def negative_results() -> list[Block]:
    """List what was tried beside the experiments and did not come out as hoped."""
    rows = [[r["tried"], r["result"], r["cannot_tell"], r["source"]] for r in read_negative()]
    return [
        Heading("What did not work"),
        Paragraph(
            "Most of it rests on one or two seeds and on tiny models, as it says; where there is "
            "no interval, none was measured. Written down so that nobody finds it out again."
        ),
        Table(["tried", "result", "what it cannot tell", "where it was measured"], rows),
    ]


def pareto_front(runs: list[dict[str, Any]], first: str, second: str) -> list[str]:
    """Return the arms that no other beats in one measure without losing in the other.

    Args:
        runs: of an experiment.
        first: a measure that is better the lower it is; arms come in its order.
        second: another one.
    """
    means = {
        arm: (statistics.fmean(_values(own, first)), statistics.fmean(_values(own, second)))
        for arm, own in _arms(runs).items()
    }
    front = []
    for arm in sorted(means, key=means.__getitem__):
        if not front or means[arm][1] < means[front[-1]][1]:
            front.append(arm)
    return front


def _draw_front(axes: Any, runs: list[dict[str, Any]], first: str, second: str) -> None:
    """What each arm gains in one measure and loses in the other; the front is a line."""
    for number, (arm, own) in enumerate(_arms(runs).items()):
        axes.plot(_values(own, first), _values(own, second), ".", color=f"C{number}", alpha=0.6)
        where = statistics.fmean(_values(own, first)), statistics.fmean(_values(own, second))
        axes.annotate(arm, where, fontsize=7)
    front = [_arms(runs)[arm] for arm in pareto_front(runs, first, second)]
    points = [[statistics.fmean(_values(own, name)) for own in front] for name in (first, second)]
    axes.plot(*points, color="0.5", linewidth=1)
    axes.set(xlabel=first, ylabel=second, title="means; the line is the Pareto front")
    axes.grid(alpha=0.3)


def draw(results: dict[str, Any], file: str) -> Picture:
    """Draw the deciding measure over tokens, a colour for each arm, and the paired differences.

    With more than two arms also what they trade between the first two measures in bits per byte.

    Args:
        results: of one experiment.
        file: name of the picture beside its report.
    """
    from matplotlib.figure import Figure

    decide = list(results["experiment"]["decide"])
    shown = next((name for name in decide if name.startswith(_BITS)), "loss")
    both = [name for name in decide if name.startswith(_BITS)][:2]
    trade = len(both) == 2 and len(_arms(results["runs"])) > 2
    panels = 3 if trade else 2
    figure = Figure(figsize=(5.5 * panels, 4.2), layout="constrained")
    left, right, *more = figure.subplots(1, panels)
    for axes in more:
        _draw_front(axes, results["runs"], *both)
    for number, (arm, own) in enumerate(_arms(results["runs"]).items()):
        for i, run in enumerate(own):
            points = run["curve"].get(shown, [])
            tokens, values = [t / 1e6 for t, _ in points], [v for _, v in points]
            style = {"color": f"C{number}", "linewidth": 1.2, "alpha": 0.7, "marker": "."}
            left.plot(tokens, values, label=arm if i == 0 else None, **style)
    left.set(xlabel="tokens (millions)", ylabel=shown)
    left.grid(alpha=0.3)
    left.legend(fontsize=8)
    found = [c for c in results["comparisons"] if math.isfinite(c["high"])]
    for row, c in enumerate(found):
        half = (c["high"] - c["low"]) / 2
        right.errorbar(c["difference"], row, xerr=half, fmt="o", color="C0", capsize=3)
        width = 2 * c["smallest"]
        right.barh(row, width, left=-c["smallest"], color="0.9", height=0.8, zorder=0)
    right.axvline(0, color="0.5", linewidth=1)
    right.set_yticks(range(len(found)), [f"{c['arm']}\n{c['measure']}" for c in found], fontsize=7)
    right.invert_yaxis()
    right.set(xlabel="difference from the baseline, 95 % (grey: would not matter)")
    return Picture.of(figure, "curves and differences", file)
