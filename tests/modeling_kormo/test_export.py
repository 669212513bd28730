"""A saved model loads elsewhere, with and without this package."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    LlamaForCausalLM,
)

from modeling_kormo import KORMoForCausalLM
from modeling_kormo.export import name_for_transformers_4, save_llama, save_tokenizer, to_llama

from .test_reference import load

Build = Callable[..., KORMoForCausalLM]


@torch.no_grad()
def test_llama_layout_gives_the_same_fp32_logits(tmp_path: Path) -> None:
    model, reference = load("fp32")
    to_llama(model).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "llama" and config["architectures"] == ["LlamaForCausalLM"]
    llama, report = LlamaForCausalLM.from_pretrained(
        tmp_path, attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ids = reference["input_ids"]
    assert torch.equal(llama(ids).logits, model(ids).logits)


def test_auto_classes_know_the_model(build: Build, tmp_path: Path) -> None:
    build().save_pretrained(tmp_path)
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path)) is KORMoForCausalLM
    assert type(AutoModel.from_pretrained(tmp_path)).__name__ == "KORMoModel"


def test_training_resume_restores_every_weight(build: Build, tmp_path: Path) -> None:
    # transformers' Trainer loads with strict=False: a renamed norm would silently keep its init.
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    loaded = KORMoForCausalLM.from_pretrained(tmp_path)
    for (name, ours), theirs in zip(model.named_parameters(), loaded.parameters()):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("scaling", [{}, {"rope_type": "linear", "factor": 4.0}])
def test_llama_config_has_both_spellings_of_rope(
    build: Build, tmp_path: Path, scaling: dict
) -> None:
    """transformers 4, and engines on it, read `rope_theta` and `rope_scaling` only."""
    rope = {"rope_type": "default", "rope_theta": 500_000.0} | scaling
    model = build(rope_parameters=rope)
    model.generation_config.eos_token_id = [5, 6]
    save_llama(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_theta"] == 500_000 and config["rope_scaling"] == (scaling or None)
    assert config["torch_dtype"] == config["dtype"] == "float32"
    assert config["rope_parameters"] == rope
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    assert again.config.rope_parameters == model.config.rope_parameters
    # Without these a served chat model does not know where a turn ends.
    assert again.generation_config.eos_token_id == [5, 6]
    ids = torch.randint(3, 96, (1, 30))
    torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=0, atol=2e-5)


def test_rope_by_kind_of_layer_has_both_spellings(tmp_path: Path) -> None:
    """As Gemma 3 from 4b on: transformers 4 would not scale its angles."""
    whole = {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6}
    kinds = {"full_attention": whole, "sliding_attention": {"rope_theta": 2e4}}
    config = Gemma3TextConfig(num_hidden_layers=2, rope_parameters=kinds)
    config.save_pretrained(tmp_path)
    name_for_transformers_4(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["rope_theta"], written["rope_local_base_freq"]) == (2e6, 2e4)
    assert written["rope_scaling"] == {"rope_type": "linear", "factor": 8.0}
    again = Gemma3TextConfig.from_pretrained(tmp_path)
    assert again.rope_parameters == config.rope_parameters


def test_tokenizer_files_name_what_transformers_4_knows(data_dir: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    save_tokenizer(tokenizer, tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["additional_special_tokens"] == ["<|BOT|>", "<|EOT|>"]
    assert "extra_special_tokens" not in config
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert set(again.all_special_tokens) == set(tokenizer.all_special_tokens)
    text = "안녕?<|EOT|>\n<think>"
    assert again(text).input_ids == tokenizer(text).input_ids
    turn = [{"role": "user", "content": "안녕?"}]
    assert again.apply_chat_template(turn, tokenize=False) == tokenizer.apply_chat_template(
        turn, tokenize=False
    )


@pytest.mark.parametrize("option", ["cross_entropy", "fused_linear_cross_entropy"])
def test_liger_losses_are_refused(build: Build, option: str) -> None:
    from modeling_kormo.liger_kormo import apply_liger_kernel_to_kormo

    with pytest.raises(ValueError, match="loss"):
        apply_liger_kernel_to_kormo(model=build(), **{option: True})
