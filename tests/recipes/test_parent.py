"""What a stage starts from: trained first, in a process that knows no launcher, and looked at."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_recipes.common.errors import RecipeError
from modeling_kormo.export import save_portable
from recipes.opened_run import LINEAGE
from recipes.parent import build_unfreezing, load_parent, run_stage
from tests.conftest import SMALL, Stage
from tests.random_model import random_model

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16}
SHAPE |= {"vocab_size": 320}


def test_a_parent_is_trained_as_no_rank_of_who_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a rank of torchrun or accelerate it would wait for the others, or shard itself."""
    launched = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_NAME")
    launched += ("MASTER_ADDR", "MASTER_PORT", "ACCELERATE_MIXED_PRECISION", "FSDP_VERSION")
    launched += ("TORCHELASTIC_RUN_ID",)
    for name in launched:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    started = []

    def run(
        command: list[str], env: dict[str, str], check: bool
    ) -> subprocess.CompletedProcess[str]:
        started.append((command, env))
        return subprocess.CompletedProcess(command, len(started) - 1)

    monkeypatch.setattr("recipes.parent.subprocess.run", run)
    run_stage("stage1", "tiny")
    command, environment = started[0]
    assert command[1].endswith("recipes/stage1.py") and command[2:] == [
        "--config",
        "tiny/stage1.yaml",
    ]
    assert environment == {k: v for k, v in os.environ.items() if k not in launched}
    with pytest.raises(RecipeError, match="stage1 failed .exit status 1.; see its message"):
        run_stage("stage1", "tiny")


def test_what_is_trained_first_is_counted_in_steps(tmp_path: Path) -> None:
    turns = "unfreezing={new_rows_tokens: 2048, matrices_tokens: 5120}"
    config = Stage("stage1", [*SMALL, turns, f"model.init_from={tmp_path}"]).config()
    (tmp_path / LINEAGE).write_text(json.dumps({"vocabulary": {"first_new": 300}}))
    found = build_unfreezing(config)
    assert (found.first_new, found.boundaries) == (300, (2, 7))


def test_weights_of_other_token_ids_are_refused(tmp_path: Path) -> None:
    """EOS and EOT of KORMo are easily mixed up: a model that ends its documents with another."""
    tokenizer = SimpleNamespace(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    save_portable(random_model(tokenizer, 320), tmp_path)
    shape = [f"model.shape.{name}={value}" for name, value in SHAPE.items()]
    config = Stage("stage1", [*SMALL, *shape, f"model.init_from={tmp_path}"]).config()
    assert load_parent(config, tokenizer, None).config.eos_token_id == 2
    tokenizer.eos_token_id = 4
    with pytest.raises(RecipeError, match="token ids differs .*: eos_token_id: 2 instead of 4"):
        load_parent(config, tokenizer, None)
