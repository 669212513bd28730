"""The one translation of a stage's config into Hugging Face's arguments (docs/training.md)."""

import os
from datetime import timedelta
from typing import Any, Protocol

import torch
from accelerate import PartialState
from transformers import TrainingArguments
from transformers.utils.logging import disable_progress_bar

from data_recipes.common.errors import RecipeError

from .config import StageConfig
from .pretrain import BatchSplit, Steps, split_windows
from .shared_config import AdamWConfig, PrecisionConfig, RunLoggingConfig


class AnyStage(Protocol):
    """What the configs of all stages have."""

    model: Any
    optimizer: AdamWConfig
    parallelism: PrecisionConfig
    logging: RunLoggingConfig


def process_count() -> int:
    """Ranks of this run, as the launcher says it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_machine(config: AnyStage) -> None:
    """Make sure that this machine and this launch can do what the config asks for.

    Raises:
        RecipeError: no GPU where the config demands one, a kernel that it lacks, precision at odds
            with the launcher's, or fewer ranks than the launch asked for.
    """
    if config.parallelism.require_gpu and not torch.cuda.is_available():
        raise RecipeError(
            "parallelism.require_gpu: this recipe needs a CUDA GPU and torch sees none. Run it on "
            "a GPU machine, use the tiny recipe, or see its plan with --dry-run"
        )
    if getattr(config.model, "liger", False) and not torch.cuda.is_available():
        raise RecipeError("model.liger: Liger's kernels need a CUDA GPU; set model.liger=false")
    if kernel := getattr(config.model, "flash_kernel", None):
        _use_flash_kernel(kernel)
    precision = config.parallelism.precision
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launcher not in ("no", "bf16" if precision == "bf16" else "no"):
        raise RecipeError(
            f"parallelism.precision is {precision} but accelerate was launched with "
            f"mixed_precision {launcher}: make them agree"
        )
    # On a CPU, accelerate (1.15) starts one process whatever --num_processes says; that more were
    # meant shows in the meeting point that it sets for them.
    one_of_many = "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ
    if one_of_many and "ACCELERATE_MIXED_PRECISION" in os.environ:
        raise RecipeError(
            "`accelerate launch` was asked for several processes and started one, as it does on a "
            "CPU; start them with\n  torchrun --nproc_per_node 2 recipes/stage1.py"
        )


def _use_flash_kernel(kernel: str) -> None:
    """Have torch call another FlashAttention, in all of this process."""
    from torch.nn import attention

    if not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9:
        raise RecipeError(f"model.flash_kernel {kernel}: needs a Hopper GPU (H100, H200)")
    if kernel not in getattr(attention, "list_flash_attention_impls", list)():
        raise RecipeError(
            f"model.flash_kernel {kernel}: torch {torch.__version__} cannot call it; update torch"
        )
    try:
        attention.activate_flash_attention_impl(kernel)
    except (ImportError, RuntimeError) as error:
        raise RecipeError(
            f"model.flash_kernel {kernel}: cannot be loaded ({error}); install flash_attn_3 from "
            "PyTorch's package index (PyPI's is empty), or leave model.flash_kernel out"
        ) from error


def start_processes(timeout_minutes: float) -> None:
    """Join the ranks of this run: before the output is claimed and data are made by the first.

    Args:
        timeout_minutes: after which a rank that waits for another gives up.
    """
    disable_progress_bar()  # of loading and saving; training has its own
    backend = _backend()
    PartialState(
        cpu=not torch.cuda.is_available(),
        timeout=timedelta(minutes=timeout_minutes),
        **({"backend": backend} if backend else {}),
    )


def _backend() -> str | None:
    return "gloo" if process_count() > 1 and not torch.cuda.is_available() else None


def shared_arguments(
    config: AnyStage, split: BatchSplit, save_every: int, seed: int
) -> dict[str, Any]:
    """Translate what all stages share; each stage adds its own and its length.

    Args:
        config: any stage's.
        split: of a step over ranks and forward passes.
        save_every: steps between checkpoints.
        seed: order of the data.
    """
    optimizer, logging, gpu = config.optimizer, config.logging, torch.cuda.is_available()
    # Reinforcement learning has no such key.
    sync = getattr(config.parallelism, "sync_each_microbatch", False)
    return {
        "accelerator_config": {
            # Copies from pinned memory need no wait, which would be booked as one for data.
            "non_blocking": gpu,
            "gradient_accumulation_kwargs": {"sync_each_batch": sync},
        },
        "output_dir": str(logging.output_dir),
        "use_cpu": not gpu,
        "ddp_backend": _backend(),
        "ddp_timeout": round(60 * config.parallelism.timeout_minutes),
        "ddp_find_unused_parameters": False,
        "bf16": config.parallelism.precision == "bf16",
        "per_device_train_batch_size": split.micro_batch,
        "gradient_accumulation_steps": split.accumulation,
        "optim": "adamw_torch_fused",
        "learning_rate": optimizer.learning_rate,
        "adam_beta1": optimizer.beta1,
        "adam_beta2": optimizer.beta2,
        "adam_epsilon": optimizer.epsilon,
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.max_grad_norm,
        "average_tokens_across_devices": True,
        "dataloader_pin_memory": gpu,
        "logging_strategy": "steps",
        "logging_steps": logging.log_every,
        # Would sync the host at every forward, and hide a loss that is not a number.
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": save_every,
        "save_total_limit": None,  # `checkpoints.publish` rotates, after the new one is whole
        "report_to": list(logging.report_to) or "none",
        "seed": seed,
        "data_seed": seed,
        "disable_tqdm": True,
        "log_level": "warning",
    }


def schedule_arguments(
    total: int, warmup: int, decay: int, decay_type: str, min_lr_ratio: float
) -> dict[str, Any]:
    """Translate a stage's length, in steps, and its warm-up, stable, decay."""
    return {
        "max_steps": total,
        "warmup_steps": warmup,
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {
            "num_decay_steps": decay,
            "decay_type": decay_type,
            "min_lr_ratio": min_lr_ratio,
        },
    }


def one_device(args: TrainingArguments) -> TrainingArguments:
    """Have one process drive one GPU.

    DataParallel, the default for a lone process that sees several, would cut the packed row into
    pieces.
    """
    args._n_gpu = min(args.n_gpu, 1)
    return args


def training_arguments(config: StageConfig, steps: Steps) -> TrainingArguments:
    """Translate the config of pretraining or mid-training.

    Raises:
        RecipeError: a step that cannot be split over the ranks.
    """
    split, schedule = split_windows(config, process_count()), config.schedule
    return one_device(
        TrainingArguments(
            **shared_arguments(config, split, steps.save_every, config.data.seed),
            **schedule_arguments(
                steps.total, steps.warmup, steps.decay, schedule.decay_type, schedule.min_lr_ratio
            ),
            use_liger_kernel=config.model.liger,
            dataloader_num_workers=config.data.workers,
            ignore_data_skip=True,  # the sampler starts where the run left off
            remove_unused_columns=False,
            eval_strategy="steps",
            eval_steps=steps.eval_every,
        )
    )


def stream_dtype(precision: str) -> str:
    """Return the dtype of the residual stream, by name: what a run must not change when it resumes.

    Args:
        precision: `parallelism.precision`.
    """
    return {"bf16": "bfloat16", "fp32": "float32"}[precision]


def receives_weights() -> bool:
    """Tell whether this rank gets its shards from the first one, as the launcher says."""
    efficient = os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "").lower() == "true"
    return efficient and int(os.environ.get("RANK", "0")) != 0
