"""The running average of a run's weights, measured beside them (`logging.average_tokens`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from modeling_kormo.views_kormo import PREFIX

from .checkpoints import without_warning

AVERAGE = "running_average"


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class RunningAverage(TrainerCallback):
    """Keeps the mean of the weights after every step; a share halves in so many steps.

    The shares add up to 1 from the first step on, as in `kormo average --ema`, so that the random
    weights before it have none. fp32, where the weights are, and sharded as they are: 4 bytes more
    a parameter. Training does not see it.

    Args:
        half_life: in steps.

    Attributes:
        steps: that are in the mean.
        checkpoint: that the run goes on from, set before training.
    """

    def __init__(self, half_life: float) -> None:
        self.half_life = half_life
        self.steps = 0
        self.checkpoint: Path | None = None
        self._weights: dict[str, torch.Tensor] = {}
        self._means: dict[str, torch.Tensor] = {}

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        **_: Any,
    ) -> None:
        """Begin with nothing, or with what the checkpoint has, if it was kept so there, too."""
        # Now, when FSDP2 has sharded them and no forward pass has gathered any.
        named = ((name.removeprefix("module."), p.detach()) for name, p in model.named_parameters())
        self._weights = {name: p for name, p in named if not name.startswith(PREFIX)}
        self._means = {name: torch.zeros_like(p) for name, p in self._weights.items()}
        if self.checkpoint and (self.checkpoint / AVERAGE).is_dir():
            saved = self._state()
            with without_warning():
                dcp.load(saved, checkpoint_id=self.checkpoint / AVERAGE, no_dist=self._alone)
            if saved["half_life"].item() == self.half_life:
                self.steps = int(saved["steps"])
        if self.checkpoint and not self.steps and state.is_world_process_zero:
            print(f"{self.checkpoint}: has no such average; it begins here", flush=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.steps += 1
        kept = 0.5 ** (1 / self.half_life)
        share = (1 - kept) / (1 - kept**self.steps)
        for name, mean in self._means.items():
            _local(mean).lerp_(_local(self._weights[name]), share)

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Have a model compute with the mean; afterwards its weights are what they were."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    def _swap(self, model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # or it would go on with the weights that it has gathered
        for name, mean in self._means.items():
            own, other = _local(mean), _local(self._weights[name])
            kept = own.clone()
            own.copy_(other)
            other.copy_(kept)

    @property
    def _alone(self) -> bool:
        return not dist.is_initialized()

    def _state(self) -> dict[str, Any]:
        numbers = {"steps": torch.tensor(self.steps)}
        return numbers | {"half_life": torch.tensor(self.half_life).double(), "means": self._means}

    def save(self, staged: Path) -> None:
        """Add the mean to a checkpoint, every rank its shards."""
        with without_warning():
            dcp.save(self._state(), checkpoint_id=staged / AVERAGE, no_dist=self._alone)
