"""The report of an evaluation: a page (HTML and Markdown), and a table in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from data_recipes.common import page
from data_recipes.common.page import Bullets, Details, Heading, Page, Paragraph, Pre, Table
from data_recipes.common.terminal import align

from .collect import Content, MeasuredCell
from .published import load_published

# Blue of a table's darkest cell; white is the lightest.
_DARK = (24, 83, 145)


def terminal_table(content: Content) -> str:
    """Lay the main table out in columns."""
    rows = [["task", "asked", "questions", *content.names]]
    for line in content.lines:
        cells = ("" if cell is None else str(cell) for cell in line.runs)
        rows.append([line.label, line.asked, line.questions, *cells])
    return align(rows, left=(0, 1))


def _shaded(cells: Sequence[MeasuredCell | None]) -> list[page.Cell | str]:
    """Lay scores out as cells from white at 0 % to dark blue at 100 %."""
    shown: list[page.Cell | str] = []
    for cell in cells:
        if cell is None:
            shown.append("")
            continue
        if cell.floor is not None or not math.isfinite(cell.value):
            shown.append(str(cell))
            continue
        share = min(max(cell.value / 100, 0.0), 1.0)
        red, green, blue = (round(255 - (255 - dark) * share) for dark in _DARK)
        ink = "#fff" if share > 0.55 else "#111"
        shown.append(page.Cell(str(cell), colour=f"rgb({red},{green},{blue});color:{ink}"))
    return shown


def _plot(content: Content) -> page.Picture:
    """Draw the scores of several runs in their order, one line per task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots()
    bits = [line for line in content.lines if any(c and c.floor is not None for c in line.runs)]
    percent = [line for line in content.lines if line not in bits]
    for line in percent or bits:  # two scales do not go on one axis
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
    unit = "score (%)" if percent else "bits per byte of right answers"
    axes.set(ylabel=f"{unit}, 95 % interval", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return page.Picture.of(figure, "scores of the runs in their order")


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
        metric = row["metric"]
        yield Heading(f"{row['label']} by subject")
        rows: list[list[Any]] = []
        for key in row["units"]:
            found = [own.get(key, {"metrics": {}}) for own in units]
            cells = [
                MeasuredCell.of_unit(one, metric) if metric in one["metrics"] else None
                for one in found
            ]
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
        Paragraph(
            "Percent, with 95 % intervals over questions; of `gold_bits` bits per byte of right "
            "answers, the fewer the better, beside the floor of answers to other questions."
        ),
        Table(
            ["task", "asked", "questions>", *(f"{one}>" for one in content.names)],
            [
                [line.label, line.asked, line.questions, *_shaded(line.runs)]
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
    if content.wrong:
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
