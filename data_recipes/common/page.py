"""One report, as Markdown and as one HTML file that runs nothing and asks for no other file.

A report is a list of blocks. Whatever text they hold is escaped, and control characters are shown
in place of acted upon.
"""

import base64
import html
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .files import git_commit, open_staged
from .terminal import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tone = Literal["", "good", "bad", "dim"]
_CSS = Path(__file__).with_name("page.css")


@dataclass(frozen=True)
class Span:
    """A stretch of text that stands out.

    Attributes:
        text: as it is.
        style: `strong`, `mark` (highlighted), `code`, or a tone.
    """

    text: str
    style: Literal["strong", "mark", "code", "good", "bad", "dim"] = "strong"


# A line of text: plain, or in parts.
Text = str | Sequence[str | Span]


@dataclass(frozen=True)
class Heading:
    """A heading below the report's title.

    Attributes:
        text: of the heading; in HTML it can be linked to by its anchor.
        level: 2 for a section, 3 below it.
    """

    text: str
    level: int = 2

    @property
    def anchor(self) -> str:
        return re.sub(r"\W+", "-", self.text.lower()).strip("-")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph.

    Attributes:
        text: its text.
        tone: `bad` for what must not be overlooked, `dim` for notes.
    """

    text: Text
    tone: Tone = ""


@dataclass(frozen=True)
class Bullets:
    """A list with bullets.

    Attributes:
        items: a line each.
        tone: of all of them.
    """

    items: Sequence[Text]
    tone: Tone = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than its text.

    Attributes:
        text: its text.
        bar: a share between 0 and 1, drawn behind the text as a bar (HTML only).
        colour: CSS colour of the background (HTML only).
        tone: of the text.
        language: code of the text's language, so that fonts fit.
    """

    text: Text
    bar: float | None = None
    colour: str = ""
    tone: Tone = ""
    language: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: their names; one that ends in `>` is set to the right, for numbers.
        rows: as many cells each as there are columns.
        caption: stands above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Text | Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Pre:
    """Text of others, with its line ends: a document, a prompt, an answer.

    Attributes:
        text: its text.
        tone: of the edge.
        language: code of its language.
    """

    text: Text
    tone: Tone = ""
    language: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        image: PNG bytes.
        title: what it shows, for those who cannot see it.
        file: name of a copy beside the report, for Markdown, which cannot hold pictures.
    """

    image: bytes
    title: str
    file: str = ""

    @staticmethod
    def of(figure: "Figure", title: str, file: str = "") -> "Picture":
        """Render a figure of matplotlib (made as `Figure(…)`, which needs no display)."""
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=120)
        return Picture(image.getvalue(), title, file)


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away until they are asked for.

    Attributes:
        summary: the line that is seen.
        blocks: what is below it.
        open: unfolded from the start.
    """

    summary: Text
    blocks: "Sequence[Block]"
    open: bool = False


Block = Heading | Paragraph | Bullets | Table | Pre | Picture | Details


def made(packages: Mapping[str, str] | None = None) -> Paragraph:
    """Say when and with which code a report is made, to begin it with.

    Args:
        packages: versions by name, of those that decide what it says.
    """
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = {"Python": sys.version.split()[0], **(packages or {})}
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Paragraph(f"Made {date}; commit {git_commit() or 'not in git'}; {shown}", "dim")


@dataclass
class Page:
    """A report.

    Attributes:
        title: its title.
        blocks: in their order.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Append blocks."""
        self.blocks += blocks

    def to_html(self) -> str:
        """Render one self-contained HTML file."""
        sections = [b for b in self.blocks if isinstance(b, Heading) and b.level == 2]
        links = " · ".join(f'<a href="#{h.anchor}">{_html(h.text)}</a>' for h in sections)
        body = "\n".join(map(_block_html, self.blocks))
        # Whatever a document holds, the page runs nothing and asks for nothing.
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f"<title>{_html(self.title)}</title>\n"
            f"<style>\n{_CSS.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
            f"<h1>{_html(self.title)}</h1>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
        )

    def to_markdown(self) -> str:
        """Render Markdown as GitHub reads it."""
        parts = [f"# {_markdown(self.title)}", *map(_block_markdown, self.blocks)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def write(self, path: Path) -> None:
        """Write the report whole: `.md` as Markdown, anything else as HTML.

        Raises:
            RecipeError: the disk is full.
        """
        with open_staged(path) as file:
            file.write(self.to_markdown() if path.suffix == ".md" else self.to_html())

    def write_both(self, path: Path) -> None:
        """Write HTML, Markdown beside it, and the copies of pictures that the latter shows.

        Args:
            path: of the HTML; the others lie beside it.

        Raises:
            RecipeError: the disk is full.
        """
        self.write(path)
        self.write(path.with_suffix(".md"))
        for picture in _pictures(self.blocks):
            if picture.file:
                with open_staged(path.with_name(picture.file), "wb") as file:
                    file.write(picture.image)


def _pictures(blocks: "Sequence[Block]") -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Details):
            yield from _pictures(block.blocks)


def _parts(text: Text) -> Iterable[str | Span]:
    return [text] if isinstance(text, str) else text


