"""What a stage starts from: trained first, in a process that knows no launcher, and looked at."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_recipes.common.config_files import read_yaml
from data_recipes.common.errors import RecipeError
from modeling_kormo.export import save_portable
from recipes.command_line import CONFIGS, load_stage
from recipes.opened_run import LINEAGE
from recipes.parent import ParentModel, build_unfreezing, load_parent, run_stage
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

    def run(command: list[str], environment: dict[str, str]) -> int:
        started.append((command, environment))
        return len(started) - 1

    monkeypatch.setattr("recipes.parent.run_process", run)
    run_stage("stage1", "tiny")
    command, environment = started[0]
    assert command[1].endswith("recipes/stage1.py") and command[2:] == [
        "--config",
        "tiny/stage1.yaml",
    ]
    assert environment == {k: v for k, v in os.environ.items() if k not in launched}
    with pytest.raises(RecipeError, match="stage1 failed .exit status 1.; see its message"):
        run_stage("stage1", "tiny")


def parents() -> Iterator[tuple[str, str]]:
    """Size and `init_from` of the recipes that start from the model of another one."""
    for path in sorted(path for size in ("1b", "10b") for path in (CONFIGS / size).glob("*.yaml")):
        parent = read_yaml(path).get("model", {}).get("init_from")
        if parent and not parent.endswith("/start"):  # what `kormo expand-vocabulary` makes
            yield path.parent.name, parent


def test_the_recipe_is_named_that_writes_the_parent() -> None:
    """KORMo-VL's second stage is of the kind of its third: the stage's name says too little."""
    found = {*parents()}
    assert ("10b", "runs/10b/vision_knowledge/final") in found and len(found) > 10
    for size, parent in found:
        with pytest.raises(RecipeError, match=f"^{parent}: parent model missing") as refused:
            ParentModel(parent, size, "sft").is_to_be_trained()
        stage, recipe = str(refused.value).partition("kormo train ")[2].split(" --config ")
        config = load_stage(CONFIGS / recipe, stage)
        assert str(config.logging.output_dir / "final") == parent and config.stage == stage
    with pytest.raises(RecipeError, match="nowhere/final: .*; train it first, or correct"):
        ParentModel("/nowhere/final", "10b", "sft").is_to_be_trained()


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
