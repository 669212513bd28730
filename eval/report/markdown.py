"""A report as Markdown, and its main table for the terminal."""

from __future__ import annotations

from ..published import load_published
from .content import Cell, Content, Line

_LEFT_OUT = "Rows that were measured otherwise are left out."


def number(cell: Cell | None) -> str:
    """A score in percent with its standard error; `?` after one whose measurement is unknown."""
    if cell is None:
        return ""
    mark = "?" if cell.match == "unknown" else ""
    error = "" if cell.stderr is None else f" ± {cell.stderr:.1f}"
    return f"{cell.value:.1f}{error}{mark}"


def _rows(table: list[list[str]]) -> list[str]:
    head, *rest = table
    aligned = [":---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(_escape(c) for c in line) + " |" for line in (head, aligned, *rest)]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main_table(content: Content) -> list[list[str]]:
    """Head and lines: task, how it was asked, questions, one column per run."""
    table = [["task", "asked", "questions", *content.names]]
    for line in content.lines:
        table.append([line.label, line.asked, f"{line.items:,}", *map(number, line.runs)])
    return table


def compared(content: Content) -> list[Line]:
    """Lines that published scores stand beside."""
    return [line for line in content.lines if line.published]


def terminal_table(content: Content) -> str:
    """The main table in columns."""
    table = main_table(content)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in table
    )


def _fence(text: str) -> str:
    """A code block that its content cannot end."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}text\n{text}\n{ticks}"


def markdown(content: Content) -> str:
    """The whole report."""
    published = load_published()
    first, name = content.results[content.main], content.names[content.main]
    parts = [f"# Evaluation of {name}", "", f"Made {first['date']}.", ""]
    parts += ["## Scores", "", "Percent, with standard errors.", ""]
    parts += _rows(main_table(content))
    if lines := compared(content):
        parts += ["", "## Beside published models", "", f"From the {published.source}. With ?: the"]
        parts += [
            "card does not say how it was measured. Rows measured otherwise are left out.",
            "",
        ]
        head = ["task", name, *published.models]
        body = [
            [line.label, number(line.runs[content.main]), *map(number, line.published)]
            for line in lines
        ]
        parts += _rows([head, *body])
    if content.thinking:
        parts += ["", "## Thinking", "", "Points that thinking adds, over the same questions.", ""]
        table = [["task", "run", "without", "with", "difference", "95 % interval", "p"]]
        for own in content.thinking:
            d = own.difference
            low, high = d.interval()
            table.append(
                [own.task, own.run, f"{d.first:.1%}", f"{d.second:.1%}", f"{100 * d.value:+.1f}"]
                + [f"{100 * low:+.1f} to {100 * high:+.1f}", f"{d.p_value:.2g}"]
            )
        parts += _rows(table)
    for group in content.subjects:
        parts += ["", f"## {group.label} by subject", ""]
        table = [["subject", "questions", *content.names]]
        table += [[subject, f"{n:,}", *map(number, cells)] for subject, n, cells in group.lines]
        parts += _rows(table)
    parts += ["", f"## All measurements of {name}", ""]
    table = [["task", "measured"]]
    for label, values in content.measures:
        table.append([label, ", ".join(f"{k} {v:.4f}" for k, v in values.items())])
    parts += _rows(table)
    parts += ["", f"## Wrong answers of {name}", ""]
    for label, wrong in content.wrong:
        for one in wrong:
            parts += [f"### {label}: {one.unit}, question {one.doc_id}", "", _fence(one.prompt), ""]
            parts += ["Answered:", "", _fence(one.answer), "", "Right:", "", _fence(one.target), ""]
    parts += ["## Environment", ""]
    for run, environment in content.environments():
        parts += [f"- {run}: " + ", ".join(f"{k} {v}" for k, v in environment.items())]
    settings = (f"{k}: {v}" for k, v in first["settings"].items())
    return "\n".join([*parts, "", "## Settings", "", *(f"- {one}" for one in settings), ""])
