"""How a row of the table of documented commands is run: as it says, or why it is not."""

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import processes
from tests.processes import ROOT


@dataclass(frozen=True)
class Run:
    """A command that runs here.

    Attributes:
        command: as it stands in the documents.
        less: words put behind it, which make it small.
        lines: what it reads on its standard input.
        before: called first, to lay out files that the reader is to bring.
        ends: the exit status, where the page says that it is an error.
    """

    command: str
    less: str = ""
    lines: str = ""
    before: Callable[[Path], None] | None = None
    ends: int = 0


@dataclass(frozen=True)
class Cannot:
    """A command that does not run here, and why; with `less` behind it, if any, it does."""

    command: str
    why: str
    less: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """A command that another test runs already, in the same way; `test` is its name to pytest."""

    command: str
    test: str


Row = Run | Cannot | Elsewhere


def program(words: list[str]) -> list[str | Path]:
    """Return what follows `python` when a command is run from this checkout."""
    if words[0] == "kormo":
        return ["-m", "recipes", *words[1:]]
    assert words[0] == "python", words
    return words[1:] if words[1] == "-m" else [ROOT / words[1], *words[2:]]


def attempt(row: Row, world: Path) -> subprocess.CompletedProcess[str] | None:
    """Run a command, or what it is tried by; `None` if by nothing."""
    words = shlex.split(row.command)
    if words[0] == "make":
        return subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
    if isinstance(row, Elsewhere) or (isinstance(row, Cannot) and not row.less):
        return None
    given = [*program(words), *shlex.split(row.less)]
    if isinstance(row, Cannot):
        return processes.run(given, cwd=world)
    if row.before:
        row.before(world)
    return processes.run(given, cwd=world, lines=row.lines)


def run_all(rows: list[Row], world: Path) -> None:
    """Run commands in their order.

    Raises:
        AssertionError: some end otherwise than they should; it says what they wrote.
    """
    failed = []
    with careful():
        for row in rows:
            done = attempt(row, world)
            if done and done.returncode != (row.ends if isinstance(row, Run) else 0):
                failed.append(f"{row.command}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")
    assert not failed, "\n\n".join(failed)


@contextmanager
def careful() -> Iterator[None]:
    """Have a umask that is not the usual one: others than the group read nothing."""
    before = os.umask(0o027)
    try:
        yield
    finally:
        os.umask(before)
