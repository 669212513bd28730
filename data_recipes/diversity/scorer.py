"""Bits per byte of documents under a causal language model."""

import math

import numpy as np
from pydantic import Field

from ..common.config_files import Strict
from ..common.errors import RecipeError


class ScorerConfig(Strict):
    """A causal language model that scores text.

    Attributes:
        model: directory or Hub id of a model with its tokenizer; there is no default, since scores
            say something about one model alone.
        max_tokens: tokens at the beginning of a document that are scored.
        batch_size: documents at a time.
        device: where the model runs, as torch names it.
    """

    model: str = Field(min_length=1)
    max_tokens: int = Field(default=256, gt=1)
    batch_size: int = Field(default=8, gt=0)
    device: str = "cpu"


class Scorer:
    """A language model that scores the beginnings of documents.

    Args:
        config: which model, and how much of a document.

    Raises:
        RecipeError: no such model, no such device, or a tokenizer without byte offsets.
    """

    def __init__(self, config: ScorerConfig) -> None:
        # Heavy, and wanted by nothing else here.
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch, self._config = torch, config
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(config.model)
            model = AutoModelForCausalLM.from_pretrained(config.model)
        except (OSError, ValueError) as error:
            raise RecipeError(f"--model: {config.model}: {error}") from error
        try:
            self._model = model.to(config.device).eval()
        except (RuntimeError, AssertionError) as error:
            raise RecipeError(f"--device: {config.device!r}: {error}") from error
        if not self._tokenizer.is_fast:
            raise RecipeError(
                f"--model: {config.model}: its tokenizer cannot say which characters a "
                "token covers; use a model with a fast tokenizer"
            )

    def bits_per_byte(self, texts: list[str]) -> np.ndarray:
        """Bits per UTF-8 byte of the first `max_tokens` tokens, the first token of all left out.

        Returns:
            float64 [texts]; 0 where there is nothing to predict.
        """
        scores = np.zeros(len(texts))
        # Documents of like length together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(order), self._config.batch_size):
            rows = order[start : start + self._config.batch_size]
            scores[rows] = self._batch([texts[row] for row in rows])
        return scores

    def _batch(self, texts: list[str]) -> list[float]:
        torch = self._torch
        limit = self._config.max_tokens
        encoded = [
            self._tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True)
            for text in texts
        ]
        longest = max(len(e["input_ids"]) for e in encoded)
        if longest < 2:
            return [0.0] * len(texts)
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        seen = torch.zeros_like(ids)
        for row, e in enumerate(encoded):
            ids[row, : len(e["input_ids"])] = torch.tensor(e["input_ids"])
            seen[row, : len(e["input_ids"])] = 1
        ids, seen = ids.to(self._config.device), seen.to(self._config.device)
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=seen, use_cache=False).logits
            losses = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none"
            )
            nats = (losses * seen[:, 1:]).sum(1).tolist()
        return [
            total / math.log(2) / size if (size := _bytes_predicted(text, e)) else 0.0
            for total, text, e in zip(nats, texts, encoded)
        ]


def _bytes_predicted(text: str, encoded: dict[str, list]) -> int:
    """Bytes of the characters behind the first token."""
    offsets = encoded["offset_mapping"]
    # Tokens of part of a character all cover the whole of it, hence from end to end.
    return len(text[offsets[0][1] : offsets[-1][1]].encode()) if len(offsets) > 1 else 0
