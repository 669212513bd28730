"""Texts as evaluation items and documents are compared: words, whatever their case and marks."""

import unicodedata
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..engine.documents import text_buffers
from ..text.words import Words, split_words, words_version


@dataclass(frozen=True)
class Compared:
    """Words of normalised texts.

    Attributes:
        data: the normalised texts, UTF-8, uint8.
        words: their words, marks left out.
    """

    data: np.ndarray
    words: Words

    def text(self, first: int, count: int) -> str:
        """`count` words from `first` on, one space between them."""
        spans = zip(self.words.starts[first : first + count], self.words.ends[first:])
        return " ".join(self.data[start:end].tobytes().decode() for start, end in spans)


def _normalise(text: str) -> str:
    # Korean text from macOS is decomposed into letters, and looks the same; so do apostrophes.
    return unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")


def compare(texts: list[str]) -> Compared:
    """Words of texts in lower case and composed form, without punctuation."""
    normalised = pa.array(map(_normalise, texts), pa.large_string(), size=len(texts))
    batch = pa.RecordBatch.from_pydict({"text": normalised})
    data, offsets = text_buffers(batch)
    return Compared(data, split_words(data, offsets, word_like_only=True))


def compared_by() -> dict[str, str | int]:
    """What the words depend on: equal here and there, or an index finds nothing."""
    return {name: value for name, value in words_version().items() if name != "regex"}
