"""Text for people to look at in a terminal: colours where there are any, signs where not."""

from collections.abc import Container, Sequence

from rich.console import Console
from rich.text import Text

# Style, and the signs that stand for it without colour, by what a stretch of text is.
MARKS = {
    "removed": ("red strike", "[-", "-]"),
    "matched": ("black on yellow", "{", "}"),
    "control": ("bold magenta", "", ""),
    "boundary": ("bold red", "", ""),
    "learned": ("black on green", "{", "}"),
    "unlabelled": ("dim italic", "(", ")"),
    "heading": ("bold", "", ""),
    "facts": ("cyan", "", ""),
    "reason": ("bold yellow", "", ""),
}


class Terminal:
    """Prints marked text; `NO_COLOR` and output that is no terminal are respected."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self.colour = self._console.color_system is not None and not self._console.no_color

    def marked(self, text: str, *marks: str) -> Text:
        """A stretch of text, marked; of several marks the outermost comes first."""
        styled = Text(visible(text))
        if self.colour:
            for mark in marks:
                styled.stylize(MARKS[mark][0])
            return styled
        for mark in reversed(marks):
            _, before, after = MARKS[mark]
            styled = Text(before) + styled + Text(after)
        return styled

    def print(self, *parts: Text | str) -> None:
        """One line of parts, wrapped by the terminal alone so that it can be copied."""
        line = Text()
        for part in parts:
            line.append_text(part if isinstance(part, Text) else Text(visible(part)))
        self._console.print(line, soft_wrap=True)


def align(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> str:
    """Lay rows of cells out in columns, two spaces apart.

    Args:
        rows: as many cells each.
        left: numbers of the columns that are set to the left; numbers go to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


# Characters that would command a terminal, or turn the direction of what follows them.
_PICTURES = {c: 0x2400 + c for c in range(0x20) if c not in (0x09, 0x0A)} | {0x7F: 0x2421}


_COMMANDS = [*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]


_VISIBLE = _PICTURES | dict.fromkeys(_COMMANDS, 0xFFFD)


def visible(text: str) -> str:
    """The text with each control character replaced by one that shows and does nothing."""
    return text.translate(_VISIBLE)
