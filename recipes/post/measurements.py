"""What all chat stages measure, log and save, whatever TRL's trainer is."""

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from peft import PeftModel
from torch import nn
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl.models import prepare_fsdp

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig

from ..engine.checkpoints import WholeCheckpoints, clear_staging
from ..engine.metrics import LossCurve, Throughput, append_metrics, flops_per_token, peak_flops
from ..engine.model_setup import gathered, reduce_in_fp32
from ..engine.progress import ProgressBar, train_until_stopped
from ..engine.trainer import decayed_parameters
from ..shared_config import RunLoggingConfig

# TRL reads the old names of these, transformers warns of them.
warnings.filterwarnings("ignore", message="`(is_)?gradient_checkpointing` is deprecated")
# Rates of evaluation, which nobody compares, and counts that TRL starts again in a resumed run.
_LEFT_OUT = ("_runtime", "samples_per_second", "steps_per_second", "num_tokens")
_LEFT_OUT += ("num_input_tokens_seen", "train_tokens_per_second")


def shard_reference(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Shard a reference model as the policy is, by the function that does it.

    TRL shards it at its root only: every forward would gather all of it in one piece.
    """
    if accelerator.state.fsdp_plugin.fsdp_version == 2:
        return fsdp2_prepare_model(accelerator, model).eval()
    return prepare_fsdp(model, accelerator)


class ChatMeasurements(WholeCheckpoints):
    """What every chat stage logs, and how. Stands before the TRL trainer it is mixed into."""

    def prepare(self, config: Any) -> None:
        """Set up what TRL's constructor does not know.

        Args:
            config: any chat stage's.

        Raises:
            RecipeError: an adapter under FSDP.
        """
        if self.is_fsdp_enabled and isinstance(self.model, PeftModel):
            raise RecipeError(
                "model.adapter: adapters are not sharded; launch without FSDP "
                "(recipes/configs/accelerate/one_gpu.yaml, or --multi_gpu)"
            )
        if isinstance(self.model, PeftModel):
            head = self.model.get_output_embeddings()
            # TRL asks for it, and around a head with trained rows PEFT passes on the weight alone.
            head.bias = getattr(head, "bias", None)
        self.throughput = self._throughput(config)
        self.keep_checkpoints = config.logging.keep_checkpoints
        if config.logging.background_checkpoints:
            self.save_in_background()
        self.curve = LossCurve(Path(self.args.output_dir), f"{config.size} {config.stage}")
        self._learned = torch.zeros((), dtype=torch.float64, device=self.args.device)
        self._seen = torch.zeros((), dtype=torch.int64, device=self.args.device)
        # Of all gradient norms so far: one that is no number stays in it.
        self._norms = torch.zeros((), dtype=torch.float64, device=self.args.device)
        self._tokens_logged: int | None = None
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressBar())
        if tokens := getattr(config.logging, "quick_eval_every_tokens", None):
            per_step = config.batch.tokens_per_step
            self.evaluate_quickly(config.logging, max(1, tokens // per_step), per_step)

    def evaluate_quickly(self, logging: RunLoggingConfig, every: int, per_step: int | None) -> None:
        """Evaluate a suite of small tasks while the stage trains.

        Args:
            logging: names the suite.
            every: steps between evaluations.
            per_step: tokens of a step; `None` where steps differ.
        """
        # Loaded where it is asked for: lm-eval takes seconds.
        from ..engine.quick_eval import QuickEval

        self.add_callback(
            QuickEval(logging, self.processing_class, every, per_step, self.throughput)
        )

    def create_accelerator_and_postprocess(self) -> None:
        # Here and not after the constructor, in which TRL prepares the reference.
        super().create_accelerator_and_postprocess()
        reduce_in_fp32(self)

    def _throughput(self, config: Any) -> Throughput:
        """The meter of tokens per second, and of MFU where FLOPs and GPU are known."""
        own = self.model.config
        # Under an adapter most weights have no gradient: how many FLOPs a token takes is not known.
        whole = isinstance(own, KORMoConfig) and not isinstance(self.model, PeftModel)
        known = whole and torch.cuda.is_available()
        peak = peak_flops(torch.cuda.get_device_name()) if known else None
        # Generation is most of a GRPO step, so there is no MFU to speak of.
        if peak is None or config.stage == "grpo":
            return Throughput(0.0, None)
        flops = flops_per_token(own, config.batch.sequence_length)
        return Throughput(flops, peak * self.args.world_size)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        return decayed_parameters(model)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """TRL writes one beside every checkpoint; `final/` has this project's."""

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step >= self.state.max_steps:
            # Stopped between the last step and the export: HF's loop would make one step too many.
            return [], None
        self.throughput.resume()
        if self._tokens_logged is None:
            self._tokens_logged = int(self.state.num_input_tokens_seen)
        before = time.perf_counter()
        result = super().get_batch_samples(*args, **kwargs)
        self.throughput.waiting += time.perf_counter() - before
        if result[1] is not None and "labels" in result[0][0]:
            self._learned += result[1]
        return result

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        # Overridden because HF's waits for the device, and for all ranks, in every micro-batch.
        if self.args.include_num_input_tokens_seen == "no":
            return
        known = inputs.get("attention_mask")
        if known is None:
            known = inputs["input_ids"] != self.processing_class.pad_token_id
        self._seen += known.sum()

    def _count_tokens(self) -> int:
        """Tokens that all ranks have read since the run began."""
        new = self.accelerator.reduce(self._seen, reduction="sum")
        self.state.num_input_tokens_seen += int(new)
        self._seen.zero_()
        return int(self.state.num_input_tokens_seen)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Completes a line and writes it to `metrics.jsonl` and the trackers.

        Raises:
            RecipeError: a loss or gradient norm that is not a number.
        """
        self._check_finite(logs)
        seen = self._count_tokens()
        if "train_runtime" in logs:
            return
        if "loss" in logs:
            new, self._tokens_logged = seen - (self._tokens_logged or 0), seen
            self.throughput.tokens = new
            if learned := int(self._learned):
                logs["masked_label_percent"] = 100 * (1 - learned / max(1, new))
            self._learned.zero_()
            logs |= self.throughput.drain()
        super().log(logs, start_time)
        if self.is_world_process_zero():
            own = {
                k.replace("eval_", "heldout_", 1): v
                for k, v in self.state.log_history[-1].items()
                # JSON has no NaN, which TRL reports for what nothing in the step had.
                if k != "step" and not k.endswith(_LEFT_OUT) and math.isfinite(v)
            }
            line = {"step": self.state.global_step, "tokens": seen}
            append_metrics(Path(self.args.output_dir), line | own)

    def check_reference(self, ratios: torch.Tensor, log_probs: torch.Tensor) -> None:
        """Before the first step model and reference are the same weights, and must say the same.

        Args:
            ratios: of each answer, its log-probability less that under the reference, in nats.
            log_probs: of each, in nats; the tolerance is a share of it (our choice), a hundred
                times the rounding of fp32.

        Raises:
            RecipeError: they do not.
        """
        if self.state.global_step:
            return
        if (ratios.abs() > 1e-4 * log_probs.abs().clamp(min=1)).any():
            raise RecipeError(
                "the reference differs from the model before the first step, by "
                f"{ratios.abs().max().item():.3f} nats in an answer: they compute in different "
                "precision; launch with a config of recipes/configs/accelerate"
            )

    def _clip_grad_norm(self, model: nn.Module) -> torch.Tensor:
        # Overridden because HF logs the norm of every `log_every`-th step alone, and saves after
        # any: weights that are no numbers would be published, and exported after the last.
        norm = super()._clip_grad_norm(model)
        self._norms += gathered(norm)
        return norm

    def _check_finite(self, logs: dict[str, float]) -> None:
        if not math.isfinite(logs.get("loss", 0.0)) or not self._norms.isfinite():
            raise RecipeError(
                f"step {self.state.global_step}: a loss or gradient norm since the last log line "
                "is not a number; all checkpoints are from before it. Lower "
                "optimizer.learning_rate, and give the run another logging.output_dir"
            )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.throughput.pause()
        self._check_finite({})
        self._count_tokens()  # the checkpoint has them
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            self.curve.refresh(self.state.global_step >= self.state.max_steps)
        self.throughput.resume()

    @contextmanager
    def measuring(self) -> Iterator[nn.Module]:
        """Lend the model for a measurement: no gradients, no dropout, no time counted."""
        self.throughput.pause()
        model, training = self.model_wrapped, self.model_wrapped.training
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            yield model
        model.train(training)
        self.throughput.resume()

    def own_batches(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """Held-out rows of this process in batches, and whether each counts.

        Not through a loader, which repeats rows until they divide. Sharded models talk in every
        forward, so a process without a batch of its own repeats one, uncounted.
        """
        rows, size = self.eval_dataset, self.args.per_device_eval_batch_size
        starts = range(0, len(rows), size)
        for first in range(0, len(starts), self.args.world_size):
            own = first + self.args.process_index
            start = starts[min(own, len(starts) - 1)]
            batch = [rows[i] for i in range(start, min(start + size, len(rows)))]
            yield self._prepare_inputs(self.data_collator(batch)), own < len(starts)

    def report(self, metrics: dict[str, float]) -> dict[str, float]:
        """Log a measurement, and clear the request for it, which would be answered again."""
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def run(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint if there is one.

        Raises:
            Stopped: a signal asked for it.
        """
        if self.is_world_process_zero():
            clear_staging(Path(self.args.output_dir))
        self.accelerator.wait_for_everyone()
        # The measurement before the first step is the "before" of the model card.
        self.args.eval_on_start = checkpoint is None and self.eval_dataset is not None
        train_until_stopped(self, checkpoint)
