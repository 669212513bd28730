"""What a report says, before it is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.common.statistics import Difference

from ..compare import compare_rows
from ..published import Match, load_published
from ..run_dir import read_results
from .failures import Failure, failures


@dataclass(frozen=True)
class Cell:
    """A score in percent.

    Attributes:
        value: the score.
        stderr: its standard error, where there is one.
        match: for a published score, whether it was measured as ours.
    """

    value: float
    stderr: float | None = None
    match: Match = "same"


@dataclass(frozen=True)
class Line:
    """A row of the main table.

    Attributes:
        suite: that it belongs to.
        label: name of the task, and whether the model thought.
        asked: shots and metric, for people.
        items: questions.
        runs: one cell per run, `None` where a run has no such score.
        published: one cell per published model; empty where nothing compares.
    """

    suite: str
    label: str
    asked: str
    items: int
    runs: list[Cell | None]
    published: list[Cell]


@dataclass(frozen=True)
class Subjects:
    """The tasks of a group, one line each."""

    label: str
    lines: list[tuple[str, int, list[Cell | None]]]


@dataclass(frozen=True)
class Thinking:
    """A task with and without thinking, in one run."""

    run: str
    task: str
    difference: Difference


@dataclass(frozen=True)
class Content:
    """A report.

    Attributes:
        names: of the runs.
        main: index of the run that is reported on; the others stand beside it.
        results: their `results.json`.
        lines: main table.
        subjects: of groups.
        thinking: with thinking minus without.
        measures: all that was measured of a row in the main run, by metric.
        wrong: wrong answers of the main run, by label.
    """

    names: list[str]
    main: int
    results: list[dict[str, Any]]
    lines: list[Line]
    subjects: list[Subjects]
    thinking: list[Thinking]
    measures: list[tuple[str, dict[str, float]]]
    wrong: list[tuple[str, list[Failure]]]

    def environments(self) -> list[tuple[str, dict[str, str]]]:
        """What each run ran on; several if it was continued elsewhere or with other code."""
        found = []
        for name, results in zip(self.names, self.results):
            own = [unit["environment"] for unit in results["units"].values()]
            found += [(name, one) for i, one in enumerate(own) if one not in own[:i]]
        return found


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["task"], row["think"], row["shots"], row["metric"], row["chat"]


def _cell(row: dict[str, Any] | None) -> Cell | None:
    if row is None:
        return None
    stderr = None if row["stderr"] is None else 100 * row["stderr"]
    return Cell(100 * row["value"], stderr)


def _published(row: dict[str, Any]) -> list[Cell]:
    # A score after thinking is measured in another way than any of the card's.
    if row["published"] is None or row["think"]:
        return []
    own = load_published().rows()[row["published"]]
    match = own.match(row["shots"], row["metric"])
    return [] if match == "other" else [Cell(score, match=match) for score in own.scores]


def _lines(results: list[dict[str, Any]]) -> list[Line]:
    by_key = [{_key(row): row for row in one["rows"]} for one in results]
    wanted = {key: row for rows in reversed(by_key) for key, row in rows.items()}
    order = dict.fromkeys(key for rows in by_key for key in rows)
    lines = []
    for key in order:
        row = wanted[key]
        asked = f"{row['shots']}-shot {row['metric'].removesuffix(',none')}"
        asked += ", chat" if row["chat"] else ""
        cells = [_cell(rows.get(key)) for rows in by_key]
        lines.append(Line(row["suite"], row["label"], asked, row["items"], cells, _published(row)))
    return lines


def _unit_cell(results: dict[str, Any], unit: str, metric: str) -> Cell | None:
    metrics = results["units"].get(unit, {}).get("metrics", {})
    if metric not in metrics:
        return None
    name, _, filter_ = metric.partition(",")
    stderr = metrics.get(f"{name}_stderr,{filter_}")
    return Cell(100 * metrics[metric], 100 * stderr if isinstance(stderr, int | float) else None)


def _subjects(results: list[dict[str, Any]]) -> list[Subjects]:
    return [
        Subjects(
            row["label"],
            [
                (
                    results[0]["units"][unit]["alias"],
                    results[0]["units"][unit]["items"],
                    [_unit_cell(one, unit, row["metric"]) for one in results],
                )
                for unit in row["units"]
            ],
        )
        for row in results[0]["rows"]
        if row["group"] and len(row["units"]) > 1
    ]


def _thinking(runs: Sequence[Path], results: list[dict[str, Any]]) -> list[Thinking]:
    found = []
    for run, one in zip(runs, results):
        rows = {(row["suite"], row["task"], row["think"]): row for row in one["rows"]}
        for (suite, task, think), row in rows.items():
            other = rows.get((suite, task, True))
            if not think and other is not None:
                difference = compare_rows(run, run, row, other)
                found.append(Thinking(one["name"], task, difference))
    return found


def _measures(results: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Every metric of a row, averaged over its questions."""
    found = []
    for row in results["rows"]:
        units = [results["units"][key] for key in row["units"]]
        total = sum(unit["items"] for unit in units)
        names = [k for k in units[0]["metrics"] if "_stderr," not in k]
        means = {
            name.removesuffix(",none"): sum(u["metrics"][name] * u["items"] for u in units) / total
            for name in names
            if all(isinstance(unit["metrics"].get(name), int | float) for unit in units)
        }
        found.append((row["label"], means))
    return found


def unique_names(runs: Sequence[Path], results: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the runs; those that two models share get their directory's name, too."""
    names = [one["name"] for one in results]
    return [name if names.count(name) == 1 else f"{name} ({run})" for name, run in zip(names, runs)]


def collect(runs: Sequence[Path], main: int = 0) -> Content:
    """Read runs that have ended.

    Args:
        runs: directories.
        main: index of the one that is reported on.

    Raises:
        RecipeError: a run that has not ended, or whose files are missing.
    """
    results = [read_results(run) for run in runs]
    return Content(
        names=unique_names(runs, results),
        main=main,
        results=results,
        lines=_lines(results),
        subjects=_subjects(results),
        thinking=_thinking(runs, results),
        measures=_measures(results[main]),
        wrong=[(row["label"], failures(runs[main], row)) for row in results[main]["rows"]],
    )
