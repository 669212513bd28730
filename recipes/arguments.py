"""Command line of a stage, and the translation of its config into `TrainingArguments`."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainingArguments
from transformers.utils.logging import disable_progress_bar

from data_recipes.common.config_files import Strict, find_config, load_config
from data_recipes.common.errors import RecipeError

from .config import StageConfig
from .engine.schedule import Steps, deal_windows
from .post.dpo_config import DPOStageConfig
from .post.grpo_config import GRPOStageConfig
from .post.sft_config import SFTStageConfig

CONFIGS = Path(__file__).parent / "configs"
# Of stages that do not train on token shards.
SCHEMAS: dict[str, type[Strict]] = {
    "sft": SFTStageConfig,
    "dpo": DPOStageConfig,
    "grpo": GRPOStageConfig,
}


@dataclass(frozen=True)
class Invocation:
    """How a stage was started."""

    config: Any
    config_path: Path
    dry_run: bool


def parse_command_line(stage: str, description: str, argv: list[str] | None = None) -> Invocation:
    """Read `--config`, `--dry-run` and `key=value` overrides; the default is the tiny recipe.

    Raises:
        RecipeError: bad config, or one of another stage.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--config",
        default=f"tiny/{stage}.yaml",
        help="YAML file, or its path below recipes/configs (default: %(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and exit")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_intermixed_args(argv)
    path = find_config(args.config, CONFIGS)
    config = load_config(path, SCHEMAS.get(stage, StageConfig), args.overrides)
    if config.stage != stage:
        raise RecipeError(
            f"{path}: is a config of {config.stage}; start it with recipes/{config.stage}.py"
        )
    return Invocation(config, path, args.dry_run)


def _cannot_write(error: Exception) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
    return any(f"(os error {c})" in str(error) or getattr(error, "errno", None) == c for c in codes)


def exit_on_error(main: Callable[[], None]) -> None:
    """Run a command; bad input ends in one message and status 1, not in a traceback."""
    try:
        main()
    except (RecipeError, OSError, SafetensorError) as error:
        # Of the system's errors, those that a user can mend; any other is a bug to be traced.
        if not isinstance(error, RecipeError) and not _cannot_write(error):
            raise
        sys.stderr.flush()
        rank = int(os.environ.get("RANK", "0"))
        if rank == 0:
            print(f"error: {error}", file=sys.stderr, flush=True)
        # os._exit: a distributed peer may be waiting in a collective that will never complete.
        os._exit(1)


def training_arguments(config: StageConfig, steps: Steps) -> TrainingArguments:
    """HF's arguments for a stage. Also starts the process group if there is one.

    Raises:
        RecipeError: no GPU where the config demands one, precision at odds with the launcher's,
            a batch that cannot be dealt out over the ranks.
    """
    gpu = torch.cuda.is_available()
    if config.parallelism.require_gpu and not gpu:
        raise RecipeError(
            "parallelism.require_gpu: this recipe needs a CUDA GPU and torch sees none. Run it on "
            "a GPU machine, use the tiny recipe, or see its plan with --dry-run"
        )
    if config.model.liger and not gpu:
        raise RecipeError("model.liger: Liger's kernels need a CUDA GPU; set model.liger=false")
    precision = config.parallelism.precision
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launcher not in ("no", "bf16" if precision == "bf16" else "no"):
        raise RecipeError(
            f"parallelism.precision is {precision} but accelerate was launched with "
            f"mixed_precision {launcher}: make them agree"
        )
    disable_progress_bar()  # of loading and saving; training has its own
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    deal = deal_windows(config, ranks)
    schedule, optimizer, logging = config.schedule, config.optimizer, config.logging
    args = TrainingArguments(
        output_dir=str(logging.output_dir),
        use_cpu=not gpu,
        ddp_backend="gloo" if ranks > 1 and not gpu else None,
        bf16=precision == "bf16",
        per_device_train_batch_size=deal.micro_batch,
        gradient_accumulation_steps=deal.accumulation,
        accelerator_config={
            "gradient_accumulation_kwargs": {
                "sync_each_batch": config.parallelism.sync_each_microbatch
            }
        },
        max_steps=steps.total,
        learning_rate=optimizer.learning_rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={
            "num_decay_steps": steps.decay,
            "decay_type": schedule.decay_type,
            "min_lr_ratio": schedule.min_lr_ratio,
        },
        warmup_steps=steps.warmup,
        optim="adamw_torch_fused",
        adam_beta1=optimizer.beta1,
        adam_beta2=optimizer.beta2,
        adam_epsilon=optimizer.epsilon,
        weight_decay=optimizer.weight_decay,
        max_grad_norm=optimizer.max_grad_norm,
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=False,
        use_liger_kernel=config.model.liger,
        dataloader_num_workers=config.data.workers,
        dataloader_pin_memory=gpu,
        ignore_data_skip=True,  # the sampler starts where the run left off
        remove_unused_columns=False,
        logging_strategy="steps",
        logging_steps=logging.log_every,
        logging_nan_inf_filter=False,  # would sync the host at every forward; the guard watches
        eval_strategy="steps",
        eval_steps=steps.eval_every,
        save_strategy="steps",
        save_steps=steps.save_every,
        save_total_limit=None,  # `checkpoints.publish` rotates, after the new one is whole
        report_to=list(logging.report_to) or "none",
        seed=config.data.seed,
        data_seed=config.data.seed,
        disable_tqdm=True,
        log_level="warning",
    )
    # One process drives one GPU. DataParallel, the default for a lone process that sees several,
    # would cut the packed row into pieces.
    args._n_gpu = min(args.n_gpu, 1)
    return args
