"""A small SigLIP tower from random weights: pictures against their captions, pair by pair.

The loss is SigLIP's (Zhai et al. 2023, arXiv 2303.15343, equation 1): every picture with every
caption of the step is a yes or no of its own. Captions are read as bags of words, from the
embeddings of the language model that the tower will stand before; LLaVA needs the tower alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    PreTrainedTokenizerBase,
    SiglipVisionModel,
    Trainer,
    TrainingArguments,
)

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import Conversation
from modeling_kormo.vision import picture_processor

from ..arguments import one_device, process_count, shared_arguments
from ..engine.handover import TOWER_USAGE, DataFacts, Trained, write_final
from ..pretrain import BatchSplit
from .measurements import ChatMeasurements
from .vision_config import VisionTowerConfig


def tower_arguments(config: VisionTowerConfig) -> TrainingArguments:
    """Translate a config into arguments.

    Raises:
        RecipeError: several processes, each of which would hold its pictures against its own
            captions alone.
    """
    if process_count() > 1:
        raise RecipeError("vision_tower: a tower of this size is trained by one process")
    split = BatchSplit(config.batch.rows_per_step, 1)
    args = TrainingArguments(
        **shared_arguments(config, split, config.logging.save_every, config.data.seed),
        include_num_input_tokens_seen="non_padding",
        eval_strategy="steps",
        eval_steps=config.logging.eval_every,
        remove_unused_columns=False,
        dataloader_drop_last=True,
        dataloader_num_workers=config.data.workers,
    )
    return one_device(args)


class TowerWithCaptions(nn.Module):
    """The tower, and what its features are held against.

    Args:
        tower: pools nothing.
        words: embedding of the language model, [tokens, width]; copied, and trained here.
    """

    def __init__(self, tower: SiglipVisionModel, words: torch.Tensor) -> None:
        super().__init__()
        self.config = tower.config
        width = words.shape[1]
        self.tower = tower
        self.picture_head = nn.Linear(tower.config.hidden_size, width)
        # Less their mean, which all words share.
        self.words = nn.Embedding.from_pretrained(words - words.mean(dim=0), freeze=False)
        self.text_head = nn.Linear(width, width)
        # Temperature and bias as SigLIP begins: nearly all pairs are no.
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def pictures(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Directions of pictures, [pictures, width]."""
        features = self.tower(pixel_values).last_hidden_state.mean(dim=1)
        return nn.functional.normalize(self.picture_head(features), dim=-1)

    def captions(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Directions of captions, [captions, width]."""
        mask = attention_mask.unsqueeze(-1)
        mean = (self.words(input_ids) * mask).sum(dim=1) / mask.sum(dim=1)
        return nn.functional.normalize(self.text_head(mean), dim=-1)

    def forward(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        caption: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Compute the loss of a step.

        Args:
            pixel_values: [rows, 3, edge, edge].
            input_ids: captions, [rows, tokens].
            attention_mask: of the captions.
            caption: number of each row's caption; rows with equal ones fit each other's pictures.
        """
        scale = self.log_scale.exp()
        logits = self.pictures(pixel_values) @ self.captions(input_ids, attention_mask).T
        fits = 2.0 * (caption[:, None] == caption[None, :]).float() - 1
        losses = -nn.functional.logsigmoid(fits * (scale * logits + self.bias))
        return {"loss": losses.sum(dim=1).mean()}


class CaptionCollator:
    """Turns rows of pictures and captions into a batch.

    Args:
        tokenizer: of the language model.
        edge: of the tower's square, in pixels.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, edge: int) -> None:
        self.tokenizer = tokenizer
        self.processor = picture_processor(edge)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        texts = [caption_of(row) for row in rows]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        words = self.tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        pixels = self.processor([row["images"][0] for row in rows], return_tensors="pt")
        return {
            "pixel_values": pixels["pixel_values"],
            "input_ids": words["input_ids"],
            "attention_mask": words["attention_mask"],
            "caption": torch.tensor([numbers[text] for text in texts]),
        }


def one_picture(row: Conversation, pictures: list[Path]) -> list[int] | str:
    """Take the rows that say something of one picture, whole."""
    return [len(row.messages)] if len(pictures) == 1 else "other_numbers_of_pictures"


def caption_of(row: dict[str, Any]) -> str:
    """What is said of a picture: the last message's text."""
    return "".join(part["text"] for part in row["messages"][-1]["content"])


class TowerTrainer(ChatMeasurements, Trainer):
    """Training of a tower; measured by finding the caption of a held-out picture among all."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Share of held-out pictures whose caption is nearest of its language's, and by chance."""
        rows, size = list(self.eval_dataset), self.args.per_device_train_batch_size
        metrics = {}
        with self.measuring() as model:
            for language in sorted({row["language"] for row in rows}):
                own = [row for row in rows if row["language"] == language]
                batches = [
                    self._prepare_inputs(self.data_collator(own[i : i + size]))
                    for i in range(0, len(own), size)
                ]
                pictures = torch.cat([model.pictures(b["pixel_values"]) for b in batches])
                texts = list(dict.fromkeys(map(caption_of, own)))
                words = self._prepare_inputs(self._words(texts))
                found = (pictures @ model.captions(**words).T).argmax(dim=1).tolist()
                right = sum(texts[f] == caption_of(row) for f, row in zip(found, own))
                metrics[f"heldout_found_{language}"] = right / len(own)
                metrics[f"heldout_chance_{language}"] = 1 / len(texts)
        return self.report(metrics)

    def _words(self, texts: list[str]) -> dict[str, torch.Tensor]:
        tokenizer: Callable[..., Any] = self.data_collator.tokenizer
        words = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        return {k: words[k] for k in ("input_ids", "attention_mask")}


def save_tower(trainer: TowerTrainer, config: VisionTowerConfig, fingerprint: str) -> None:
    """Write `final/`: the tower, without what it was held against."""
    tower, sources = trainer.model.tower, config.data.sources
    trained = Trained(
        parent=None,
        parameters=sum(p.numel() for p in tower.parameters()),
        tokens=int(trainer.state.num_input_tokens_seen),
        data=DataFacts.of(sources, fingerprint, "\n".join(s.path for s in sources)),
        tokenizer_sha256=None,
        usage=TOWER_USAGE,
    )
    pictures = picture_processor(config.model.shape.image_size)
    write_final(config, tower.save_pretrained, pictures, trained)
