"""Growth of the model that a stage starts from: its plan, the ramp of masks, and the optimizer."""

import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from data_recipes.common.errors import RecipeError, errors_about
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.growth import Growth, grow_model, pad_optimizer_state, plan_growth
from modeling_kormo.growth_masks import put_on_masks, set_masks

from ..config import StageConfig
from .checkpoints import list_checkpoints
from .handover import read_lineage
from .resume import newest_whole
from .trainer import decayed_parameters


def plan_stage(config: StageConfig, shape: PreTrainedConfig) -> Growth:
    """Plan the growth of a stage: all its steps together.

    Args:
        config: of the stage.
        shape: config of the model that it starts from.

    Raises:
        RecipeError: it cannot grow, or not so.
    """
    growth = config.growth
    sizes = {key: value for step in growth.steps for key, value in step.sizes().items()}
    with errors_about("growth"):
        return plan_growth(shape, how=growth.how, seed=growth.seed, **sizes)


def check_grown_so(init_from: str, growth: Growth) -> None:
    """Make sure that a model under masks has grown as the stage says.

    Raises:
        RecipeError: it has not, or it has no record of its growth.
    """
    lineage = read_lineage(init_from) or {}
    found, wanted = lineage.get("growth", {}), growth.record()
    if differing := [key for key, value in wanted.items() if found.get(key) != value]:
        raise RecipeError(
            f"model.init_from {init_from}: is in the middle of another growth than growth.steps "
            f"say ({', '.join(differing)} differ); write there what `kormo grow` was told"
        )


def grow(config: StageConfig, model: PreTrainedModel, growth: Growth) -> PreTrainedModel:
    """Grow the model that a stage starts from, and freeze what it does not train.

    Args:
        config: of the stage.
        model: its parent, or what `kormo grow --how masks` made of it, which lacks masks alone.
        growth: of the stage.
    """
    if any(getattr(model.config, key) != size for key, size in growth.record()["to"].items()):
        # Of its own config, which says more than the recipe's shape: token ids, epsilon, RoPE.
        model = grow_model(model, plan_stage(config, model.config))
    put_on_masks(model, growth)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(config.growth.train == "all" or growth.is_new(name))
    return model


def read_moments(
    checkpoint: Path, shape: KORMoConfig, scratch: Path
) -> dict[str, dict[str, torch.Tensor]]:
    """Read the state of a checkpoint's optimizer, by parameter.

    Args:
        checkpoint: a `checkpoint-N` of one process, of several, or sharded.
        shape: config of its model.
        scratch: where shards are put together; as large as they are.

    Raises:
        RecipeError: it is another model's, or of a run that trained a part of this one.
    """
    with torch.device("meta"):
        model = KORMoForCausalLM(shape)
    parameters = dict(model.named_parameters())
    if (checkpoint / "optimizer_0").is_dir():
        whole = scratch / "optimizer.pt"
        dcp_to_torch_save(checkpoint / "optimizer_0", whole)
        moments = _read(whole)["optimizer"]["state"]
    else:
        saved = _read(checkpoint / "optimizer.pt")
        # Parameters have numbers there, those that are decayed first.
        decayed = decayed_parameters(model)
        names = [*decayed, *(name for name in parameters if name not in decayed)]
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        moments = {n: saved["state"].get(number, {}) for n, number in zip_longest(names, numbers)}
    if moments.keys() != parameters.keys() or any(
        "exp_avg" not in state or state["exp_avg"].shape != parameters[name].shape
        for name, state in moments.items()
    ):
        raise RecipeError(
            f"growth.optimizer: the optimizer in {checkpoint} is not of a run that trained the "
            "whole model in the order of pretraining; set growth.optimizer=fresh"
        )
    return moments


def _read(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", mmap=True, weights_only=True)


class GrowthRamp(TrainerCallback):
    """Raises the masks step by step, and takes the moments of the parent's run along.

    Args:
        config: of the stage.
        model: grown, before anything wraps it.
        growth: that it went through.

    Raises:
        RecipeError: there is no checkpoint to take them from.
    """

    def __init__(self, config: StageConfig, model: PreTrainedModel, growth: Growth) -> None:
        self.config, self.model, self.growth = config, model, growth
        self.parent: Path | None = None
        begins = not list_checkpoints(config.logging.output_dir)
        if config.growth.optimizer == "carried" and begins:
            parent = config.model.init_from
            # What `kormo grow` wrote was not trained itself.
            of = Path((read_lineage(parent) or {}).get("growth", {}).get("of", parent))
            run = of.parent
            self.parent = of if of in list_checkpoints(run) else newest_whole(run)
            if self.parent is None:
                raise RecipeError(
                    f"growth.optimizer: carried, but {run} has no checkpoint-N whose optimizer "
                    "could be taken along; set growth.optimizer=fresh"
                )

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        # Here, too: a run that was stopped behind its last step has none that would raise them.
        self._set_masks(state.global_step)
        if self.parent is None or state.global_step:
            return
        with tempfile.TemporaryDirectory(dir=self.config.logging.output_dir) as scratch:
            moments = read_moments(self.parent, self.growth.old, Path(scratch))
            padded = pad_optimizer_state(moments, self.growth)
            for name, parameter in self.model.named_parameters():
                optimizer.state[parameter] = {
                    key: _place(value, parameter) for key, value in padded[name].items()
                }
        if state.is_world_process_zero:
            print(f"optimizer's moments taken along from {self.parent}", flush=True)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._set_masks(state.global_step + 1)

    def _set_masks(self, steps: int) -> None:
        tokens = steps * self.config.batch.tokens_per_step
        set_masks(self.model, self.config.growth.mask_values(tokens))


def _place(value: torch.Tensor, parameter: nn.Parameter) -> torch.Tensor:
    """Move a moment to where its parameter is, sharded as that is; a count of steps only moves."""
    if value.ndim and isinstance(parameter, DTensor):
        return distribute_tensor(value, parameter.device_mesh, parameter.placements)
    return value.to(parameter.device)
