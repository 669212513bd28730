"""What a stage starts from: trained first, in a process that knows no launcher, and looked at."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from data_recipes.common.config_files import read_yaml
from data_recipes.common.errors import RecipeError
from modeling_kormo.export import save_portable
from recipes.command_line import CONFIGS, load_stage
from recipes.opened_run import LINEAGE
from recipes.parent import ParentModel, build_unfreezing, load_parent, run_stage
from recipes.post.model import load_model
from tests.conftest import SMALL, Stage
from tests.random_model import random_model

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16}
SHAPE |= {"vocab_size": 320}
SHAPE_KEYS = [f"model.shape.{name}={value}" for name, value in SHAPE.items()]
IDS = SimpleNamespace(bos_token_id=1, eos_token_id=2, pad_token_id=3)


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
    config = Stage("stage1", [*SMALL, *SHAPE_KEYS, f"model.init_from={tmp_path}"]).config()
    loaded = load_parent(config, tokenizer, None).config
    assert loaded.eos_token_id == 2 and loaded._attn_implementation == config.model.attention
    tokenizer.eos_token_id = 4
    with pytest.raises(RecipeError, match="token ids differs .*: eos_token_id: 2 instead of 4"):
        load_parent(config, tokenizer, None)


@torch.no_grad()
def test_what_a_llama_leaves_out_is_llamas(tmp_path: Path) -> None:
    """As Llama 2 does: a base of 10,000, an epsilon of 1e-6, and angles that are fp32 in bf16."""
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    llama = LlamaForCausalLM(LlamaConfig(**SHAPE, **heads, **vars(IDS))).eval()
    llama.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    for key in ("rope_parameters", "rms_norm_eps", "max_position_embeddings"):
        del written[key]
    (tmp_path / "config.json").write_text(json.dumps(written))
    config = Stage("stage1", [*SMALL, *SHAPE_KEYS, f"model.init_from={tmp_path}"]).config()
    found = load_parent(config, IDS, None)
    assert found.config.max_position_embeddings == llama.config.max_position_embeddings
    ids = torch.randint(320, (1, 50))
    torch.testing.assert_close(found.eval()(ids).logits, llama(ids).logits, atol=1e-5, rtol=0)
    states, place = torch.zeros(1, 1, 32, dtype=torch.bfloat16), torch.tensor([[2000]])
    for ours, theirs in zip(*(m.model.rotary_emb(states, place) for m in (found, llama))):
        torch.testing.assert_close(ours.bfloat16(), theirs, atol=1e-2, rtol=0)


def test_weights_that_a_checkpoint_lacks_are_not_drawn_at_random(tmp_path: Path) -> None:
    save_portable(random_model(IDS, 320), tmp_path)
    path = tmp_path / "model.safetensors"
    held = load_file(path)
    del held["model.layers.0.mlp.up_proj.weight"]
    save_file(held, path, metadata={"format": "pt"})
    config = Stage("stage1", [*SMALL, *SHAPE_KEYS, f"model.init_from={tmp_path}"]).config()
    said = "the checkpoint has no model.layers.0.mlp.up_proj.weight"
    with pytest.raises(RecipeError, match=said):
        load_parent(config, IDS, None)
    with pytest.raises(RecipeError, match=said):
        load_model(str(tmp_path), "sdpa")
