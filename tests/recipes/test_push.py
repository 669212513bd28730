"""What goes to the Hub, and what must not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from data_recipes.common.errors import RecipeError
from recipes.engine.checkpoint_release import Hub
from recipes.push import files_to_push, main, push

from ..conftest import environment
from .fake_hub import fake_hub

NAMES = ["README.md", "config.json", "generation_config.json", "model.safetensors"]
NAMES += ["tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def final(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_a_whole_directory_goes(
    final: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [p.name for p in files_to_push(final)] == NAMES
    monkeypatch.setattr(sys, "argv", ["push", str(final), "owner/name", "--dry-run"])
    main()
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES) and "would go to owner/name" in shown


def test_without_a_token(final: Path) -> None:
    environ = {**environment(), "HF_HOME": "/nonexistent"}
    environ.pop("HF_TOKEN", None)
    command = [sys.executable, "-m", "recipes.push", str(final), "owner/name"]
    refused = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert refused.returncode == 1 and "hf auth login" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", ["name", "a/b/c", "own er/name"])
def test_bad_repository(final: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["push", str(final), name, "--dry-run"])
    with pytest.raises(RecipeError, match=name):
        main()


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
    "name", ["optimizer.pt", "checkpoint-5/config.json", "rng_state_0.pth", ".env"]
)
def test_what_does_not_belong_is_refused(final: Path, name: str) -> None:
    (final / name).parent.mkdir(exist_ok=True)
    (final / name).write_text("")
    with pytest.raises(RecipeError, match=os.path.basename(name)):
        files_to_push(final)


def test_a_damaged_index_and_a_hub_that_is_out_of_reach_are_one_line(
    final: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RecipeError, match="owner/name: the Hub cannot be reached"):
        push(final, "owner/name", False, None)
    with pytest.raises(RecipeError, match="owner/name: the Hub cannot be reached"):
        Hub("owner/name").hash_of("step1")
    (final / "model.safetensors.index.json").write_text('{"weight')
    with pytest.raises(RecipeError, match="index.json: damaged"):
        files_to_push(final)


def test_what_lay_there_before_is_not_taken_for_a_part_of_the_model(final: Path) -> None:
    with fake_hub() as hub:
        push(final, "owner/name", False, None)
        (final / "model.safetensors").rename(final / "model-00001-of-00001.safetensors")
        index = '{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'
        (final / "model.safetensors.index.json").write_text(index)
        sharded = {path.name for path in final.iterdir()}
        main = hub.branches["owner/name"]["main"]
        main |= {".gitattributes": b"", "LICENSE": b"MIT", "lineage.json": b"of main"}
        main |= {"adapter_config.json": b"{}", "gguf/model.safetensors": b"of the user"}
        main |= {"teacher.safetensors": b"of the user"}
        push(final, "owner/name", False, None)
        # transformers would have loaded the old file, whose name comes first, or the adapter.
        own = {".gitattributes", "LICENSE", "lineage.json", "gguf/model.safetensors"}
        own.add("teacher.safetensors")
        assert main.keys() == sharded | own
        push(final, "owner/name", False, "main")
        assert main.keys() == sharded | own
        # A branch begins as a copy of main, and a second push finds what its user added.
        push(final, "owner/name", False, "step1")
        branch = hub.branches["owner/name"]["step1"]
        kept = {".gitattributes", "LICENSE", "gguf/model.safetensors"}
        assert branch.keys() == sharded | kept
        branch["notes.md"] = b"of the user"
        push(final, "owner/name", False, "step1")
        assert branch.keys() == sharded | kept | {"notes.md"}
        assert main.keys() == sharded | own
