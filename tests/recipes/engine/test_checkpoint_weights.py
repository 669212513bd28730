"""A checkpoint read outside its run is the model that the run had, or is refused."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import PartialState
from safetensors.torch import load_file

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.train import train_tokenizer
from data_recipes.toy import documents
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.export import save_portable
from modeling_kormo.growth import grow_model
from modeling_kormo.growth_masks import Mask
from recipes.command_line import CONFIGS, load_stage
from recipes.engine.checkpoint_release import find_releases
from recipes.engine.checkpoint_weights import as_model, load_weights, saved_config, write_model
from recipes.engine.checkpoints import SHARDED, without_warning, write_file_list
from recipes.engine.growing import plan_stage
from recipes.opened_run import OpenedRun

SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 16}
SHAPE |= {"vocab_size": 512, "num_attention_heads": 2, "num_key_value_heads": 1}
IDS = torch.arange(40)[None]


def save(model: KORMoForCausalLM, checkpoint: Path, step: int, sharded: bool) -> None:
    """Write what is read of a checkpoint; FSDP2 leaves no config in it."""
    checkpoint.mkdir(parents=True)
    if sharded:
        with without_warning():
            dcp.save({"model": model.state_dict()}, checkpoint_id=checkpoint / SHARDED)
    else:
        model.save_pretrained(checkpoint)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    write_file_list(checkpoint)


@pytest.fixture(params=[False, True], ids=["whole", "sharded"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> OpenedRun:
    """A run that grows over four steps, with a checkpoint in mid-ramp and one at its end."""
    PartialState(cpu=True)
    parent = KORMoForCausalLM(KORMoConfig(**SHAPE, rms_norm_eps=1e-6))
    save_portable(parent, tmp_path / "parent")
    ramp = "growth.steps=[{layers_every: 1}, {intermediate_size: 64, ramp_tokens: 8192}]"
    overrides = [ramp, "growth.optimizer=fresh", f"model.init_from={tmp_path / 'parent'}"]
    overrides += [f"model.shape.{name}={size}" for name, size in SHAPE.items()]
    overrides += ["batch.tokens_per_step=2048", f"logging.output_dir={tmp_path / 'run'}"]
    config = load_stage(CONFIGS / "tiny" / "grow.yaml", "grow", overrides)
    grown = grow_model(parent, plan_stage(config, parent.config))
    for step in (2, 4):
        grown.config.growing = step < 4
        save(grown, tmp_path / "run" / f"checkpoint-{step}", step, request.param)
    found = OpenedRun(tmp_path / "run", config)
    tokenizer = train_tokenizer(islice(documents("web", "en", 1), 60), 400)
    vars(found)["tokenizer"] = tokenizer
    return found


def test_a_checkpoint_of_a_run_that_grew_is_written_as_what_it_is(
    run: OpenedRun, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    write_model(run, run.directory / "checkpoint-4", tmp_path / "out")
    model = KORMoForCausalLM.from_pretrained(tmp_path / "out")
    assert (model.config.num_hidden_layers, model.config.intermediate_size) == (4, 64)
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert written.keys() == model.state_dict().keys()
    named = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert named["tokenizer_class"] == "PreTrainedTokenizerFast"  # which transformers 4 knows


def test_in_mid_ramp_it_is_no_model(run: OpenedRun, tmp_path: Path) -> None:
    middle = run.directory / "checkpoint-2"
    assert saved_config(run, middle).growing
    with pytest.raises(RecipeError, match="checkpoint-2: is in the middle of a growth"):
        write_model(run, middle, tmp_path)
    with pytest.raises(RecipeError, match="checkpoint-2: is in the middle of a growth"):
        find_releases(run)


@torch.no_grad()
def test_it_is_measured_under_the_masks_of_the_step_behind_it(run: OpenedRun) -> None:
    model = load_weights(run, run.directory / "checkpoint-2")
    masks = [module for module in model.modules() if isinstance(module, Mask)]
    assert masks and all(mask.value == 0.75 for mask in masks)
    assert model.model.norm.variance_epsilon == 1e-6 and len(model.model.layers) == 4
    end = load_weights(run, run.directory / "checkpoint-4")
    assert all(mask.value == 1 for mask in end.modules() if isinstance(mask, Mask))
    assert (model(IDS).logits - end(IDS).logits).abs().max() > 1e-4
    write_model(run, run.directory / "checkpoint-4", run.directory / "final")
    final = load_weights(run, run.directory / "final")
    assert not any(isinstance(module, Mask) for module in final.modules())
    torch.testing.assert_close(final(IDS).logits, end(IDS).logits, atol=1e-5, rtol=0)


def test_a_damaged_one_is_named(run: OpenedRun, tmp_path: Path) -> None:
    checkpoint = run.directory / "checkpoint-4"
    weights = next(p for p in checkpoint.rglob("*") if p.suffix in (".safetensors", ".distcp"))
    content = bytearray(weights.read_bytes())
    content[-9] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RecipeError, match="checkpoint-4 is damaged"):
        load_weights(run, checkpoint)
    # One of a chat stage, which has a tokenizer, is taken as it is.
    (checkpoint / "tokenizer_config.json").touch()
    with pytest.raises(RecipeError, match="checkpoint-4 is damaged"):
        with as_model(str(checkpoint), tmp_path):
            pass


@torch.no_grad()
def test_a_head_that_is_the_embedding_is_measured(tmp_path: Path) -> None:
    model = KORMoForCausalLM(KORMoConfig(**SHAPE, tie_word_embeddings=True))
    save(model, tmp_path / "run" / "checkpoint-3", 3, sharded=False)
    config = load_stage(CONFIGS / "tiny" / "stage1.yaml", "stage1")
    loaded = load_weights(OpenedRun(tmp_path / "run", config), tmp_path / "run" / "checkpoint-3")
    assert torch.allclose(loaded(IDS).logits, model(IDS).logits, atol=1e-6)
