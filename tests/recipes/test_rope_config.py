"""`model.rope_scaling`: what a YAML says is what the model, its config and its exports compute."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from modeling_kormo import KORMoForCausalLM
from modeling_kormo.export import save_llama, save_portable
from recipes.build import model_config
from recipes.command_line import CONFIGS
from tests.conftest import Stage

# `small_stage` has 16 frequencies a head and windows of 128 tokens.
SCALINGS = {
    "linear": {"factor": 4},
    "dynamic": {"factor": 4, "original_max_position_embeddings": 128},
    "yarn": {"factor": 4, "original_max_position_embeddings": 64, "beta_fast": 16},
    "llama3": {
        "factor": 8,
        "original_max_position_embeddings": 64,
        "low_freq_factor": 1,
        "high_freq_factor": 4,
    },
    "longrope": {
        "factor": 2,
        "original_max_position_embeddings": 128,
        "short_factor": [1 + i / 32 for i in range(16)],
        "long_factor": [1 + i / 4 for i in range(16)],
    },
}
# What engines take the model's longest text from; 131,072 is KORMo's own.
LONGEST = {"yarn": 256, "longrope": 256, "dynamic": 128}


def override(rope_type: str, **changes: object) -> str:
    values = {"rope_type": rope_type, **SCALINGS.get(rope_type, {}), **changes}
    return f"model.rope_scaling={json.dumps(values)}"


@pytest.mark.parametrize("rope_type", SCALINGS)
def test_both_spellings_of_a_config_give_the_same_logits(
    small_stage: Callable[..., Stage], tmp_path: Path, rope_type: str
) -> None:
    config = small_stage(tmp_path / "run", override(rope_type)).config()
    made = model_config(config, tokenizer=None)
    assert made.max_position_embeddings == LONGEST.get(rope_type, 131_072)
    model = KORMoForCausalLM(made).eval()
    ids = torch.randint(3, 1000, (1, 300))  # longer than what is scaled from
    with torch.no_grad():
        wanted = model(ids).logits
        plain = KORMoForCausalLM(model_config(small_stage(tmp_path).config(), None)).eval()
        plain.load_state_dict(model.state_dict())
        assert (plain(ids).logits - wanted).abs().max() > 1e-3
        save_portable(model, tmp_path / "kormo")
        again = KORMoForCausalLM.from_pretrained(tmp_path / "kormo").eval()
        torch.testing.assert_close(again(ids).logits, wanted, rtol=0, atol=0)
        save_llama(model, tmp_path / "llama")
        fields = json.loads((tmp_path / "llama" / "config.json").read_text())
        del fields["rope_parameters"]  # as an engine on transformers 4 reads it
        old = LlamaForCausalLM.from_pretrained(tmp_path / "llama", config=LlamaConfig(**fields))
        torch.testing.assert_close(old.eval()(ids).logits, wanted, rtol=0, atol=2e-5)


def test_a_stage_from_weights_scales_them(
    small_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    """A config that stayed the parent's would train, export and serve without a word."""
    from recipes.build import build_tokenizer
    from recipes.parent import load_parent

    config = small_stage(tmp_path / "run").config()
    tokenizer = build_tokenizer(config)
    save_portable(KORMoForCausalLM(model_config(config, tokenizer)), tmp_path / "parent")
    start = f"model.init_from={tmp_path / 'parent'}"
    scaled = small_stage(tmp_path / "run", start, override("yarn"), "model.rope_theta=10_000")
    model = load_parent(scaled.config(), tokenizer, None)
    rope = model.config.rope_parameters
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == ("yarn", 4, 10_000)
    assert model.config.max_position_embeddings == 256
    assert model.model.rotary_emb.attention_scaling > 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (override("yarn", factr=4), "model.rope_scaling.factr: unknown key; did you mean 'factor'"),
        (override("ntk", factor=4), "model.rope_scaling.rope_type"),
        ("model.rope_scaling={rope_type: yarn, factor: 4}", "needs original_max_position_embedd"),
        (override("linear", beta_fast=4), "rope_type linear has no beta_fast; it has factor"),
        (override("llama3", high_freq_factor=1), "high_freq_factor must be larger"),
        (override("longrope", long_factor=[1.0]), "long_factor has 1 numbers, the model 16 freq"),
        (override("dynamic", original_max_position_embeddings=64), "longest document of a batch"),
        (override("yarn", factor=1.5), "windows of 128 tokens are longer than the text that fac"),
        (override("yarn", factor=0.5), "model.rope_scaling.factor: Input should be greater"),
    ],
)
def test_bad_scalings_are_refused_by_name(
    small_stage: Callable[..., Stage], tmp_path: Path, given: str, said: str
) -> None:
    assert said in small_stage(tmp_path / "run", given).refusal("--dry-run")


@pytest.mark.parametrize("size", ["1b", "10b"])
def test_the_plan_of_128k_fits(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = CONFIGS / size / "midtrain_long_128k.yaml"
    Stage("midtrain_long", []).main("--config", str(path), "--dry-run")
    plan = capsys.readouterr().out
    assert "sequence_length: 131072" in plan and "usable: fits" in plan
