"""What the report of an evaluation says, before it is laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.statistics import Difference

from .compare import compare_rows
from .published import Match, load_published
from .run_dir import RESULTS, read_results, read_samples
from .suites import FLOOR_BITS

_WRONG_PER_ROW = 3
# Of a unit, what is shown.
_UNIT = {"alias": str, "items": int, "metrics": dict, "environment": dict}
# Characters of a prompt's end: the question itself stands there, after the examples.
_PROMPT_END = 800
_ANSWER_START = 1200


@dataclass(frozen=True)
class MeasuredCell:
    """A score in percent, or bits per byte.

    Attributes:
        value: the score.
        interval: of 95 %, where there is one.
        match: for a published score, whether it was measured as ours.
        floor: of bits per byte (eval/gold.py); `None` for a score in percent.
    """

    value: float
    interval: tuple[float, float] | None = None
    match: Match = "same"
    floor: float | None = None

    @staticmethod
    def of(value: float, interval: Sequence[float] | None) -> MeasuredCell:
        """Make a cell of a share between 0 and 1, and of its interval.

        What is beyond that is no share, and stays as it is: a perplexity, or a score that its task
        gives in percent already.
        """
        if not 0 <= value <= 1:
            return MeasuredCell(value, interval and (interval[0], interval[1]))
        return MeasuredCell(100 * value, interval and (100 * interval[0], 100 * interval[1]))

    @staticmethod
    def of_row(row: dict[str, Any]) -> MeasuredCell:
        """Make a cell of a row of `results.json`."""
        if row.get("floor") is None:
            return MeasuredCell.of(row["value"], row.get("interval"))
        interval = row.get("interval")
        return MeasuredCell(
            row["value"], interval and (interval[0], interval[1]), floor=row["floor"]
        )

    @staticmethod
    def of_unit(unit: dict[str, Any], metric: str) -> MeasuredCell:
        """Make a cell of a unit of `results.json`, which has the metric."""
        figures, interval = unit["metrics"], unit.get("intervals", {}).get(metric)
        floor = figures.get(f"{FLOOR_BITS},none")
        return MeasuredCell.of_row({"value": figures[metric], "interval": interval, "floor": floor})

    def __str__(self) -> str:
        if self.floor is not None:
            low, high = self.interval or (self.value, self.value)
            return f"{self.value:.3f} ({low:.3f} to {high:.3f}), floor {self.floor:.3f}"
        mark = "?" if self.match == "unknown" else ""
        if self.interval is None:
            return f"{self.value:.1f}{mark}"
        return f"{self.value:.1f} ({self.interval[0]:.1f} to {self.interval[1]:.1f}){mark}"


@dataclass(frozen=True)
class ResultLine:
    """A row of the main table.

    Attributes:
        label: name of the task, and whether the model thought.
        asked: shots and metric, for people.
        items: questions of each run, `None` likewise.
        runs: one cell per run, `None` where a run has no such score.
        published: one cell per published model; empty where nothing compares.
    """

    label: str
    asked: str
    items: list[int | None]
    runs: list[MeasuredCell | None]
    published: list[MeasuredCell]

    @property
    def questions(self) -> str:
        """How many, for people: once if all runs answered as many."""
        return "; ".join(dict.fromkeys(f"{own:,}" for own in self.items if own is not None))


@dataclass(frozen=True)
class Failure:
    """A wrong answer.

    Attributes:
        unit: task that it belongs to.
        doc_id: its place in the data.
        prompt: end of what the model read.
        answer: what it gave, or chose.
        target: what was right.
    """

    unit: str
    doc_id: int
    prompt: str
    answer: str
    target: str


@dataclass(frozen=True)
class Content:
    """What a report says, before it is laid out.

    Attributes:
        names: of the runs.
        main: index of the run that is reported on; the others stand beside it.
        results: their `results.json`.
        lines: main table; averages of whole suites come last.
        thinking: run, task, and what thinking adds.
        wrong: wrong answers of the main run, by label; without rows that have none.
    """

    names: list[str]
    main: int
    results: list[dict[str, Any]]
    lines: list[ResultLine]
    thinking: list[tuple[str, str, Difference]]
    wrong: list[tuple[str, list[Failure]]]


def _published(row: dict[str, Any]) -> list[MeasuredCell]:
    # A score after thinking is measured in another way than any of the card's.
    if row["published"] is None or row["think"]:
        return []
    own = load_published().rows()[row["published"]]
    match = own.match(row["shots"], row["metric"])
    return [] if match == "other" else [MeasuredCell(score, match=match) for score in own.scores]


def _lines(results: list[dict[str, Any]]) -> list[ResultLine]:
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["task"], row["think"], row["shots"], row["metric"], row["chat"]

    by_key = [{key(row): row for row in one["rows"]} for one in results]
    wanted = {own: row for rows in reversed(by_key) for own, row in rows.items()}
    lines = []
    for own in dict.fromkeys(own for rows in by_key for own in rows):
        row = wanted[own]
        asked = f"{row['shots']}-shot {row['metric'].removesuffix(',none')}"
        asked += ", chat" if row["chat"] else ""
        found = [rows.get(own) for rows in by_key]
        cells = [one and MeasuredCell.of_row(one) for one in found]
        items = [one and one["items"] for one in found]
        lines.append(ResultLine(row["label"], asked, items, cells, _published(row)))
    return lines


def _averages(results: list[dict[str, Any]]) -> Iterator[ResultLine]:
    """Yield the unweighted mean of the card's rows of a language, where a run has all of them."""
    published = load_published()
    for language in ("english", "korean"):
        wanted = getattr(published, language)
        cells: list[MeasuredCell | None] = []
        items: list[int | None] = []
        for one in results:
            own = {r["published"]: r for r in one["rows"] if r["published"] and not r["think"]}
            whole = wanted.keys() <= own.keys()
            values = [own[name]["value"] for name in wanted] if whole else []
            cells.append(MeasuredCell(100 * sum(values) / len(values)) if whole else None)
            items.append(sum(own[name]["items"] for name in wanted) if whole else None)
        if any(cells):
            theirs = [
                MeasuredCell(score, match="unknown")
                for score in published.averages(language).values()
            ]
            label = f"average of the card's {len(wanted)} {language.capitalize()} rows"
            yield ResultLine(label, "unweighted mean", items, cells, theirs)


