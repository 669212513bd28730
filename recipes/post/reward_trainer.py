"""Reinforcement learning on TRL's trainer: rendered prompts, means over all tokens."""

from collections.abc import Callable
from typing import Any

import torch
import trl.trainer.grpo_trainer
from torch import nn
from trl import GRPOTrainer

from .measurements import ChatMeasurements, shard_reference

# The trainer prepares its reference in the constructor, and has no other hook for it.
trl.trainer.grpo_trainer.prepare_fsdp = shard_reference


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
        if every := config.logging.quick_eval_every:
            self.evaluate_quickly(config.logging, every, None)

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
