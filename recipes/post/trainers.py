"""TRL's trainers with this project's measurements, weight decay and whole checkpoints."""

import math
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch import nn
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import DPOTrainer, GRPOTrainer, SFTTrainer

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig

from ..engine.callbacks import ProgressBar
from ..engine.checkpoints import WholeCheckpoints, clear_staging
from ..engine.flops import flops_per_token, peak_flops
from ..engine.metrics import Throughput, append_metrics, plot_curve
from ..engine.trainer import decayed_parameters, reduce_in_fp32

# TRL reads the old names of these, transformers warns of them.
warnings.filterwarnings("ignore", message="`(is_)?gradient_checkpointing` is deprecated")
# Rates of evaluation, which nobody compares, and counts that TRL starts again in a resumed run.
_LEFT_OUT = ("_runtime", "_per_second", "num_tokens", "num_input_tokens_seen")


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
        reduce_in_fp32(self)
        self.throughput = self._throughput(config)
        self.keep_checkpoints = config.logging.keep_checkpoints
        self.title = f"{config.size} {config.stage}"
        self._learned = torch.zeros((), dtype=torch.float64, device=self.args.device)
        self._tokens_logged: int | None = None
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressBar())

    def _throughput(self, config: Any) -> Throughput:
        """The meter of tokens per second, and of MFU where FLOPs and GPU are known."""
        own = self.model.config
        known = isinstance(own, KORMoConfig) and torch.cuda.is_available()
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
        if result[1] is not None:
            self._learned += result[1]
        return result

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Completes a line and writes it to `metrics.jsonl` and the trackers.

        Raises:
            RecipeError: a loss or gradient norm that is not a number.
        """
        if "train_runtime" in logs:
            return
        if "loss" in logs:
            self._check_finite(logs)
            seen = int(self.state.num_input_tokens_seen)
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
            tokens = int(self.state.num_input_tokens_seen)
            line = {"step": self.state.global_step, "tokens": tokens}
            append_metrics(Path(self.args.output_dir), line | own)

    def _check_finite(self, logs: dict[str, float]) -> None:
        values = {k: float(logs[k]) for k in ("loss", "grad_norm") if k in logs}
        if not all(map(math.isfinite, values.values())):
            raise RecipeError(
                f"step {self.state.global_step}: {values}; checkpoints before it are whole. Lower "
                "optimizer.learning_rate, and give the run another logging.output_dir"
            )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.throughput.pause()
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            plot_curve(Path(self.args.output_dir), self.title)
        self.throughput.resume()

    def run(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint if there is one."""
        if self.is_world_process_zero():
            clear_staging(Path(self.args.output_dir))
        self.accelerator.wait_for_everyone()
        # The measurement before the first step is the "before" of the model card.
        self.args.eval_on_start = checkpoint is None and self.eval_dataset is not None
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


class ChatTrainer(ChatMeasurements, SFTTrainer):
    """SFT on packed conversations with labels; held-out loss is exact over all learned tokens."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Mean loss over the learned tokens of the held-out conversations, in nats."""
        self.throughput.pause()
        model = self.model_wrapped
        training = model.training
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        with torch.no_grad(), self.compute_loss_context_manager():
            windows, world_size = self.eval_dataset, self.args.world_size
            # Not through a loader, which repeats windows until they divide. Sharded models talk in
            # every forward, so a process without a window of its own runs one, uncounted.
            for first in range(0, len(windows), world_size):
                own = first + self.args.process_index
                batch = self.data_collator([windows[min(own, len(windows) - 1)]])
                inputs = self._prepare_inputs(batch)
                outputs = model(**inputs, fused_lm_head=True, use_cache=False)
                if own < len(windows):
                    sums[0] -= outputs.log_probs.double().sum()
                    sums[1] += outputs.label_mask.sum()
        model.train(training)
        nats, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
        metrics = {"heldout_loss": nats / tokens}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        self.throughput.resume()
        return metrics


class PairTrainer(ChatMeasurements, DPOTrainer):
    """DPO on pairs that are tokenised and masked already."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        self.throughput.pause()
        metrics = super().evaluate(*args, **kwargs)
        self.throughput.resume()
        return metrics


class RewardTrainer(ChatMeasurements, GRPOTrainer):
    """`GRPOTrainer` for rendered prompts."""

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict]:
        # The chat template has no BOS, which the tokenizer would put before plain text.
        return self.processing_class(prompts, add_special_tokens=False)["input_ids"], None, {}