def _thinking(
    runs: Sequence[Path], results: list[dict[str, Any]]
) -> Iterator[tuple[str, str, Difference]]:
    for run, one in zip(runs, results):
        rows = {(row["suite"], row["task"], row["think"]): row for row in one["rows"]}
        for (suite, task, think), row in rows.items():
            other = rows.get((suite, task, True))
            if not think and other is not None:
                yield one["name"], task, compare_rows(run, run, row, other)


def _chosen(record: dict[str, Any]) -> tuple[str, float]:
    """The likeliest choice, and its lead over the right one in nats."""
    likelihoods = [float(own[0]) for own in record["answer"]]
    best = max(range(len(likelihoods)), key=lambda i: likelihoods[i])
    target = record["target"]
    lead = likelihoods[best] - likelihoods[target] if isinstance(target, int) else 0.0
    return record["choices"][best], lead


def _failure(unit: str, record: dict[str, Any]) -> Failure:
    target = record["target"]
    if record["choices"] is not None:
        answer, _ = _chosen(record)
        if isinstance(target, int):
            target = record["choices"][target]
    else:
        answer = str(record["responses"][0][0])
    prompt = record["prompt"]
    return Failure(
        unit,
        record["doc_id"],
        prompt if len(prompt) <= _PROMPT_END else f"… {prompt[-_PROMPT_END:]}",
        answer.strip() if len(answer) <= _ANSWER_START else f"{answer[:_ANSWER_START]} …",
        str(target).strip(),
    )


def _failures(run: Path, row: dict[str, Any]) -> list[Failure]:
    """Pick a few wrong answers of a row.

    Of choices, those that the model was surest of; of generated answers, some from all over the
    data.
    """
    metric, _, filter_ = row["metric"].partition(",")
    wrong = [
        (unit, record)
        for unit in row["units"]
        for record in read_samples(run, unit)
        if record["filter"] == filter_ and record["metrics"].get(metric) == 0
    ]
    if wrong and wrong[0][1]["choices"] is not None:
        wrong.sort(key=lambda own: -_chosen(own[1])[1])
        picked = wrong[:_WRONG_PER_ROW]
    else:
        picked = wrong[:: max(1, len(wrong) // _WRONG_PER_ROW)][:_WRONG_PER_ROW]
    return [_failure(unit, record) for unit, record in picked]


def _check_shown(run: Path, results: dict[str, Any]) -> None:
    """Refuse results that hold nothing to be shown, or a unit without what is shown of it."""
    problems = [] if results["rows"] else ["it has no rows"]
    for key in (key for row in results["rows"] for key in row["units"]):
        unit = results["units"][key]
        known = isinstance(unit, dict) and all(isinstance(unit.get(k), t) for k, t in _UNIT.items())
        problems += [] if known else [f"unit {key} lacks one of {', '.join(_UNIT)}"]
    if problems:
        raise RecipeError(
            f"{run / RESULTS}: {problems[0]}; delete it and start the evaluation again: finished "
            "tasks are kept"
        )


def collect(runs: Sequence[Path], main: int = 0) -> Content:
    """Read runs that have ended.

    Args:
        runs: directories.
        main: index of the one that is reported on.

    Raises:
        RecipeError: a run that has not ended, or whose files are missing or damaged.
    """
    results = [read_results(run) for run in runs]
    for run, one in zip(runs, results):
        _check_shown(run, one)
    names = [one["name"] for one in results]
    # Those that two models share get their directory's name, too.
    names = [own if names.count(own) == 1 else f"{own} ({run})" for own, run in zip(names, runs)]
    wrong = ((row["label"], _failures(runs[main], row)) for row in results[main]["rows"])
    return Content(
        names=names,
        main=main,
        results=results,
        lines=[*_lines(results), *_averages(results)],
        thinking=list(_thinking(runs, results)),
        wrong=[(label, failures) for label, failures in wrong if failures],
    )
