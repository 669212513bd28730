"""What an evaluation found: a page (HTML and Markdown), and a table in the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.common import page
from data_recipes.common.page import Bullets, Details, Heading, Page, Paragraph, Pre, Table
from data_recipes.common.statistics import Difference

from .compare import compare_rows
from .published import Match, load_published
from .run_dir import read_results, read_samples

_WRONG_PER_ROW = 3
# Characters of a prompt's end: the question itself stands there, after the examples.
_PROMPT_END = 800
_ANSWER_START = 1200
# Blue of a table's darkest cell; white is the lightest.
_DARK = (24, 83, 145)


@dataclass(frozen=True)
class Cell:
    """A score in percent.

    Attributes:
        value: the score.
        interval: of 95 %, where there is one.
        match: for a published score, whether it was measured as ours.
    """

    value: float
    interval: tuple[float, float] | None = None
    match: Match = "same"

    def __str__(self) -> str:
        mark = "?" if self.match == "unknown" else ""
        if self.interval is None:
            return f"{self.value:.1f}{mark}"
        return f"{self.value:.1f} ({self.interval[0]:.1f} to {self.interval[1]:.1f}){mark}"

    def shaded(self) -> page.Cell:
        """Lay out as a cell from white at 0 % to dark blue at 100 %."""
        share = min(max(self.value / 100, 0.0), 1.0)
        red, green, blue = (round(255 - (255 - dark) * share) for dark in _DARK)
        ink = "#fff" if share > 0.55 else "#111"
        return page.Cell(str(self), colour=f"rgb({red},{green},{blue});color:{ink}")


@dataclass(frozen=True)
class Line:
    """A row of the main table.

    Attributes:
        label: name of the task, and whether the model thought.
        asked: shots and metric, for people.
        items: questions.
        runs: one cell per run, `None` where a run has no such score.
        published: one cell per published model; empty where nothing compares.
    """

    label: str
    asked: str
    items: int
    runs: list[Cell | None]
    published: list[Cell]


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
        wrong: wrong answers of the main run, by label.
    """

    names: list[str]
    main: int
    results: list[dict[str, Any]]
    lines: list[Line]
    thinking: list[tuple[str, str, Difference]]
    wrong: list[tuple[str, list[Failure]]]


def _cell(row: dict[str, Any] | None) -> Cell | None:
    if row is None:
        return None
    interval = row.get("interval")
    return Cell(100 * row["value"], interval and (100 * interval[0], 100 * interval[1]))


def _published(row: dict[str, Any]) -> list[Cell]:
    # A score after thinking is measured in another way than any of the card's.
    if row["published"] is None or row["think"]:
        return []
    own = load_published().rows()[row["published"]]
    match = own.match(row["shots"], row["metric"])
    return [] if match == "other" else [Cell(score, match=match) for score in own.scores]


def _lines(results: list[dict[str, Any]]) -> list[Line]:
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["task"], row["think"], row["shots"], row["metric"], row["chat"]

    by_key = [{key(row): row for row in one["rows"]} for one in results]
    wanted = {own: row for rows in reversed(by_key) for own, row in rows.items()}
    lines = []
    for own in dict.fromkeys(own for rows in by_key for own in rows):
        row = wanted[own]
        asked = f"{row['shots']}-shot {row['metric'].removesuffix(',none')}"
        asked += ", chat" if row["chat"] else ""
        cells = [_cell(rows.get(own)) for rows in by_key]
        lines.append(Line(row["label"], asked, row["items"], cells, _published(row)))
    return lines


def _averages(results: list[dict[str, Any]]) -> Iterator[Line]:
    """Yield the unweighted mean of the card's rows of a language, where a run has all of them."""
    published = load_published()
    for language in ("english", "korean"):
        wanted = getattr(published, language)
        cells: list[Cell | None] = []
        items = 0
        for one in results:
            own = {r["published"]: r for r in one["rows"] if r["published"] and not r["think"]}
            whole = wanted.keys() <= own.keys()
            values = [own[name]["value"] for name in wanted] if whole else []
            cells.append(Cell(100 * sum(values) / len(values)) if whole else None)
            items = max(items, sum(own[name]["items"] for name in wanted) if whole else 0)
        if any(cells):
            theirs = [
                Cell(score, match="unknown") for score in published.averages(language).values()
            ]
            label = f"average of the card's {len(wanted)} {language.capitalize()} rows"
            yield Line(label, "unweighted mean", items, cells, theirs)


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


