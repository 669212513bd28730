"""TRL's trainers with this project's measurements, weight decay and whole checkpoints."""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import trl.trainer.dpo_trainer
import trl.trainer.grpo_trainer
from accelerate import Accelerator
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from datasets import Dataset
from peft import PeftModel
from torch import nn
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import DPOTrainer, GRPOTrainer, SFTTrainer
from trl.models import prepare_fsdp

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig
from modeling_kormo.loss_kormo import IGNORE_INDEX

from ..engine.callbacks import ProgressBar
from ..engine.checkpoints import WholeCheckpoints, clear_staging
from ..engine.flops import flops_per_token, peak_flops
from ..engine.metrics import LossCurve, Throughput, append_metrics
from ..engine.numerics import reduce_in_fp32
from ..engine.stopping import train_until_stopped
from ..engine.trainer import decayed_parameters

# TRL reads the old names of these, transformers warns of them.
warnings.filterwarnings("ignore", message="`(is_)?gradient_checkpointing` is deprecated")
# TRL warns of an earlier turn's end, which KORMo's template leaves to a sample of its own; that of
# the last is in `masks.MaskAudit`, which refuses what this only warns of.
logging.getLogger("trl.trainer.sft_trainer").addFilter(
    lambda record: "end-of-turn token" not in record.getMessage()
)
# Rates of evaluation, which nobody compares, and counts that TRL starts again in a resumed run.
_LEFT_OUT = ("_runtime", "_per_second", "num_tokens", "num_input_tokens_seen")


# What is summed over the pairs of preference tuning: losses in nats, rewards, right orders, counts.
_PAIR_SUMS = (
    *("loss", "nll", "rewards/chosen", "rewards/rejected", "rewards/accuracies"),
    *("logps/chosen", "logps/rejected", "pairs", "tokens"),
)


