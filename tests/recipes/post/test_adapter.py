"""Adapters: their settings, the turn tokens that they train whole, and preference tuning of one."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from data_recipes.read.conversations import Conversation
from data_recipes.toy.chats import chats
from modeling_kormo.adapter import merge_adapter
from modeling_kormo.export import save_portable
from recipes.engine.trainer import decayed_parameters
from recipes.post.masks import ChatTokenizer
from recipes.post.measurements import ChatMeasurements
from recipes.post.model import load_chat_tokenizer, lora_config

from .chat_runs import LORA, chat_stage, log_of, newest_checkpoint, sft_config, weights


def test_every_setting_of_an_adapter_is_taken(base: Path, sources: Path, tmp_path: Path) -> None:
    adapter = "model.adapter={rank: 3, alpha: 7, dropout: 0.25}"
    config = sft_config(chat_stage("sft", base, sources, tmp_path, adapter))
    lora = lora_config(config, load_chat_tokenizer(str(base)))
    assert (lora.r, lora.lora_alpha, lora.lora_dropout) == (3, 7, 0.25)


def test_mfu_is_not_that_of_a_model_that_is_trained_whole(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sft_config(chat_stage("sft", base, sources, tmp_path, LORA))
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        lora_config(config, load_chat_tokenizer(str(base))),
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")

    def peak(model: torch.nn.Module) -> float | None:
        trainer = SimpleNamespace(model=model, args=SimpleNamespace(world_size=4))
        return ChatMeasurements._throughput(trainer, config).peak_flops

    assert (peak(model), peak(adapted)) == (4 * 989e12, None)


TURN_ROWS = ("<|BOT|>", "<|EOT|>", "<think>", "</think>")


def end_of_turn_odds(model: torch.nn.Module, base: Path) -> float:
    """How much likelier `<|EOT|>` is than `<|BOT|>` where an answer of the training data ends."""
    tokenizer = load_chat_tokenizer(str(base))
    row = next(iter(chats("ko", 0)))
    ids = ChatTokenizer(tokenizer, 2000)(Conversation(row["messages"], "", None, {})).input_ids
    end = tokenizer.get_vocab()["<|EOT|>"]
    place = len(ids) - 1 - ids[::-1].index(end)
    with torch.no_grad():
        logits = model(torch.tensor([ids[:place]]), use_cache=False).logits[0, -1]
    return (logits[end] - logits[tokenizer.get_vocab()["<|BOT|>"]]).exp().item()


def test_lora_learns_the_end_of_a_turn(base: Path, sources: Path, tmp_path: Path) -> None:
    """As in a base model, the rows of turn tokens are equal: only their own training parts them."""
    tokenizer, model = load_chat_tokenizer(str(base)), AutoModelForCausalLM.from_pretrained(base)
    rows = [tokenizer.get_vocab()[token] for token in TURN_ROWS]
    with torch.no_grad():
        for weight in (model.model.embed_tokens.weight, model.lm_head.weight):
            weight[rows] = weight[rows].mean(0)
    alike, run = tmp_path / "alike", tmp_path / "run"
    save_portable(model, alike)
    tokenizer.save_pretrained(alike)
    settings = ["schedule.epochs=4", "optimizer.learning_rate=1e-2", "optimizer.weight_decay=0.1"]
    chat_stage("sft", alike, sources, run, LORA, *settings).main()
    before, after = weights(alike), weights(run / "final")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        moved = (before[name] != after[name]).any(1).nonzero().flatten().tolist()
        assert moved == sorted(rows), name
    trained = AutoModelForCausalLM.from_pretrained(run / "final")
    assert end_of_turn_odds(model, base) == pytest.approx(1, abs=1e-4)
    assert end_of_turn_odds(trained, base) > 10
    # The adapter on the base, a merge by `kormo export` and `final/` are one model.
    adapted = PeftModel.from_pretrained(model, run / "adapter")
    plain = AutoModelForCausalLM.from_pretrained(alike)
    merged = merge_adapter(plain, run / "adapter", torch.float32)
    ids = torch.tensor([rows + list(range(5, 25))])
    with torch.no_grad():
        logits = [m.eval()(ids, use_cache=False).logits for m in (trained, adapted, merged)]
    torch.testing.assert_close(logits[1], logits[0])
    torch.testing.assert_close(logits[2], logits[0])
    # An adapter that lacks what its config says it has is refused.
    file = run / "adapter" / "adapter_model.safetensors"
    saved = load_file(file)
    save_file({k: v for k, v in saved.items() if "embed_tokens" not in k}, file)
    with pytest.raises(ValueError, match="has no counterpart"):
        merge_adapter(AutoModelForCausalLM.from_pretrained(alike), run / "adapter", torch.float32)


def test_an_adapter_of_preference_tuning_resumes(base: Path, sources: Path, tmp_path: Path) -> None:
    """Its reference is the model without it, also in the rows of turn tokens that it trains."""
    run = tmp_path / "run"
    settings = [LORA, "optimizer.weight_decay=0.1", "preference.sft_weight=0"]
    stage = chat_stage("dpo", base, sources, run, *settings)
    stage.main()
    log = log_of(run)
    assert log[0]["heldout_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert log[-1]["heldout_loss"] < log[0]["heldout_loss"]
    trained = weights(run / "final")
    for lost in (run / "final", newest_checkpoint(run)):
        shutil.rmtree(lost)
    stage.main()
    assert log_of(run) == log
    assert all(torch.equal(t, trained[k]) for k, t in weights(run / "final").items())
    decayed = decayed_parameters(
        PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), run / "adapter", is_trainable=True
        )
    )
    assert any("lora_A" in n for n in decayed) and not any("tokens_delta" in n for n in decayed)
    dropout = "model.adapter={rank: 4, alpha: 8, dropout: 0.1}"
    assert "model.adapter.dropout" in stage.refusal(dropout)
