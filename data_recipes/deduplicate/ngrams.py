"""Paragraphs and word n-grams of documents, as hashes: the part that any thread may do ahead."""

from dataclasses import dataclass

import numpy as np

from ..text.kernels import kernel
from ..text.ngrams import append_ngrams, power
from ..text.words import append_words, grown, word_table
from .config import Mode

_NEWLINE = 10
# Words that the kernel has room for at first, in one document.
_WORDS = 4096
# Bytes an n-gram, for the first guess at their number.
_BYTES_PER_NGRAM = 8


@dataclass(frozen=True)
class Ngrams:
    """N-grams of some documents, by unit: a paragraph, or in mode `document` a whole text.

    N-gram i of a unit starts at word i of it.

    Attributes:
        size: words of an n-gram.
        starts: byte where each unit starts, and where the last one ends, int64 [units + 1].
        documents: first unit of each document, int64 [documents + 1].
        hashes: one per n-gram, uint64 [n-grams].
        bounds: first n-gram of each unit, int64 [units + 1].
    """

    size: int
    starts: np.ndarray
    documents: np.ndarray
    hashes: np.ndarray
    bounds: np.ndarray


def cut_ngrams(data: np.ndarray, offsets: np.ndarray, size: int, mode: Mode) -> Ngrams:
    """Cut documents into paragraphs, words and n-grams. Releases the GIL.

    As in DCLM's BFF, a newline belongs to the paragraph after it, and a unit of fewer than `size`
    words has no n-gram.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].
        size: words of an n-gram.
        mode: decides the units.
    """
    if mode == "document":
        starts, documents = offsets, np.arange(len(offsets))
    else:
        starts, documents = _paragraphs(data, offsets)
    hashes, bounds = _ngrams(data, starts, documents, word_table(), size)
    return Ngrams(size, starts, documents, hashes, bounds)


@kernel
def _paragraphs(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    texts = len(offsets) - 1
    count = texts
    for at in range(offsets[0], offsets[texts]):
        count += data[at] == _NEWLINE
    starts = np.empty(count + 1, np.int64)
    documents = np.empty(texts + 1, np.int64)
    count = 0
    for text in range(texts):
        documents[text] = count
        starts[count] = offsets[text]
        count += 1
        for at in range(offsets[text], offsets[text + 1]):
            if data[at] == _NEWLINE:
                starts[count] = at
                count += 1
    documents[texts] = count
    starts[count] = offsets[texts]
    return starts, documents


@kernel
def _ngrams(
    data: np.ndarray, starts: np.ndarray, documents: np.ndarray, table: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    leaving = power(size)
    bounds = np.empty(len(starts), np.int64)
    ngrams = np.empty(max(64, (starts[-1] - starts[0]) // _BYTES_PER_NGRAM), np.uint64)
    count = 0
    # The words of one document, written over by those of the next: they stay in the cache.
    words = np.empty(_WORDS, np.uint64)
    word_starts = np.empty(_WORDS, np.int64)
    word_ends = np.empty(_WORDS, np.int64)
    for document in range(len(documents) - 1):
        first_unit, last_unit = documents[document], documents[document + 1]
        found, words, word_starts, word_ends = append_words(
            data,
            starts[first_unit],
            starts[last_unit],
            table,
            False,
            0,
            words,
            word_starts,
            word_ends,
        )
        if count + found > len(ngrams):
            ngrams = grown(ngrams, max(2 * len(ngrams), count + found))
        word = 0
        for unit in range(first_unit, last_unit):
            bounds[unit] = count
            first = word
            while word < found and word_starts[word] < starts[unit + 1]:
                word += 1
            count = append_ngrams(words, first, word, size, leaving, ngrams, count)
    bounds[-1] = count
    return ngrams[:count], bounds
