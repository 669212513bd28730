"""What the chat stages share: arguments, steps, resume."""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState
from transformers import (
    PreTrainedModel,
)
from transformers.utils.logging import disable_progress_bar

from data_recipes.common.config_files import CONFIGS, find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.read.hub import HUB
from modeling_kormo import KORMoConfig

from ..config import SELF_CONTAINED
from ..engine.checkpoints import find_newest, record_fingerprint
from ..engine.flops import flops_per_token, peak_flops
from ..engine.handover import read_lineage
from ..engine.metrics import Throughput
from ..inputs import run_stage
from .sft_config import ChatStageConfig


def trainer_arguments(
    config: ChatStageConfig, total: int, accumulation: int, seed: int
) -> dict[str, Any]:
    """Arguments that every TRL trainer takes. Also starts the process group if there is one.

    Args:
        config: the stage.
        total: steps.
        accumulation: forward passes per step and rank.
        seed: order of the data.

    Raises:
        RecipeError: no GPU where the config demands one, or precision at odds with the launcher's.
    """
    gpu = torch.cuda.is_available()
    if config.parallelism.require_gpu and not gpu:
        raise RecipeError(
            "parallelism.require_gpu: this recipe needs a CUDA GPU and torch sees none. Run it on "
            "a GPU machine, use the tiny recipe, or see its plan with --dry-run"
        )
    disable_progress_bar()  # of loading and saving; training has its own
    # TRL reads the old names of these, transformers warns of them.
    warnings.filterwarnings("ignore", message="`(is_)?gradient_checkpointing` is deprecated")
    precision = config.parallelism.precision
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launcher not in ("no", "bf16" if precision == "bf16" else "no"):
        raise RecipeError(
            f"parallelism.precision is {precision} but accelerate was launched with "
            f"mixed_precision {launcher}: make them agree"
        )
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    backend = "gloo" if ranks > 1 and not gpu else None
    # Starts the process group: the claim on the output and the data come before TRL would.
    PartialState(cpu=not gpu, **({"backend": backend} if backend else {}))
    schedule, optimizer, logging = config.schedule, config.optimizer, config.logging
    warmup = round(total * schedule.warmup_fraction)
    return {
        "output_dir": str(logging.output_dir),
        "use_cpu": not gpu,
        "ddp_backend": backend,
        "ddp_find_unused_parameters": False,
        "bf16": precision == "bf16",
        "gradient_checkpointing": config.model.activation_checkpointing,
        "per_device_train_batch_size": config.batch.micro_batch,
        "per_device_eval_batch_size": config.batch.micro_batch,
        "gradient_accumulation_steps": accumulation,
        "max_steps": total,
        "learning_rate": optimizer.learning_rate,
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {
            "num_decay_steps": 0 if schedule.decay_type == "none" else total - warmup,
            "decay_type": "linear" if schedule.decay_type == "none" else schedule.decay_type,
            "min_lr_ratio": schedule.min_lr_ratio,
        },
        "warmup_steps": warmup,
        "optim": "adamw_torch_fused",
        "adam_beta1": optimizer.beta1,
        "adam_beta2": optimizer.beta2,
        "adam_epsilon": optimizer.epsilon,
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.max_grad_norm,
        "average_tokens_across_devices": True,
        "include_num_input_tokens_seen": "all",
        "dataloader_pin_memory": gpu,
        "logging_strategy": "steps",
        "logging_steps": logging.log_every,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps",
        "eval_steps": logging.eval_every,
        "save_strategy": "steps",
        "save_steps": logging.save_every,
        "save_total_limit": None,  # `checkpoints.publish` rotates, after the new one is whole
        "report_to": list(logging.report_to) or "none",
        "seed": seed,
        "data_seed": seed,
        "disable_tqdm": True,
        "log_level": "warning",
    }


def plan_chat_steps(config: ChatStageConfig, rows: int, ranks: int) -> tuple[int, int]:
    """Steps of the run, and forward passes per step and rank.

    Args:
        config: the stage.
        rows: windows (or pairs) in the data.
        ranks: processes.

    Raises:
        RecipeError: the rows of a step cannot be dealt out evenly, or there is less than one step.
    """
    batch = config.batch
    share = ranks * batch.micro_batch
    if batch.windows_per_step % share:
        raise RecipeError(
            f"batch: {batch.windows_per_step} windows a step cannot be dealt out evenly over "
            f"{ranks} processes x {batch.micro_batch} (batch.micro_batch); change one of them"
        )
    total = int(config.schedule.epochs * rows / batch.windows_per_step)
    if total == 0:
        raise RecipeError(
            f"{config.schedule.epochs:g} epochs of {rows:,} windows are less than one step of "
            f"{batch.windows_per_step}: lower batch.tokens_per_step or give more data"
        )
    return total, batch.windows_per_step // share


