"""Bits per byte of documents under a causal language model."""

import math
from collections.abc import Callable

import numpy as np

from ..common.errors import RecipeError

_BATCH = 8  # documents


def load_scorer(model: str, max_tokens: int, device: str) -> Callable[[list[str]], np.ndarray]:
    """Load a model that scores the beginnings of documents.

    Args:
        model: directory or Hub id of a causal language model with its tokenizer; there is no
            default, since scores say something about one model alone.
        max_tokens: tokens at the beginning of a document that are scored.
        device: where the model runs, as torch names it.

    Returns:
        A function of texts: bits per UTF-8 byte of the first `max_tokens` tokens, the first token
        left out, float64 [texts]; 0 where there is nothing to predict.

    Raises:
        RecipeError: no such model, no such device, or a tokenizer without byte offsets.
    """
    # Heavy, and wanted by nothing else here.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from modeling_kormo.checkpoint_files import load_whole  # and registers the model type

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network = load_whole(AutoModelForCausalLM, model)
    except (OSError, ValueError) as error:
        raise RecipeError(f"--model: {model}: {error}") from error
    try:
        network = network.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f"--device: {device!r}: {error}") from error
    if not tokenizer.is_fast:
        raise RecipeError(
            f"--model: {model}: its tokenizer cannot say which characters a token covers; use a "
            "model with a fast tokenizer"
        )

    @torch.inference_mode()
    def score(texts: list[str]) -> list[float]:
        encoded = [
            tokenizer(text, truncation=True, max_length=max_tokens, return_offsets_mapping=True)
            for text in texts
        ]
        rows = [torch.tensor(e["input_ids"], dtype=torch.long) for e in encoded]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        if ids.shape[1] < 2:
            return [0.0] * len(texts)
        ones = [torch.ones_like(row) for row in rows]
        seen = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True).to(device)
        ids = ids.to(device)
        logits = network(input_ids=ids, attention_mask=seen, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none"
        )
        nats = (losses * seen[:, 1:]).sum(1).tolist()
        return [
            total / math.log(2) / size if (size := _bytes_predicted(text, e)) else 0.0
            for total, text, e in zip(nats, texts, encoded)
        ]

    def bits_per_byte(texts: list[str]) -> np.ndarray:
        scores = np.zeros(len(texts))
        # Documents of like length together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            scores[rows] = score([texts[row] for row in rows])
        return scores

    return bits_per_byte


def _bytes_predicted(text: str, encoded: dict[str, list]) -> int:
    """Bytes of the characters behind the first token."""
    offsets = encoded["offset_mapping"]
    # Tokens of part of a character all cover the whole of it, hence from end to end.
    return len(text[offsets[0][1] : offsets[-1][1]].encode()) if len(offsets) > 1 else 0
