"""SFT as a user starts it: what it learns and hands over, killed, resumed, and refused."""

import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch._dynamo.utils import counters
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from trl.chat_template_utils import qwen3_chat_template

from data_recipes.common.errors import RecipeError
from recipes.post.chat_trainer import ChatTrainer
from recipes.post.masks import ChatTokenizer
from recipes.post.model import load_chat_model, load_chat_tokenizer
from tests.conftest import Once

from .chat_cases import CASES
from .chat_runs import LORA, chat_stage, log_of, newest_checkpoint, sft_config, weights
from .conftest import SHAPE


def test_it_starts_from_the_weights_of_its_parent(
    base: Path, sources: Path, tmp_path: Path
) -> None:
    config = sft_config(chat_stage("sft", base, sources, tmp_path))
    loaded = load_chat_model(config, load_chat_tokenizer(str(base))).state_dict()
    parent = weights(base)
    assert loaded.keys() == parent.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in parent.items())


def test_it_learns_and_hands_over_and_a_killed_run_tokenises_nothing_again(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    run = chat_stage("sft", base, sources, whole)
    run.main()
    log = log_of(whole)
    heldout = [m["heldout_loss"] for m in log if "heldout_loss" in m]
    assert heldout[-1] < heldout[0] - 0.3
    assert all(40 < m["masked_label_percent"] < 95 for m in log if "loss" in m)

    final = whole / "final"
    trained = weights(final)
    assert all(torch.equal(t, trained[k]) for k, t in weights(newest_checkpoint(whole)).items())
    tokenizer = AutoTokenizer.from_pretrained(final)
    model = AutoModelForCausalLM.from_pretrained(final)
    stops = model.generation_config.eos_token_id
    assert tokenizer.convert_ids_to_tokens(stops) == ["<|EOT|>", "<|EOS|>"]
    assert model.config.eos_token_id == tokenizer.eos_token_id and tokenizer.response_template
    lineage = json.loads((final / "lineage.json").read_text())
    assert lineage["parent"] == str(base) and lineage["tokens"] == log[-1]["tokens"] > 0
    assert "enable_thinking" in (final / "README.md").read_text()
    assert "already finished" in run.refusal()

    stage = chat_stage("sft", base, sources, tmp_path / "killed")
    killed = tmp_path / "killed"
    process = stage.start()
    deadline = time.monotonic() + 120
    while not list(killed.glob("checkpoint-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert not (killed / "final").exists()
    again = "what was tokenised is tokenised again"
    monkeypatch.setattr(ChatTokenizer, "samples", lambda *_: pytest.fail(again))
    monkeypatch.setattr(ChatTrainer, "_prepare_dataset", lambda *_: pytest.fail(again))
    stage.main()
    assert log_of(killed) == log
    assert all(torch.equal(t, trained[k]) for k, t in weights(killed / "final").items())
    shutil.rmtree(killed / "final")
    changed = stage.refusal("optimizer.learning_rate=0.1")
    assert "optimizer.learning_rate: was 0.003, is 0.1" in changed


@pytest.fixture(scope="session")
def qwen(data_dir: Path, once: Once) -> Path:
    """A random model of another family, with that family's template, which marks nothing."""

    def make(directory: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
        tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        tokenizer.eos_token = "<|im_end|>"
        tokenizer.chat_template = qwen3_chat_template
        tokenizer.save_pretrained(directory)
        torch.manual_seed(0)
        end = tokenizer.eos_token_id
        rope = {"rope_type": "default", "rope_theta": 2e6}
        config = Qwen3Config(
            **SHAPE, eos_token_id=end, tie_word_embeddings=False, rope_parameters=rope
        )
        Qwen3ForCausalLM(config).save_pretrained(directory)

    return once("qwen", make)


@pytest.mark.parametrize("adapter", [None, LORA])
def test_another_family(qwen: Path, sources: Path, tmp_path: Path, adapter: str | None) -> None:
    extra = ["schedule.epochs=0.5", *([adapter] if adapter else [])]
    chat_stage("sft", qwen, sources, tmp_path / "run", *extra).main()
    final = tmp_path / "run" / "final"
    model = AutoModelForCausalLM.from_pretrained(final)
    assert type(model) is Qwen3ForCausalLM
    # Engines on transformers 4 read the base of the angles under this name, or take another.
    config = json.loads((final / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 2e6
    before, after = weights(qwen), weights(final)
    assert before.keys() == after.keys()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert any("q_proj" in k for k in moved)
    if adapter:
        assert not any("embed" in k or "norm" in k or "lm_head" in k for k in moved)
        merged = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(qwen), tmp_path / "run" / "adapter"
        ).merge_and_unload()
        for name, tensor in merged.state_dict().items():
            torch.testing.assert_close(tensor, after[name])
    # What is learned: what the assistant says, and its end of turn.
    tokenizer = load_chat_tokenizer(str(qwen))
    tokens = ChatTokenizer(tokenizer, 400)(CASES["thinking"][0])
    learned = tokenizer.decode([i for i, x in zip(tokens.input_ids, tokens.labels) if x >= 0])
    assert "It is 3.<|im_end|>" in learned and "1+2?" not in learned


def test_a_disk_that_is_full_of_chats_is_named(base: Path, sources: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(RecipeError, match=r"run/data: the disk is full .* to go on"):
            chat_stage("sft", base, sources, tmp_path / "run").main()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("model.init_from=/nowhere/final", "/nowhere/final: parent model missing"),
        ("data.sources=[{path: /nowhere.jsonl, language: ko, licence: x}]", "is not there"),
        ("data.balance=colour", "has no 'colour'"),
        ("data.heldout_rows=1000", "different conversations"),
        ("batch.micro_batch=3", "cannot be dealt out evenly"),
        ("model.adapter={rank: 4, alpha: 8, quantize: nf4}", "require_gpu"),
        ("parallelism.require_gpu=true", "needs a CUDA GPU"),
        ("data.colour=1", "unknown key"),
    ],
)
def test_bad_input_is_refused(
    base: Path, sources: Path, tmp_path: Path, extra: str, message: str
) -> None:
    stage = chat_stage("sft", base, sources, tmp_path / "run", "size=1b", extra)
    assert message in stage.refusal()


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_layers_are_compiled(
    base: Path, sources: Path, tmp_path: Path, stage: str, graphs: list[tuple[bool, list[Any]]]
) -> None:
    """SFT for one shape; pairs have as many as they are long."""
    settings = ["model.compile=true", "schedule.epochs=0.5"]
    chat_stage(stage, base, sources, tmp_path / "run", *settings).main()
    if stage == "sft":
        assert not [x for _, inputs in graphs for x in inputs if isinstance(x, torch.SymInt)]
        assert not counters["graph_break"]
    assert sum(training for training, _ in graphs) <= 4, len(graphs)
