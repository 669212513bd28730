"""What goes to the Hub, and what must not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_recipes.errors import RecipeError
from recipes.push import files_to_push

from ..conftest import environment

NAMES = ["README.md", "config.json", "generation_config.json", "model.safetensors"]
NAMES += ["tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def final(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_text("{}")
    return tmp_path


def push(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**environment(), "HF_HOME": "/nonexistent"}
    environ.pop("HF_TOKEN", None)
    command = [sys.executable, "-m", "recipes.push", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ)


def test_a_whole_directory_goes(final: Path) -> None:
    assert [p.name for p in files_to_push(final)] == NAMES
    shown = push(str(final), "owner/name", "--dry-run")
    assert shown.returncode == 0 and all(name in shown.stdout for name in NAMES)


def test_without_a_token(final: Path) -> None:
    refused = push(str(final), "owner/name")
    assert refused.returncode == 1 and "hf auth login" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", ["name", "a/b/c", "own er/name"])
def test_bad_repository(final: Path, name: str) -> None:
    refused = push(str(final), name, "--dry-run")
    assert refused.returncode == 1 and refused.stderr.startswith("error: "), refused.stderr


@pytest.mark.parametrize("name", NAMES[:5])
def test_what_is_missing_is_named(final: Path, name: str) -> None:
    (final / name).unlink()
    with pytest.raises(RecipeError, match=name):
        files_to_push(final)


def test_every_shard_must_be_there(final: Path) -> None:
    (final / "model.safetensors").unlink()
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    (final / "model.safetensors.index.json").write_text(index)
    with pytest.raises(RecipeError, match="00001-of-00002"):
        files_to_push(final)


@pytest.mark.parametrize(
    "name, text",
    [
        ("optimizer.pt", ""),
        ("checkpoint-5/config.json", ""),
        ("rng_state_0.pth", ""),
        (".env", ""),
        ("server.pem", ""),
        ("recipe.yaml", "token: hf_" + "a" * 34),
        ("notes.md", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
def test_what_does_not_belong_is_refused(final: Path, name: str, text: str) -> None:
    (final / name).parent.mkdir(exist_ok=True)
    (final / name).write_text(text)
    with pytest.raises(RecipeError, match=os.path.basename(name)):
        files_to_push(final)
