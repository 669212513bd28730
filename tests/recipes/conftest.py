"""A random chat model, a stage of reinforcement learning, and the graphs of a compiled model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from data_recipes.tokenizer.train import train_tokenizer
from modeling_kormo import attention_kormo, loss_kormo
from modeling_kormo.export import save_portable
from tests.conftest import Once
from tests.random_model import random_model
from tests.recipes.post.grpo_hand_made import ROWS, TEXT, write_rows


@pytest.fixture(scope="session")
def chat_model(once: Once) -> Path:
    """A random model with the tokenizer and chat template of a trained one."""

    def make(directory: Path) -> None:
        tokenizer = train_tokenizer(TEXT, 270)
        model = random_model(tokenizer, 320, layers=2, max_position_embeddings=512)
        save_portable(model, directory)  # as a `final/` is
        tokenizer.save_pretrained(directory)

    return once("chat-model", make)


@pytest.fixture
def overrides(chat_model: Path, tmp_path: Path) -> list[str]:
    return [
        f"model.init_from={chat_model}",
        f"data.paths=[{write_rows(tmp_path / 'rows.jsonl', ROWS)}]",
        f"logging.output_dir={tmp_path / 'run'}",
        "batch.prompts_per_step=2",
        "batch.generations_per_prompt=4",
        "batch.micro_batch=4",
        "batch.max_completion_tokens=12",
        "schedule.steps=3",
        "schedule.warmup_steps=1",
        "logging.save_every=2",
    ]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[bool, list[Any]]]]:
    """Whether gradients were on, and the inputs, of each graph that is compiled from now on."""
    found: list[tuple[bool, list[Any]]] = []

    def record(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        found.append((torch.is_grad_enabled(), inputs))
        return graph.forward

    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_module(self, backend=record))
    # The CUDA kernel is one opaque operation for the compiler; the loop in its place on CPU is not.
    monkeypatch.setattr(attention_kormo, "_varlen_by_document", lambda q, k, v, ends, *_: q * 0.5)
    # The loss has a test of its own, and its compiler takes seconds.
    body = loss_kormo._chunk_functional
    monkeypatch.setattr(loss_kormo, "_compiled_body", lambda: body)
    torch._dynamo.reset()
    counters.clear()
    yield found
    torch._dynamo.reset()