def collect(runs: Sequence[Path], main: int = 0) -> Content:
    """Read runs that have ended.

    Args:
        runs: directories.
        main: index of the one that is reported on.

    Raises:
        RecipeError: a run that has not ended, or whose files are missing or damaged.
    """
    results = [read_results(run) for run in runs]
    names = [one["name"] for one in results]
    # Those that two models share get their directory's name, too.
    names = [own if names.count(own) == 1 else f"{own} ({run})" for own, run in zip(names, runs)]
    return Content(
        names=names,
        main=main,
        results=results,
        lines=[*_lines(results), *_averages(results)],
        thinking=list(_thinking(runs, results)),
        wrong=[(row["label"], _failures(runs[main], row)) for row in results[main]["rows"]],
    )


def terminal_table(content: Content) -> str:
    """Lay the main table out in columns."""
    table = [["task", "asked", "questions", *content.names]]
    for line in content.lines:
        cells = ("" if cell is None else str(cell) for cell in line.runs)
        table.append([line.label, line.asked, f"{line.items:,}", *cells])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in table
    )


def _shaded(cells: Sequence[Cell | None]) -> list[page.Cell | str]:
    return ["" if cell is None else cell.shaded() for cell in cells]


def _plot(content: Content) -> page.Picture:
    """Draw the scores of several runs in their order, one line per task."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4.8), layout="constrained")
    for line in content.lines:
        points = [(i, cell) for i, cell in enumerate(line.runs) if cell is not None]
        ends = [cell.interval or (cell.value, cell.value) for _, cell in points]
        axes.errorbar(
            [i for i, _ in points],
            [cell.value for _, cell in points],
            yerr=[
                [max(0.0, cell.value - low) for (_, cell), (low, _) in zip(points, ends)],
                [max(0.0, high - cell.value) for (_, cell), (_, high) in zip(points, ends)],
            ],
            label=line.label,
            marker="o",
            markersize=4,
            capsize=3,
            linewidth=1.4,
            linestyle="--" if "(thinking)" in line.label else "-",
        )
    axes.set_xticks(range(len(content.names)), content.names, rotation=20, ha="right")
    axes.set(ylabel="score (%), 95 % interval", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    return page.Picture(buffer.getvalue(), "scores of the runs in their order")


def _thinking_table(content: Content) -> Table:
    rows = []
    for run, task, d in content.thinking:
        rows.append(
            [task, run, f"{d.first:.1%}", f"{d.second:.1%}", f"{100 * d.value:+.1f}"]
            + [f"{100 * d.low:+.1f} to {100 * d.high:+.1f}", f"{d.p_value:.2g}", d.test]
        )
    columns = ["task", "run", "without>", "with>", "difference>", "95 % interval>", "p>", "test"]
    return Table(columns, rows)


def _subject_tables(content: Content) -> Iterator[Heading | Table]:
    units = [one["units"] for one in content.results]
    for row in content.results[0]["rows"]:
        if not row["group"] or len(row["units"]) < 2:
            continue
        yield Heading(f"{row['label']} by subject")
        rows: list[list[Any]] = []
        for key in row["units"]:
            cells = []
            for own in units:
                metrics = own.get(key, {}).get("metrics", {})
                intervals = own.get(key, {}).get("intervals", {})
                unit = {
                    "value": metrics.get(row["metric"]),
                    "interval": intervals.get(row["metric"]),
                }
                cells.append(_cell(unit if row["metric"] in metrics else None))
            alias = page.Cell(units[0][key]["alias"], language="ko")
            rows.append([alias, f"{units[0][key]['items']:,}", *_shaded(cells)])
        yield Table(["subject", "questions>", *(f"{name}>" for name in content.names)], rows)


def _measures(results: dict[str, Any]) -> Table:
    """Every metric of a row, averaged over its questions."""
    rows = []
    for row in results["rows"]:
        units = [results["units"][key] for key in row["units"]]
        total = sum(unit["items"] for unit in units)
        means = {
            name.removesuffix(",none"): sum(u["metrics"][name] * u["items"] for u in units) / total
            for name in units[0]["metrics"]
            if "_stderr," not in name
            and all(isinstance(unit["metrics"].get(name), int | float) for unit in units)
        }
        rows.append([row["label"], ", ".join(f"{k} {v:.4f}" for k, v in means.items())])
    return Table(["task", "measured"], rows)


def _protocols(content: Content) -> list[str]:
    """Say once per task how its score differs from its authors' own."""
    found: dict[str, str] = {}
    for results in content.results:
        for row in results["rows"]:
            for key in row["units"]:
                protocol = results["units"][key].get("protocol")
                if protocol:
                    found.setdefault(protocol, row["task"])
    return [f"{task}: {protocol}" for protocol, task in found.items()]