def shard_reference(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Shard a reference model as the policy is, by the function that does it.

    TRL shards it at its root only: every forward would gather all of it in one piece.
    """
    if accelerator.state.fsdp_plugin.fsdp_version == 2:
        return fsdp2_prepare_model(accelerator, model).eval()
    return prepare_fsdp(model, accelerator)


# Both trainers prepare their reference in the constructor, and have no other hook for it.
trl.trainer.dpo_trainer.prepare_fsdp = shard_reference
trl.trainer.grpo_trainer.prepare_fsdp = shard_reference


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
        self.curve = LossCurve(Path(self.args.output_dir), f"{config.size} {config.stage}")
        self._learned = torch.zeros((), dtype=torch.float64, device=self.args.device)
        self._tokens_logged: int | None = None
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressBar())

    def create_accelerator_and_postprocess(self) -> None:
        # Here and not after the constructor, in which TRL prepares the reference.
        super().create_accelerator_and_postprocess()
        reduce_in_fp32(self)

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
        if result[1] is not None and "labels" in result[0][0]:
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


class ChatTrainer(ChatMeasurements, SFTTrainer):
    """SFT on packed conversations with labels; held-out loss is exact over all learned tokens."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Mean loss over the learned tokens of the held-out conversations, in nats."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        windows, world_size = self.eval_dataset, self.args.world_size
        with self.measuring() as model:
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
        nats, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
        return self.report({"heldout_loss": nats / tokens})


class SeeingTrainer(ChatTrainer):
    """SFT on chats about pictures."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # transformers writes LLaVA's weights under the names of older versions, and `Trainer` loads
        # names as they are and not strictly: it would go on from none of them, without a word.
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if isinstance(model, PeftModel):
            super()._save(output_dir, state_dict)
            return
        model.save_pretrained = partial(model.save_pretrained, save_original_format=False)
        try:
            super()._save(output_dir, state_dict)
        finally:
            del model.save_pretrained


class PairTrainer(ChatMeasurements, DPOTrainer):
    """DPO on pairs that are tokenised and masked already.

    TRL takes the mean of each micro-batch, so that its loss and metrics depend on how a step is
    split. Here all are summed over pairs or tokens and divided once, by the counts of the step
    over all ranks and micro-batches, as in pretraining.
    """

    def prepare(self, config: Any) -> None:
        super().prepare(config)
        self.preference = config.preference
        self.loss_is_scaled_for_ga = True  # by the counts of the whole step
        self._log_sums = torch.zeros(len(_PAIR_SUMS), dtype=torch.float64, device=self.args.device)

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device
    ) -> torch.Tensor:
        """Count pairs of the step, which are returned, and the chosen sides' learned tokens."""
        counts = [
            torch.stack([torch.tensor(len(mask)), mask[:, 1:].sum()])
            for batch in batch_samples
            for mask in [batch["completion_mask"].chunk(2)[0]]
        ]
        own = torch.stack(counts).sum(0).to(device) if counts else torch.zeros(2, device=device)
        pairs, self._chosen_tokens = self.accelerator.reduce(own, reduction="sum")
        return pairs

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Loss of a micro-batch as its part of the step's."""
        sums = self._sums(model, inputs)
        self._log_sums += sums.detach()
        loss = sums[0] / num_items_in_batch.clamp(min=1)
        loss = loss + self.preference.sft_weight * sums[1] / self._chosen_tokens.clamp(min=1)
        # Gradients are averaged over ranks, so the sum over ranks needs their number back.
        return loss.float() * self.args.world_size

    def _sums(self, model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Sums over the pairs of a batch, named by `_PAIR_SUMS`; float64, the first two with
        gradients."""
        mask = inputs["completion_mask"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["input_ids"].masked_fill(mask == 0, IGNORE_INDEX),
            fused_lm_head=True,
            use_cache=False,
        )
        learned, lengths = mask[:, 1:], mask.sum(1).clamp(min=1)
        by_token = outputs.log_probs[:, -learned.shape[1] :]
        log_probs = by_token.sum(1)
        reference = torch.cat(self.compute_ref_log_probs(self.ref_model or model, inputs))
        ratios = log_probs - reference
        self.check_reference(ratios.detach(), log_probs.detach())
        beta = self.preference.beta
        if self.preference.loss_type == "ipo":
            chosen, rejected = (ratios / lengths).chunk(2)  # a mean per token, as its authors say
            losses = (chosen - rejected - 1 / (2 * beta)) ** 2
        else:
            chosen, rejected = ratios.chunk(2)
            losses = -nn.functional.logsigmoid(beta * (chosen - rejected))
        chosen_nll = -by_token.chunk(2)[0].sum()
        rewards = beta * ratios.detach()
        better, worse = rewards.chunk(2)
        sums = [
            *(losses.sum(), chosen_nll),
            *(better.sum(), worse.sum(), (better > worse).sum()),
            *(half.sum() for half in log_probs.detach().chunk(2)),
            *(torch.tensor(len(losses), device=mask.device), learned.chunk(2)[0].sum()),
        ]
        return torch.stack([value.double() for value in sums])

    def _means(self, sums: torch.Tensor) -> dict[str, float]:
        """Metrics from sums over all ranks."""
        named = dict(zip(_PAIR_SUMS, self.accelerator.reduce(sums, reduction="sum").tolist()))
        pairs, tokens = named.pop("pairs"), max(1.0, named.pop("tokens"))
        loss, nll = named.pop("loss") / pairs, named.pop("nll") / tokens
        means = {name: value / pairs for name, value in named.items()}
        means["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
        return {"loss": loss + self.preference.sft_weight * nll, "chosen_nll": nll, **means}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= self._means(self._log_sums)
            self._log_sums.zero_()
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measure on the held-out pairs, each of which counts once."""
        size, pairs = self.args.per_device_eval_batch_size, self.eval_dataset
        batches = [range(i, min(i + size, len(pairs))) for i in range(0, len(pairs), size)]
        sums = torch.zeros_like(self._log_sums)
        with self.measuring() as model:
            # As in `ChatTrainer.evaluate`, a process without a batch of its own runs one.
            for first in range(0, len(batches), self.args.world_size):
                own = first + self.args.process_index
                rows = [pairs[i] for i in batches[min(own, len(batches) - 1)]]
                found = self._sums(model, self._prepare_inputs(self.data_collator(rows)))
                sums += found * (own < len(batches))
        return self.report({f"heldout_{k}": v for k, v in self._means(sums).items()})


class RewardTrainer(ChatMeasurements, GRPOTrainer):
    """`GRPOTrainer` for rendered prompts.

    TRL's `kl` and `entropy` are means of the means of micro-batches, which depend on how a step is
    split; here they are means over the tokens of all completions.

    Args:
        reference: loads the model again, for a KL term. TRL would by its path, without its
            revision, and only if the modeling code lies with it.
        kwargs: TRL's.
    """

    def __init__(self, reference: Callable[[], nn.Module] | None = None, **kwargs: Any) -> None:
        trl.trainer.grpo_trainer.create_model_from_path = lambda *_, **__: reference()
        super().__init__(**kwargs)

    def prepare(self, config: Any) -> None:
        super().prepare(config)
        # Of divergence and entropy in nats, and of tokens.
        self._token_sums = torch.zeros(3, dtype=torch.float64, device=self.args.device)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        self._scored = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        return self._scored

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        loss = super()._compute_loss(model, inputs)
        mask, (log_probs, entropies, _) = inputs["completion_mask"], self._scored
        log_probs, divergence = log_probs.detach(), torch.zeros_like(entropies)
        if self.beta:
            ratios = (log_probs - inputs["ref_per_token_logps"]) * mask
            self.check_reference(ratios.sum(1), (log_probs * mask).sum(1))
            divergence = torch.exp(-ratios) + ratios - 1  # never negative, 0 where they agree
        sums = [(values * mask).sum() for values in (divergence, entropies.detach())]
        self._token_sums += torch.stack([*sums, mask.sum()])
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            sums = self.accelerator.reduce(self._token_sums, reduction="sum").tolist()
            self._token_sums.zero_()
            for name, value in zip(("kl", "entropy"), sums):
                if name in self._metrics["train"]:
                    self._metrics["train"][name] = [value / max(1.0, sums[2])]
        super().log(logs, start_time)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict]:
        # The chat template has no BOS, which the tokenizer would put before plain text.
        return self.processing_class(prompts, add_special_tokens=False)["input_ids"], None, {}