def throughput(model: PreTrainedModel, config: ChatStageConfig, ranks: int) -> Throughput:
    """Meter for tokens per second, and for MFU where FLOPs and GPU are known."""
    own = model.config
    known = isinstance(own, KORMoConfig) and torch.cuda.is_available()
    peak = peak_flops(torch.cuda.get_device_name()) if known else None
    flops = flops_per_token(own, config.batch.sequence_length) if known else 0.0
    return Throughput(flops, peak * ranks if peak else None)


def chat_fingerprint(config: ChatStageConfig, data: str) -> dict[str, dict[str, Any]]:
    """What must not change between a run and its resumption, by section."""
    lineage = read_lineage(config.model.init_from)
    return {
        "data": {"fingerprint": data},
        "model": {
            **config.model.model_dump(mode="json", exclude={"attention"}),
            "init_weights": lineage["weights_sha256"] if lineage else None,
        },
        "batch": {"tokens_per_step": config.batch.tokens_per_step},
        "schedule": config.schedule.model_dump(mode="json"),
        "optimizer": config.optimizer.model_dump(mode="json"),
        **({"preference": config.preference.model_dump()} if config.stage == "dpo" else {}),
    }


def train_chat(trainer: Any, config: Any, fingerprint: dict[str, Any]) -> None:
    """Train from the start or from where the last attempt was stopped."""
    output_dir = config.logging.output_dir
    checkpoint, _ = find_newest(output_dir, fingerprint, trainer.args.max_steps)
    if trainer.is_world_process_zero():
        if checkpoint is None:
            record_fingerprint(output_dir, fingerprint)
        print(
            f"writing to {output_dir}; if the run is interrupted, start the same command again to "
            "resume it",
            flush=True,
        )
    trainer.run(checkpoint)


# The stage that a self-contained one starts from, if its own parent is missing.
_PARENTS = {"sft": "midtrain_reasoning", "dpo": "sft", "grpo": "sft"}


def chat_plan(config: ChatStageConfig) -> str:
    """`--dry-run`: the resolved config, and the size of its sources."""
    lines = [yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)]
    batch = config.batch
    lines.append(
        f"tokens per step   {batch.tokens_per_step:,} at most: {batch.windows_per_step} "
        f"windows x {batch.sequence_length:,}"
    )
    for source in config.data.sources:
        path = Path(source.path)
        size = f"{path.stat().st_size:,} bytes" if path.is_file() else "not on this machine"
        lines.append(f"source            {source.path}: {size}")
    return "\n".join(lines)


def _missing(paths: list[str]) -> list[str]:
    return [p for p in paths if not (p.startswith(HUB) or "*" in p or Path(p).exists())]


def _make_data(recipe: Path) -> None:
    # The data factory loads only where data is made, not with every stage.
    from data_recipes.prepare.config import DataConfig
    from data_recipes.prepare.prepare import prepare

    prepare(load_config(find_config(recipe, CONFIGS), DataConfig, []))


def ensure_chat_inputs(config: Any, paths: list[str]) -> None:
    """Have the first rank make what a self-contained stage lacks, while the others wait.

    Args:
        config: any chat stage's.
        paths: of its data.

    Raises:
        RecipeError: a stage of real size lacks something; the message has the command.
    """
    with PartialState().main_process_first():
        recipe = config.data.recipe
        if missing := _missing(paths):
            if config.size not in SELF_CONTAINED or recipe is None:
                raise RecipeError(f"data.sources: {missing[0]} is not there")
            _make_data(recipe)
            if missing := _missing(paths):
                raise RecipeError(f"data.sources: {recipe} does not make {missing[0]}")
        parent = config.model.init_from
        if Path(parent).exists() or (parent.count("/") == 1 and not parent.startswith((".", "/"))):
            return
        script = f"{_PARENTS[config.stage]}.py"
        if config.size not in SELF_CONTAINED:
            raise RecipeError(
                f"{parent}: parent model missing; make it with\n  accelerate launch "
                f"recipes/{script} --config {config.size}/{Path(script).stem}.yaml"
            )
        print(f"{parent} is not there: training the {config.size} one now ({script})", flush=True)
        run_stage(script, config.size)
        if not Path(parent).exists():
            raise RecipeError(f"model.init_from {parent}: {script} does not write there")
