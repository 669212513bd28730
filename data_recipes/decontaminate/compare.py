"""Texts as evaluation items and documents are compared: words, or the characters of Korean.

Case, marks, composition, width, invisible characters and HTML entities do not matter. Korean is
compared by its letters and digits, without spaces: an eojeol changes with its particle, is spaced
in more than one way, and an exam question of fifty syllables has too few of them.
"""

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from ..engine.documents import text_buffers
from ..text.kernels import kernel
from ..text.words import (
    GOLDEN,
    SEED,
    WORD_LIKE,
    Words,
    decode,
    mix,
    split_words,
    word_table,
    words_version,
)

# The first lead byte of a Hangul syllable in UTF-8, and the last.
_HANGUL_LEADS = 0xEA, 0xED
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_HANGUL = re.compile("[\uac00-\ud7a3]")
# Share of Hangul among the visible characters of an evaluation text from which on it is Korean. Our
# choice: a question about a formula has few words besides it, a name in English text has less.
_KOREAN_SHARE = 0.2


@dataclass(frozen=True)
class Compared:
    """Normalised texts, cut in two ways when they are asked for.

    Attributes:
        data: the normalised texts, UTF-8, uint8.
        offsets: where each starts, int64 [texts + 1].
    """

    data: np.ndarray
    offsets: np.ndarray

    @cached_property
    def words(self) -> Words:
        """Their words, marks left out."""
        return split_words(self.data, self.offsets, word_like_only=True)

    @cached_property
    def characters(self) -> Words:
        """Letters and digits of texts with Hangul, as words of their own; none of the others."""
        return Words(*_characters(self.data, self.offsets, word_table()))

    def passage(self, start: int, end: int) -> str:
        """Quote a stretch of the texts, given in bytes, with what is in it in one line."""
        return " ".join(self.data[start:end].tobytes().decode().split())


def _normalise(text: str) -> str:
    if text.isascii() and "&" not in text:
        return text.lower()
    text = unicodedata.normalize("NFKC", html.unescape(text))
    # Each is looked for at the speed of memory; a pattern would ask every character.
    for character in _INVISIBLE:
        text = text.replace(character, "")
    return text.lower().replace("\u2019", "'")


def is_korean(text: str) -> bool:
    """Whether an evaluation text is compared by its characters."""
    visible = len("".join(text.split()))
    return len(_HANGUL.findall(unicodedata.normalize("NFC", text))) > _KOREAN_SHARE * visible


def compare(texts: list[str]) -> Compared:
    """Normalise texts, to be cut into words and characters."""
    normalised = pa.array(map(_normalise, texts), pa.large_string(), size=len(texts))
    return Compared(*text_buffers(pa.RecordBatch.from_pydict({"text": normalised})))


def compared_by() -> dict[str, str | int]:
    """Say what words depend on: equal here and there, or an index finds nothing."""
    return {name: value for name, value in words_version().items() if name != "regex"}


@kernel
def _characters(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Letters and digits of texts with Hangul, as `Words` has words."""
    texts = len(offsets) - 1
    korean = np.zeros(texts, np.bool_)
    room = 0
    for text in range(texts):
        for i in range(offsets[text], offsets[text + 1]):
            if _HANGUL_LEADS[0] <= data[i] <= _HANGUL_LEADS[1]:
                korean[text] = True
                break
        if korean[text]:
            for i in range(offsets[text], offsets[text + 1]):
                room += data[i] & 0xC0 != 0x80  # a character begins
    hashes = np.empty(room, np.uint64)
    starts = np.empty(room, np.int64)
    ends = np.empty(room, np.int64)
    bounds = np.empty(texts + 1, np.int64)
    count = 0
    for text in range(texts):
        bounds[text] = count
        at, end = offsets[text], offsets[text + 1]
        while korean[text] and at < end:
            start = at
            point, at = decode(data, at, end)
            if table[point] & WORD_LIKE:
                hashes[count] = mix((SEED ^ np.uint64(point)) * GOLDEN)
                starts[count] = start
                ends[count] = at
                count += 1
    bounds[texts] = count
    return hashes[:count], starts[:count], ends[:count], bounds
