"""SFT on TRL's trainer: our loss, one shape for what is compiled, exact held-out figures."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from modeling_kormo import KORMoForCausalLM
from modeling_kormo.loss_kormo import IGNORE_INDEX

from ..arguments import one_device
from ..engine.windows_data import document_bounds
from .chat_config import SFTStageConfig
from .chat_files import Chats, keep_windows, read_windows, workers
from .measurements import ChatMeasurements
from .model import load_chat_model, lora_config
from .stage import chat_arguments, set_length

# TRL warns of an earlier turn's end, which KORMo's template leaves to a sample of its own; that of
# the last is in `masks.MaskAudit`, which refuses what this only warns of.
logging.getLogger("trl.trainer.sft_trainer").addFilter(
    lambda record: "end-of-turn token" not in record.getMessage()
)


def sft_arguments(config: SFTStageConfig) -> SFTConfig:
    """Translate a config into TRL's arguments."""
    args = SFTConfig(
        **chat_arguments(config),
        assistant_only_loss=True,
        max_length=config.batch.sequence_length,
        packing=True,
        packing_strategy="bfd",
    )
    return one_device(args)


@dataclass(frozen=True)
class OneShape:
    """Fills packed windows up to one shape, so that what is compiled for it is compiled once.

    Attributes:
        collate: flattens windows to a row of documents; TRL's.
        tokens: of a row.
        pad: id to fill with; it is not scored, and attention sees it as a document of its own.
    """

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    tokens: int
    pad: int

    def __call__(self, windows: list[dict[str, Any]]) -> dict[str, torch.Tensor | int]:
        batch = self.collate(windows)
        missing = self.tokens - batch["input_ids"].shape[1]
        bounds = batch["cu_seq_lens_q"].numpy()
        bounds = document_bounds(np.append(bounds, self.tokens) if missing else bounds)
        positions = torch.arange(missing).unsqueeze(0)
        fill = partial(nn.functional.pad, pad=(0, missing))
        return {
            "input_ids": fill(batch["input_ids"], value=self.pad),
            "labels": fill(batch["labels"], value=IGNORE_INDEX),
            "position_ids": torch.cat([batch["position_ids"], positions], dim=1),
            "cu_seq_lens_q": bounds,
            "cu_seq_lens_k": bounds,
            "max_length_q": self.tokens,
            "max_length_k": self.tokens,
        }


class ChatTrainer(ChatMeasurements, SFTTrainer):
    """SFT on packed conversations with labels; held-out loss is exact over all learned tokens.

    TRL's loss asks the device five times in each micro-batch, for metrics; this one never does. A
    KORMo model whose own weights are trained computes it itself, with fewer products.
    """

    def _nats(self, model: nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """Sum of the loss over the learned tokens of a batch."""
        if isinstance(self.model, KORMoForCausalLM):
            return model(**inputs, sum_loss=True, use_cache=False).loss
        return -model(**inputs, fused_lm_head=True, use_cache=False).log_probs.sum()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Loss of a micro-batch as its part of the step's, which has so many learned tokens."""
        if self.aux_loss_enabled:  # of a mixture of experts, which TRL adds
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        nats = self._nats(model, inputs).float()
        # Gradients are averaged over ranks, so the sum over ranks needs their number back.
        return nats * (self.args.world_size / num_items_in_batch.clamp(min=1))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Mean loss over the learned tokens of the held-out conversations, in nats."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        with self.measuring() as model:
            for inputs, counts in self.own_batches():
                learned = (inputs["labels"][:, 1:] != IGNORE_INDEX).sum()
                sums += counts * torch.stack([self._nats(model, inputs).double(), learned.double()])
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


def build_trainer(
    config: SFTStageConfig, args: SFTConfig, tokenizer: PreTrainedTokenizerBase, chats: Chats
) -> ChatTrainer:
    """Make the trainer; in its constructor TRL renders, tokenises, masks and packs the chats.

    What it makes is kept, and an equal later start takes it from there.
    """
    windows = read_windows(chats.directory)
    if windows is None:
        args.dataset_num_proc = workers(len(chats.train))
    else:
        args.dataset_kwargs = {"skip_prepare_dataset": True}
        args.assistant_only_loss = False  # the labels say it
    train, heldout = windows or (chats.train, chats.heldout)
    trainer = ChatTrainer(
        model=load_chat_model(config, tokenizer),
        args=args,
        train_dataset=train,
        eval_dataset=heldout,
        processing_class=tokenizer,
        peft_config=lora_config(config, tokenizer),
    )
    if config.model.compile:
        tokens = config.batch.micro_batch * config.batch.sequence_length
        trainer.data_collator = OneShape(trainer.data_collator, tokens, tokenizer.pad_token_id)
    if windows is None:
        keep_windows(chats.directory, trainer.train_dataset, trainer.eval_dataset)
    set_length(args, config, len(trainer.train_dataset))
    trainer.prepare(config)
    return trainer
