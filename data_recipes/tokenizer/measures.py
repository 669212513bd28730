"""How well a tokenizer fits some text."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

# Zouhar et al. 2023 ("Tokenization and the Noiseless Channel", section 5) found translation quality
# to follow the Rényi efficiency best at this order.
RENYI_ORDER = 2.5
_TEXTS = 256  # encoded at a time


@dataclass(frozen=True)
class Measures:
    """What a tokenizer makes of a text. Tokens around the text (BOS, EOS) are not counted.

    Attributes:
        documents: texts.
        bytes: of the text in UTF-8, so that tokenizers of any kind compare.
        characters: Unicode code points.
        words: runs between white space (eojeol in Korean).
        tokens: all.
        bytes_per_token: compression; comparable within one language only, because scripts differ in
            bytes per character (Hangul 3, Latin 1).
        tokens_per_word: fertility.
        renyi_efficiency: Rényi entropy of the token distribution over the logarithm of the number
            of entries the tokenizer has, used or not; 0 to 1.
        entries_used: share of the entries that occur.
    """

    documents: int
    bytes: int
    characters: int
    words: int
    tokens: int
    bytes_per_token: float
    tokens_per_word: float
    renyi_efficiency: float
    entries_used: float


def renyi_efficiency(counts: np.ndarray, entries: int) -> float:
    """Rényi entropy of a distribution relative to its maximum.

    Args:
        counts: how often each occurring token occurs, positive, [types].
        entries: size of the vocabulary.
    """
    shares = counts / counts.sum()
    entropy = np.log((shares**RENYI_ORDER).sum()) / (1 - RENYI_ORDER)
    return float(entropy / np.log(entries))


def measure(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Measures:
    """Encode texts and count.

    Args:
        tokenizer: of any kind.
        texts: streamed, a few hundred at a time.

    Raises:
        ValueError: no text.
    """
    counts: Counter[int] = Counter()
    documents = size = characters = words = 0
    waiting: list[str] = []

    def encode() -> None:
        for ids in tokenizer(waiting, add_special_tokens=False)["input_ids"]:
            counts.update(ids)
        waiting.clear()

    for text in texts:
        documents += 1
        size += len(text.encode())
        characters += len(text)
        words += len(text.split())
        waiting.append(text)
        if len(waiting) == _TEXTS:
            encode()
    if waiting:
        encode()
    if not counts:
        raise ValueError("no text to measure on")
    tokens = counts.total()
    return Measures(
        documents=documents,
        bytes=size,
        characters=characters,
        words=words,
        tokens=tokens,
        bytes_per_token=size / tokens,
        tokens_per_word=tokens / max(1, words),
        renyi_efficiency=renyi_efficiency(np.array(list(counts.values())), len(tokenizer)),
        entries_used=len(counts) / len(tokenizer),
    )
