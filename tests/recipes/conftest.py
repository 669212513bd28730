"""A finished stage 1, a random chat model, a stage of reinforcement learning, compiled graphs."""

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
from recipes.engine import metrics
from tests.conftest import Once, Stage
from tests.random_model import random_model
from tests.recipes.post.grpo_hand_made import TEXT, small_grpo


@pytest.fixture(autouse=True, scope="session")
def _no_drawing() -> Iterator[None]:
    """Runs in this process draw no loss curve, which takes a sixth of a small one.

    Those in processes of their own do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "plot_curve", lambda run, _: (run / metrics.CURVE).touch())
        yield


@pytest.fixture(scope="session")
def uninterrupted(small_stage: Callable[..., Stage], once: Once) -> Path:
    """Stage 1, twelve steps from start to end in one process."""

    def make(directory: Path) -> None:
        done = small_stage(directory / "stage1").run()
        assert done.returncode == 0, done.stderr

    return once("uninterrupted", make) / "stage1"


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
    return small_grpo(chat_model, tmp_path)


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
