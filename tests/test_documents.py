"""Every command of the documents stands in the table of tests/documented.py, and runs as it says.

A command that stands in the documents and not there, or there and nowhere in the documents, fails.
"""

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest

from recipes.__main__ import COMMANDS
from tests.conftest import ROOT, other_modes
from tests.documented import CHAPTERS, STAGES
from tests.documented_runs import Elsewhere, careful, run_all
from tests.test_project import PAGES, commands

ROWS = [*STAGES, *(row for rows in CHAPTERS.values() for row in rows)]


def documented() -> set[str]:
    """Return the commands of all pages, without comments."""
    found = set()
    for page in PAGES:
        for command in commands(page):
            found.add(shlex.join(shlex.split(command, comments=True)))
    return found


def test_every_command_stands_in_the_table() -> None:
    rows = {shlex.join(shlex.split(row.command)) for row in ROWS}
    assert len(rows) == len(ROWS)
    assert documented() - rows == set(), "say in tests/documented.py how these are run"
    assert rows - documented() == set(), "these stand in no page any more"


def module(command: str) -> str:
    """Return the last part of the name of the module that a command runs, or of `kormo data`'s."""
    words = shlex.split(command)
    if words[:2] == ["kormo", "data"] or words[:3] == ["python", "-m", "data_recipes"]:
        return words[2 if words[0] == "kormo" else 3]
    if words[0] == "kormo":
        names = (" ".join(words[1:end]) for end in (3, 2))
        return next(COMMANDS[name][0] for name in names if name in COMMANDS).split(".")[-1]
    return Path(words[1]).stem if words[1] != "-m" else words[2].split(".")[-1]


@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row, Elsewhere)])
def test_what_runs_elsewhere_is_there(row: Elsewhere) -> None:
    file, _, name = row.test.partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    functions = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert name in functions and re.search(rf"\b{module(row.command)}\b", source)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_commands_run(chapter: str, stages: Path, tmp_path: Path) -> None:
    world = tmp_path / "world"
    with careful():
        shutil.copytree(stages, world)
    run_all(CHAPTERS[chapter], world)
    with careful():  # colleagues can read what they may
        assert not other_modes(world)
