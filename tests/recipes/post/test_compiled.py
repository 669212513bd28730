"""What `model.compile` compiles in the chat stages, as Dynamo sees it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from .chat_runs import chat_stage


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
