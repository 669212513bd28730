"""What `model.compile` compiles over a run, as Dynamo sees it, with no compiler behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters

from recipes import build
from recipes.arguments import training_arguments
from recipes.build import ensure_inputs
from recipes.pretrain import plan_steps
from recipes.stage1 import RULES
from tests.conftest import Stage


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
