"""Sections that the YAML of every stage has: optimizer, precision and sharding, logging."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from data_recipes.common.config_files import Strict

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as numpy's, which is seeded with all others


class AdamWConfig(Strict):
    """AdamW, in every stage.

    Attributes:
        learning_rate: peak.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
        weight_decay: on matrices and the output head; none on norms, embeddings and biases.
        max_grad_norm: gradients are clipped to this norm.
    """

    learning_rate: float = Field(gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)


class PrecisionConfig(Strict):
    """Precision, in every stage. Sharding itself is accelerate's config.

    Attributes:
        precision: compute dtype; master weights are fp32 either way.
        require_gpu: refuse to run on CPU.
        timeout_minutes: how long ranks wait for each other before the run ends with an error: at
            least as long as the first one makes data alone. Our choice: torch's own for GPUs is 10,
            which a large file on a slow disk exceeds.
    """

    precision: Literal["fp32", "bf16"]
    require_gpu: bool = False
    timeout_minutes: float = Field(default=30, gt=0)


class ShardingConfig(PrecisionConfig):
    """Precision and sharding, in every stage that does not generate.

    Attributes:
        sync_each_microbatch: reduce gradients after every forward pass instead of once a step:
            more traffic, but no full-size gradient buffer on each GPU.
        gpus: number of GPUs that `--dry-run` plans for.
        gpu: their name, as in `recipes/engine/metrics.py`.
    """

    sync_each_microbatch: bool = False
    gpus: int = Field(default=1, gt=0)
    gpu: str = "H200"


class RunLoggingConfig(Strict):
    """Where results go, in every stage.

    Attributes:
        output_dir: directory of the run.
        log_every: steps between lines of `metrics.jsonl`.
        keep_checkpoints: newest checkpoints to keep; 0 keeps all.
        background_checkpoints: write sharded checkpoints while training goes on. Off, our choice:
            it has run on a CPU only, and takes host memory (recipes/engine/background_save.py).
        report_to: further trackers.
        quick_eval_suite: what is evaluated while a stage trains (recipes/engine/quick_eval.py):
            `quick`, or `proxy`, bits per byte of right answers, which base models too can do.
        quick_eval_items: questions per task of that suite. Our choice: every process asks them all,
            so few; a score of 50 has a standard error of up to 7 points, enough to see a model
            break.
    """

    output_dir: Path
    log_every: int = Field(default=10, gt=0)
    keep_checkpoints: int = Field(default=2, ge=0)
    background_checkpoints: bool = False
    report_to: list[Literal["tensorboard", "wandb", "trackio"]] = []
    quick_eval_suite: Literal["quick", "proxy"] = "quick"
    quick_eval_items: int = Field(default=50, gt=0)
