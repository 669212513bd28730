"""`kormo export` writes a whole model or none, and says in one line why not."""

import json
import os
import resource
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import DirectoryLock
from modeling_kormo.export import save_portable
from recipes.export import export_command
from tests import processes
from tests.random_model import random_model


@pytest.fixture
def model_dir(data_dir: Path, tmp_path: Path) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    save_portable(random_model(tokenizer, 1280), tmp_path / "in")
    tokenizer.save_pretrained(tmp_path / "in")
    return tmp_path / "in"


def test_the_documented_command(model_dir: Path, tmp_path: Path) -> None:
    command = ["-m", "modeling_kormo.export", "--as", "llama"]
    command += [str(model_dir), str(tmp_path / "out")]
    done = processes.run(command)
    assert done.returncode == 0, done.stderr
    assert LlamaForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16
    assert json.loads((tmp_path / "out" / "config.json").read_text())["rope_theta"] == 500_000
    again = processes.run(command)
    assert again.returncode == 1 and "not empty" in again.stderr and "Traceback" not in again.stderr


@pytest.mark.parametrize("layout", ["llama", "kormo", "gguf"])
def test_a_full_disk_leaves_nothing_under_the_name(
    model_dir: Path, tmp_path: Path, layout: str
) -> None:
    # No file may grow beyond this: the writers of weights fail as on a full disk, not in a mock.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(RecipeError, match=r"out: the disk is full .* to go on"):
            export_command(["--as", layout, str(model_dir), str(tmp_path / "out")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.tmp"))


def test_two_exports_to_one_place_are_refused(model_dir: Path, tmp_path: Path) -> None:
    with DirectoryLock(tmp_path, "OUT", ".out.lock"):
        with pytest.raises(RecipeError, match=f"in use by process {os.getpid()} on "):
            export_command(["--as", "llama", str(model_dir), str(tmp_path / "out")])


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nowhere: no such model directory"):
        export_command(["--as", "llama", str(tmp_path / "nowhere"), str(tmp_path / "out")])
