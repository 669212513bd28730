"""A long text as tokens, and the places where a fact can stand in it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data_recipes.common.errors import RecipeError
from data_recipes.read.files import read_texts
from data_recipes.toy.long_documents import write_paragraphs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Ends of sentences and of paragraphs, before the white space that follows.
_SENTENCE_END = re.compile(r"[.!?…。][\"'”’)\]]*(?=\s)")
_PARAGRAPH_END = re.compile(r"\S(?=\n\n)")


@dataclass(frozen=True)
class Haystack:
    """Text to hide facts in.

    Attributes:
        text: the whole of it.
        ids: its tokens.
        starts: first character of each token, int64 [tokens].
        ends: one past its last character, int64 [tokens].
        gaps: places between tokens, ascending, where a fact may stand: after a sentence, or after a
            paragraph; int64. Place `n` is before token `n`.
    """

    text: str
    ids: list[int]
    starts: np.ndarray
    ends: np.ndarray
    gaps: np.ndarray

    def whole_before(self, place: int) -> bool:
        """Whether a text that begins at a place begins with a whole character."""
        return place == 0 or bool(self.starts[place] >= self.ends[place - 1])

    def part(self, start: int, end: int) -> str:
        """Text of the tokens from `start` to before `end`."""
        return self.text[self.starts[start] : self.ends[end - 1]]


def make_haystack(text: str, tokenizer: PreTrainedTokenizerBase, separator: str) -> Haystack:
    """Tokens of a text, and where facts with this separator before them may stand.

    Args:
        text: the text.
        tokenizer: a fast one, which knows the characters of each token.
        separator: white space that will come before a fact.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = encoded["input_ids"]
    spans = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2)
    pattern = _SENTENCE_END if separator == " " else _PARAGRAPH_END
    wanted = np.array([match.end() for match in pattern.finditer(text)], np.int64)
    # The last token of a character that several share.
    complete = np.append(spans[1:, 0] >= spans[:-1, 1], True)
    ends = np.flatnonzero(np.isin(spans[:, 1], wanted) & complete)
    # Some tokens hold the line end after a full stop, too, and there is no place between the two.
    gaps = [i + 1 for i in ends.tolist() if not tokenizer.decode([ids[i]])[-1:].isspace()]
    return Haystack(text, ids, spans[:, 0], spans[:, 1], np.array(gaps, np.int64))


def embedded_text(language: str, tokens: int, seed: int) -> str:
    """Prose of the embedded corpus, of `tokens` tokens or more with any tokenizer's compression.

    A longer text begins with the shorter one, so a cell does not depend on the others.
    """
    # More characters than tokens of any tokenizer cover on this text.
    characters = tokens * 8
    rng = random.Random(f"{seed}/haystack/{language}")
    return "\n\n".join(write_paragraphs(rng, language, characters))


def own_text(path: str) -> str:
    """All documents of a file, one after the other.

    Raises:
        RecipeError: no text there.
    """
    text = "\n\n".join(document.strip() for document in read_texts(path))
    if not text:
        raise RecipeError(f"--text {path}: no text in it")
    return text
