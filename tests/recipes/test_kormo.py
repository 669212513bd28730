"""The command `kormo` passes on what it is given, and asks nothing of torch before it has read it.

That every command explains itself: tests/test_imports.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipes.__main__ import COMMANDS
from tests.conftest import ROOT, environment


def kormo(*words: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(map(str, [p for p in (path, ROOT) if p]))
    return subprocess.run(
        [sys.executable, "-c", "from recipes.__main__ import main; main()", *words],
        cwd=cwd,
        env={**environment(), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def no_torch(tmp_path: Path) -> Path:
    """A folder whose torch and transformers fail to import."""
    for name in ("torch", "transformers"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')")
    return tmp_path


def test_a_mistake_in_the_config_is_told_without_torch(no_torch: Path) -> None:
    for stage, mistake, message in (
        ("stage2", "batch.micro_bach=3", "did you mean 'micro_batch'"),
        ("stage1", "schedule.decay_tokens=999_999_999", "exceed the stage"),
        ("sft", "optimizer.learning_rate=many", "optimizer.learning_rate"),
        ("stage2", "--learning_rate=1e-3", "set as optimizer.learning_rate=1e-3\n"),
        ("dpo", "learning_rate=1e-3", "did you mean 'optimizer.learning_rate'?"),
    ):
        result = kormo("train", stage, "--dry-run", mistake, cwd=ROOT, path=no_torch)
        assert result.returncode == 1 and message in result.stderr, result.stderr


def test_options_of_data_that_are_keys_are_told_so(no_torch: Path) -> None:
    words = ["data", "prepare", "--config", "tiny.yaml", "--filter.min_words", "3"]
    result = kormo(*words, cwd=ROOT, path=no_torch)
    assert result.returncode == 1
    assert "a value of the YAML is set as filter.min_words=3\n" in result.stderr
    result = kormo("data", "--help", cwd=ROOT, path=no_torch)
    assert result.stdout.startswith("usage: kormo data ") and "\ncommands:\n" in result.stdout


def test_a_file_of_the_users_is_not_taken_for_a_command(tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text("print('not this one')")
    result = subprocess.run(
        [Path(sys.executable).parent / "kormo", "eval", "--help"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "--suite" in result.stdout, result.stderr


def test_an_unknown_command_is_refused_and_the_known_ones_are_listed(tmp_path: Path) -> None:
    result = kormo("trian", cwd=tmp_path)
    assert result.returncode == 1 and "no command 'trian'" in result.stderr
    assert "train stage2" in result.stderr
    result = kormo("--help", cwd=tmp_path)
    assert result.returncode == 0 and all(words in result.stdout for words in COMMANDS)