_TAGS = {"strong": "b", "mark": "mark", "code": "code"}


def _html(text: Text) -> str:
    shown = []
    for part in _parts(text):
        if isinstance(part, str):
            shown.append(html.escape(visible(part)))
            continue
        inner = html.escape(visible(part.text))
        tag = _TAGS.get(part.style)
        shown.append(
            f"<{tag}>{inner}</{tag}>" if tag else f'<span class="{part.style}">{inner}</span>'
        )
    return "".join(shown)


def _attributes(tone: str = "", language: str = "", style: str = "") -> str:
    given = {"class": tone, "lang": language, "style": style}
    return "".join(f' {name}="{html.escape(value)}"' for name, value in given.items() if value)


def _cell_html(cell: Text | Cell, name: str) -> str:
    cell = cell if isinstance(cell, Cell) else Cell(cell)
    style = f"background: {cell.colour}" if cell.colour else ""
    if cell.bar is not None:
        share = f"{100 * min(1.0, max(0.0, cell.bar)):.1f}%"
        style = f"background: linear-gradient(to right, var(--bar) {share}, transparent {share})"
    tone = " ".join(filter(None, ("n" if name.endswith(">") else "", cell.tone)))
    return f"<td{_attributes(tone, cell.language, style)}>{_html(cell.text)}</td>"


def _table_html(table: Table) -> str:
    head = "".join(
        f"<th{_attributes('n' if name.endswith('>') else '')}>{_html(name.removesuffix('>'))}</th>"
        for name in table.columns
    )
    rows = "\n".join(
        f"<tr>{''.join(map(_cell_html, row, table.columns))}</tr>" for row in table.rows
    )
    caption = f"<caption>{_html(table.caption)}</caption>\n" if table.caption else ""
    return f'<div class="wide"><table>\n{caption}<tr>{head}</tr>\n{rows}\n</table></div>'


def _block_html(block: Block) -> str:
    match block:
        case Heading():
            tag = f"h{block.level}"
            return f'<{tag} id="{block.anchor}">{_html(block.text)}</{tag}>'
        case Paragraph():
            return f"<p{_attributes(block.tone)}>{_html(block.text)}</p>"
        case Bullets():
            items = "".join(f"<li>{_html(item)}</li>" for item in block.items)
            return f"<ul{_attributes(block.tone)}>{items}</ul>"
        case Table():
            return _table_html(block)
        case Pre():
            # A line end right after the tag is not shown, so that one of the text's own is.
            return f"<pre{_attributes(block.tone, block.language)}>\n{_html(block.text)}</pre>"
        case Picture():
            data = base64.b64encode(block.image).decode()
            source = f"data:image/png;base64,{data}"
            return f'<figure><img alt="{_html(block.title)}" src="{source}"></figure>'
        case Details():
            inner = "\n".join(map(_block_html, block.blocks))
            unfolded = " open" if block.open else ""
            return (
                f"<details{unfolded}><summary>{_html(block.summary)}</summary>\n{inner}\n</details>"
            )


def _plain(text: Text) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in _parts(text))


# What would be markup; an underscore inside a name is none.
_MARKUP = re.compile(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])")
_SIGNS = {"strong": "**", "mark": "**", "bad": "**"}


def _markdown(text: Text) -> str:
    shown = []
    for part in _parts(text):
        inner = visible(part if isinstance(part, str) else part.text).replace("\n", " ")
        if isinstance(part, Span) and part.style == "code" and "`" not in inner:
            shown.append(f"`{inner}`")
            continue
        escaped = html.escape(_MARKUP.sub(r"\\\g<0>", inner), quote=False)
        sign = _SIGNS.get(part.style, "") if isinstance(part, Span) and inner.strip() else ""
        shown.append(f"{sign}{escaped}{sign}")
    return "".join(shown)


def _table_markdown(table: Table) -> str:
    lines = [
        " | ".join(_markdown(name.removesuffix(">")) for name in table.columns),
        " | ".join("---:" if name.endswith(">") else "---" for name in table.columns),
    ]
    for row in table.rows:
        texts = (cell.text if isinstance(cell, Cell) else cell for cell in row)
        lines.append(" | ".join(map(_markdown, texts)))
    caption = f"{_markdown(table.caption)}\n\n" if table.caption else ""
    return caption + "\n".join(f"| {line} |" for line in lines)


def _block_markdown(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_markdown(block.text)}"
        case Paragraph():
            return _markdown(block.text)
        case Bullets():
            return "\n".join(f"- {_markdown(item)}" for item in block.items)
        case Table():
            return _table_markdown(block)
        case Pre():
            text = visible(_plain(block.text))
            longest = max(map(len, re.findall("`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}\n{text}\n{fence}"
        case Picture():
            return f"![{_markdown(block.title)}]({block.file})" if block.file else ""
        case Details():
            inner = "\n\n".join(filter(None, map(_block_markdown, block.blocks)))
            return (
                '<details markdown="1">'
                f"<summary>{_markdown(block.summary)}</summary>\n\n{inner}\n\n</details>"
            )
