"""What an experiment came to: its report, and the page of all published results."""

from __future__ import annotations

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
    Text,
)

from .measures import BITS
from .results import by_arm, measured, read_negative, records


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
    arms, rows = by_arm(results["runs"]), []
    for measure in results["experiment"]["decide"]:
        own = arms.get(baseline, [])
        value = own[0]["value"] if own else ""
        means = _mean(measured(own, measure))
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
                    _mean(measured(own, measure)),
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
        [arm, *(_mean(measured(own, name)) for name in names)]
        for arm, own in by_arm(results["runs"]).items()
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
    shipped = f"kormo experiment {results['name']} --size {results['size']}"
    arms = [
        f"{arm}: {', '.join(f'{k} = {v}' for k, v in settings.items()) or 'as the recipe'}"
        for arm, settings in experiment["arms"].items()
    ]
    columns = ["measure", "arm", "seeds>", "best of the sweep", "mean ± sd over seeds>"]
    columns += ["difference [95 %]>", "p (Holm)>", "80 % find>", "verdict"]
    tokens = {run["arm"]: run["tokens"] for run in results["runs"]}
    pairing = []
    for arm, own in results["pairing"].items():
        windows, base = own["windows"], tokens.get(experiment["baseline"])
        if windows == "yes" and tokens.get(arm) != base:
            windows = f"as far as both go, {tokens[arm]:,} tokens against {base:,}"
        pairing.append(
            f"{arm} and the baseline share their windows: {windows}; weights: {own['weights']}."
        )
    blocks: list[Block] = [
        Heading(f"{results['name']}, {results['size']}", level),
        Paragraph([Span(experiment["question"], "strong")]),
        Paragraph([Span(results.get("command", shipped), "code")]),
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


def _sentence(measure: str, found: list[dict[str, Any]]) -> Iterable[str | Span]:
    """Say what a measure came to: its arms by their verdicts, and how far a sure one is apart."""
    said = []
    for verdict in ("better", "worse", "no difference", "undecided"):
        own = [c for c in found if c["verdict"] == verdict]
        if verdict in ("better", "worse"):
            arms = [
                f"{c['arm']} {c['difference']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]"
                for c in own
            ]
        else:  # that all are so needs no names
            arms = [c["arm"] for c in own if len(own) < len(found)]
        said += [" ".join(filter(None, (", ".join(arms), verdict)))] if own else []
    return Span(measure.removeprefix(BITS)), f": {'; '.join(said)}.", " "


def _overview(results: dict[str, Any]) -> list[Text]:
    """One row of the table that the page begins with."""
    experiment, found = results["experiment"], results["comparisons"]
    said: list[str | Span] = []
    for measure in dict.fromkeys(c["measure"] for c in found):
        said += _sentence(measure, [c for c in found if c["measure"] == measure])
    seeds = len(experiment["seeds"])
    whole = seeds - len({seed for _, seed in _unfinished(results)})
    others = [arm for arm in experiment["arms"] if arm != experiment["baseline"]]
    return [
        f"{results['name']}, {results['size']}",
        experiment["question"],
        f"{', '.join(others)} against {experiment['baseline']}",
        str(seeds) if whole == seeds else f"{whole} of {seeds} for all arms",
        _minutes(results),
        said[:-1],
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
            "as many seeds find four times in five, were it the only comparison; so are the seeds "
            "counted that stand beside 'undecided'. A verdict is better, worse, no difference "
            "larger than what would matter, or undecided. All of it says something about this "
            "size, these data and this length, and no more."
        ),
    )
    published = records()
    columns = ["experiment", "question", "arms", "seeds>", "minutes>", "what came out"]
    caption = (
        "What came out: differences from the baseline with their intervals, where it is sure which "
        "is better. A language alone is its held-out text, in bits per byte"
    )
    if published:
        page.add(Table(columns, [_overview(results) for results in published], caption))
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
            "It rests on one to four seeds and on tiny models, as it says; intervals of what an "
            "experiment measured stand above. Written down so that nobody finds it out again."
        ),
        Table(["tried", "result", "what it cannot tell", "where it was measured"], rows),
    ]
