"""What a command says on a terminal: its progress, text for people to look at, and why it ends.

Tasks may run in other processes, or on other machines: each keeps one small file with what it has
done, and whoever started them adds these up and shows a bar with an ETA. Stages of training end in
their own way (recipes/command_line.py), for they may be one of several ranks.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .errors import RecipeError

if TYPE_CHECKING:
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
_EVERY_SECONDS = 1.0
_STDERR = 2
# What an extra of setup.cfg alone brings, by the names that are imported.
ONLY_IN = {
    "data": ("datatrove", "fasttext", "inscriptis", "loguru", "lxml", "numba", "py3langid")
    + ("sacrebleu",),
    "eval": ("lm_eval",),
    "train": ("peft", "trl"),
    "export": ("gguf",),
    "gpu": ("liger_kernel",),
    "vision": ("PIL",),
    "kiwi": ("kiwipiepy",),
    "ray": ("ray",),
}
# What several bring: the command says which one it means.
SHARED = ("accelerate", "aiohttp", "datasets", "latex2sympy2_extended", "math_verify")
SHARED += ("matplotlib", "openai", "orjson", "pyarrow", "regex", "scipy", "sympy", "warcio")


class Terminal:
    """Prints marked text; `NO_COLOR` and output that is no terminal are respected."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False)
        self.colour = self._console.color_system is not None and not self._console.no_color

    def marked(self, text: str, *marks: str) -> Text:
        """A stretch of text, marked; of several marks the outermost comes first."""
        from rich.text import Text

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
        from rich.text import Text

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


class TaskFile:
    """A task's side: what it has done, written down about once a second.

    Args:
        folder: where all tasks write.
        rank: the task.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self._path = folder / f"{rank:05d}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._written = 0.0

    def write(self, text: str, last: bool = False) -> None:
        """Say what is done; left for the next time if this comes soon and is not the last."""
        if last or time.monotonic() - self._written > _EVERY_SECONDS:
            self._path.write_text(text)
            self._written = time.monotonic()


@contextmanager
def follow_tasks(
    folder: Path,
    show: Callable[[TextIO], AbstractContextManager[Callable[[list[str]], None]]],
) -> Iterator[None]:
    """Show what tasks write into their `TaskFile`s while the body runs.

    Args:
        folder: where they write.
        show: opens a bar on a stream, and yields what is to be told the texts of all tasks.
    """
    for old in folder.glob("*"):
        old.unlink()

    def texts() -> list[str]:
        # A file is empty while it is being written.
        return [text for path in folder.glob("*") if (text := path.read_text())]

    stop = threading.Event()
    # The caller sends what libraries print on stderr to a file; the bar keeps the terminal.
    with os.fdopen(os.dup(_STDERR), "w") as terminal, show(terminal) as update:

        def follow() -> None:
            while not stop.wait(_EVERY_SECONDS):
                update(texts())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            update(texts())


def _folder(output_dir: Path) -> Path:
    return output_dir / "progress"


class Progress(AbstractContextManager):
    """A task's side of `show_progress`: bytes worked through.

    Args:
        output_dir: the step's directory.
        rank: the task.
    """

    def __init__(self, output_dir: Path, rank: int) -> None:
        self._file = TaskFile(_folder(output_dir), rank)
        self._bytes = 0

    def update(self, size: int) -> None:
        """`size` more bytes are done."""
        self._bytes += size
        self._file.write(str(self._bytes))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._file.write(str(self._bytes), last=True)


@contextmanager
def show_progress(output_dir: Path, total_bytes: int, description: str) -> Iterator[None]:
    """A bar with an ETA on stderr, fed by the `Progress` of the tasks.

    Args:
        output_dir: the step's directory.
        total_bytes: bytes that the tasks will report.
        description: name of the step.
    """

    @contextmanager
    def show(file: TextIO) -> Iterator[Callable[[list[str]], None]]:
        from tqdm import tqdm

        unit = {"unit": "B", "unit_scale": True}
        with tqdm(total=total_bytes, desc=description, file=file, **unit) as bar:
            # A step of several phases counts anew in each; the bar does not go back.
            yield lambda sizes: bar.update(max(0, sum(map(int, sizes)) - bar.n))

    with follow_tasks(_folder(output_dir), show):
        yield


def how_to_install(error: ModuleNotFoundError, extra: str) -> str | None:
    """Say how to get a library that is missing.

    Args:
        error: of its import.
        extra: what the command as a whole belongs to.

    Returns:
        A message; `None` if it is none of an extra's, so that a bug stays one.
    """
    name = (error.name or "").partition(".")[0]
    alone = next((own for own, modules in ONLY_IN.items() if name in modules), None)
    if alone is None and name not in SHARED:
        return None
    return f"{name} is not installed; get it with\n  pip install 'kormo-recipes[{alone or extra}]'"


def run_command(main: Callable[[], None], extra: str, *mended: type[Exception]) -> None:
    """Run a command; bad input ends in one message and status 1, not in a traceback.

    Args:
        main: the command.
        extra: that it belongs to.
        *mended: what else a user can mend.
    """
    try:
        main()
    except ModuleNotFoundError as error:
        if (message := how_to_install(error, extra)) is None:
            raise
        sys.exit(f"error: {message}")
    except (RecipeError, OSError, *mended) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)
