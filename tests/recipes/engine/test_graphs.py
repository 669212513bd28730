"""What `model.compile` compiles over a run, as Dynamo sees it, with no compiler behind it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from modeling_kormo import attention_kormo, loss_kormo
from recipes import build
from recipes.arguments import training_arguments
from recipes.engine.schedule import plan_steps
from recipes.inputs import ensure_inputs
from recipes.stage1 import RULES
from tests.conftest import Stage


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


def test_the_training_graph_has_constant_shapes(
    small_stage: Callable[..., Stage], tmp_path: Path, graphs: list[tuple[bool, list[Any]]]
) -> None:
    """Measured in other shapes first, it would be compiled for any number of tokens."""
    config = small_stage(tmp_path / "run", "model.compile=true", "batch.micro_batch=4").config()
    ensure_inputs(config, RULES)
    steps = plan_steps(config)
    args = training_arguments(config, steps)
    tokenizer = build.build_tokenizer(config)
    mixture = build.build_mixture(config, steps, tokenizer)
    model = build.build_model(config, tokenizer)
    trainer = build.build_trainer(config, RULES, args, steps, model, tokenizer, mixture)
    trainer.run(None, 0)

    assert {training for training, _ in graphs} == {True, False}
    # A dimension that may change is an input of its own.
    assert not [x for _, inputs in graphs for x in inputs if isinstance(x, torch.SymInt)]
    # Layers share a graph; a second one comes when the number of documents first changes, a third
    # for the final norm.
    assert sum(training for training, _ in graphs) <= 3, len(graphs)
    assert not counters["graph_break"]
