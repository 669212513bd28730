"""The folder of a sample run names commands that exist."""

import shlex
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from recipes.__main__ import COMMANDS as KORMO
from scripts import sample_run
from tests.conftest import ROOT


def test_the_commands_that_it_names_exist() -> None:
    lines = [shlex.split(line) for line in sample_run.COMMANDS.splitlines()]
    assert len(lines) == 3
    for words in lines:
        known = words[1] in KORMO if words[0] == "kormo" else (ROOT / words[1]).is_file()
        assert known, words


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no stage is finished there; make one with"):
        sample_run.copy_stages(tmp_path, tmp_path / "out")
    (tmp_path / "stage1" / "final").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    with pytest.raises(RecipeError, match="metrics.jsonl: missing"):
        sample_run.copy_stages(tmp_path, tmp_path / "out")
