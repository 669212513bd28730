"""Preference tuning on TRL's trainer: sums over pairs and tokens, divided once."""

from typing import Any

import torch
import trl.trainer.dpo_trainer
from datasets import Dataset
from torch import nn
from trl import DPOConfig, DPOTrainer

from modeling_kormo.loss_kormo import IGNORE_INDEX

from ..arguments import one_device
from .chat_config import DPOStageConfig
from .measurements import ChatMeasurements, shard_reference
from .stage import chat_arguments

# What is summed over the pairs of preference tuning: losses in nats, rewards, right orders, counts.
_PAIR_SUMS = (
    *("loss", "nll", "rewards/chosen", "rewards/rejected", "rewards/accuracies"),
    *("logps/chosen", "logps/rejected", "pairs", "tokens"),
)

# The trainer prepares its reference in the constructor, and has no other hook for it.
trl.trainer.dpo_trainer.prepare_fsdp = shard_reference


def dpo_arguments(config: DPOStageConfig) -> DPOConfig:
    """Translate a config into TRL's arguments."""
    args = DPOConfig(
        **chat_arguments(config),
        beta=config.preference.beta,
        max_length=None,  # over-long pairs are left out, none is cut
        remove_unused_columns=False,
    )
    return one_device(args)


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
        sums = torch.zeros_like(self._log_sums)
        with self.measuring() as model:
            for inputs, counts in self.own_batches():
                sums += counts * self._sums(model, inputs)
        return self.report({f"heldout_{k}": v for k, v in self._means(sums).items()})
