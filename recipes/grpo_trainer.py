"""TRL's trainer with rendered prompts, whole checkpoints and `metrics.jsonl`."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import GRPOTrainer

from data_recipes.errors import RecipeError

from .callbacks import ProgressBar
from .checkpoints import STAGING, publish
from .metrics import append_metrics


class RewardTrainer(GRPOTrainer):
    """`GRPOTrainer` for rendered prompts.

    Args:
        keep_checkpoints: newest checkpoints to keep; 0 keeps all.
        kwargs: as for `GRPOTrainer`.
    """

    def __init__(self, *, keep_checkpoints: int, **kwargs: Any) -> None:
        super().__init__(**kwargs, callbacks=[ProgressBar()])
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        self.keep_checkpoints = keep_checkpoints
        self.output_dir = Path(self.args.output_dir)
        self._saving = False
        self._logged_at: float | None = None
        self._logged_tokens = 0.0

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict]:
        # The chat template has no BOS, which the tokenizer would put before plain text.
        return self.processing_class(prompts, add_special_tokens=False)["input_ids"], None, {}

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """No samples for a run that was stopped between its last step and the export: resumed, HF's
        loop would make one step too many."""
        if self.state.global_step >= self.state.max_steps:
            return [], None
        return super().get_batch_samples(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Starts the clock at the first step, after a checkpoint has been loaded."""
        if self._logged_at is None:
            self._logged_at = time.perf_counter()
            self._logged_tokens = float(self.state.num_input_tokens_seen)
        return super().training_step(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the throughput, and writes a line to `metrics.jsonl`."""
        if "train_runtime" in logs or self._logged_at is None:
            return
        now, tokens = time.perf_counter(), float(self.state.num_input_tokens_seen)
        logs["tokens_per_second"] = (tokens - self._logged_tokens) / (now - self._logged_at)
        self._logged_at, self._logged_tokens = now, tokens
        super().log(logs, start_time)
        if self.is_world_process_zero():
            # JSON has no NaN, which TRL reports for what no completion of the step had.
            line = {k: v for k, v in logs.items() if not isinstance(v, float) or math.isfinite(v)}
            append_metrics(self.output_dir, {"step": self.state.global_step, **line})

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the card of `final/` is ours, and a checkpoint needs none."""

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.output_dir / STAGING) if self._saving else str(self.output_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._saving = True
        staging = self.output_dir / STAGING
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                staged = staging / f"checkpoint-{self.state.global_step}"
                publish(staged, self.output_dir, self.keep_checkpoints)
            self.accelerator.wait_for_everyone()
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise RecipeError(
                f"{staging}: checkpoint of step {self.state.global_step} could not be written "
                f"({error}). Earlier checkpoints are whole: free space, then start the same "
                "command again"
            ) from error
        finally:
            self._saving = False
