"""A saved model loads elsewhere, with and without this package."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, LlamaForCausalLM

from modeling_kormo import KORMoForCausalLM
from modeling_kormo.export import save_portable, to_llama

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


def test_remote_code_loads_in_a_process_without_this_package(build: Build, tmp_path: Path) -> None:
    model = build("sdpa")
    saved = tmp_path / "model"
    save_portable(model, saved)
    auto_map = json.loads((saved / "config.json").read_text())["auto_map"]
    assert set(auto_map) == {"AutoConfig", "AutoModel", "AutoModelForCausalLM"}
    ids = torch.randint(3, 96, (1, 9))
    torch.save((ids, model(ids).logits), tmp_path / "expected.pt")
    program = """
import sys, torch
sys.path = [p for p in sys.path if p not in ("", sys.argv[1])]
sys.modules["modeling_kormo"] = None  # an installed copy must not be found either
from transformers import AutoModel, AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[2], trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules"), type(model)
assert AutoModel.from_pretrained(sys.argv[2], trust_remote_code=True).embed_tokens is not None
ids, logits = torch.load(sys.argv[3])
assert torch.allclose(model(ids).logits, logits, atol=1e-5)
assert model.generate(ids, max_new_tokens=3, eos_token_id=None).shape == (1, 12)
model.save_pretrained(sys.argv[4])
"""
    root = str(Path(__file__).parents[2])
    arguments = [root, saved, tmp_path / "expected.pt", tmp_path / "again"]
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "again" / "modeling_kormo.py").is_file()


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


def test_export_command(build: Build, data_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    save_portable(build(vocab_size=1280), tmp_path / "in")
    AutoTokenizer.from_pretrained(data_dir / "tokenizer").save_pretrained(tmp_path / "in")
    command = [sys.executable, "-m", "modeling_kormo.export", "--as", "llama"]
    command += [str(tmp_path / "in"), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert LlamaForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "not empty" in again.stderr


@pytest.mark.parametrize("option", ["cross_entropy", "fused_linear_cross_entropy"])
def test_liger_losses_are_refused(build: Build, option: str) -> None:
    from modeling_kormo.liger_kormo import apply_liger_kernel_to_kormo

    with pytest.raises(ValueError, match="loss"):
        apply_liger_kernel_to_kormo(model=build(), **{option: True})