def _environments(content: Content) -> list[list[str]]:
    """What each run ran on; several lines if it was continued elsewhere or with other code."""
    rows = []
    for name, results in zip(content.names, content.results):
        own = [unit["environment"] for unit in results["units"].values()]
        distinct = [one for i, one in enumerate(own) if one not in own[:i]]
        rows += [[name, ", ".join(f"{k} {v}" for k, v in one.items())] for one in distinct]
    return rows


def _card_table() -> Table:
    published = load_published()
    rows: list[list[str]] = []
    for language in ("english", "korean"):
        for name, row in getattr(published, language).items():
            basis = f"{row.shots}-shot {row.metric} ({row.basis})" if row.basis else ""
            rows.append([name, *(f"{score:.2f}" for score in row.scores), basis])
        averages = published.averages(language).values()
        rows.append([f"{language} average", *(f"{score:.2f}" for score in averages), ""])
    columns = ["benchmark", *(f"{model}>" for model in published.models), "shots and metric"]
    return Table(columns, rows)


def build_page(content: Content, *, plot: bool = False) -> Page:
    """Lay out the report.

    Args:
        content: of the report.
        plot: draw the runs as a line from the first to the last.
    """
    published = load_published()
    results, name = content.results[content.main], content.names[content.main]
    report = Page(f"Evaluation of {name}")
    report.add(
        Paragraph(f"Made {results['date']}.", tone="dim"),
        Heading("Scores"),
        Paragraph("Percent, with 95 % intervals over questions."),
        Table(
            ["task", "asked", "questions>", *(f"{one}>" for one in content.names)],
            [
                [line.label, line.asked, f"{line.items:,}", *_shaded(line.runs)]
                for line in content.lines
            ],
        ),
    )
    if plot:
        report.add(_plot(content))
    if compared := [line for line in content.lines if line.published]:
        report.add(
            Heading("Beside published models"),
            Paragraph(
                f"From the {published.source}. With ?: the card does not say how it was measured. "
                "Rows measured otherwise are left out."
            ),
            Table(
                ["task", f"{name}>", *(f"{model}>" for model in published.models)],
                [
                    [line.label, *_shaded([line.runs[content.main], *line.published])]
                    for line in compared
                ],
            ),
        )
    if protocols := _protocols(content):
        report.add(Heading("Differences to the authors' own protocols"), Bullets(protocols))
    if content.thinking:
        report.add(
            Heading("Thinking"),
            Paragraph("Points that thinking adds, over the same questions, in pairs."),
            _thinking_table(content),
        )
    report.add(*_subject_tables(content))
    report.add(Heading(f"All measurements of {name}"), _measures(results))
    report.add(
        Heading(f"Wrong answers of {name}"),
        Paragraph(
            "Of choices, those that the model was surest of; of written answers, some from all "
            "over the data. The end of the prompt is shown.",
            tone="dim",
        ),
    )
    for number, (label, wrong) in enumerate(content.wrong):
        blocks: list[page.Block] = []
        for one in wrong:
            blocks += [
                Paragraph(f"{one.unit}, question {one.doc_id}", tone="dim"),
                Pre(one.prompt, language="ko"),
                Paragraph("answered", tone="dim"),
                Pre(one.answer, tone="bad", language="ko"),
                Paragraph("right", tone="dim"),
                Pre(one.target, tone="good", language="ko"),
            ]
        report.add(Details(f"{label}: {len(wrong)} shown", blocks, open=number == 0))
    settings = [[key, str(value)] for key, value in results["settings"].items()]
    report.add(
        Heading("The card's table"),
        Details("All published scores", [_card_table()]),
        Heading("Environment"),
        Table(["run", "environment"], _environments(content)),
        Details("Settings", [Table(["setting", "value"], settings)]),
    )
    return report
