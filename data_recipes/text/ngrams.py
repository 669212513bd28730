"""The rolling hash of word n-grams, of which deduplication, decontamination and diversity are made.

The hash of an n-gram is a polynomial in the hashes of its words, moved on by one word at a time
(Karp and Rabin 1987), with its bits mixed at the end.
"""

import numpy as np

from .kernels import kernel
from .words import GOLDEN, mix


@kernel
def power(exponent: int) -> np.uint64:
    """The base of the polynomial to a power: what the word leaving an n-gram was multiplied by."""
    result = np.uint64(1)
    for _ in range(exponent):
        result *= GOLDEN
    return result


@kernel
def append_ngrams(
    words: np.ndarray,
    first: int,
    last: int,
    size: int,
    leaving: np.uint64,
    ngrams: np.ndarray,
    count: int,
) -> int:
    """Write the n-grams of one stretch of words behind those that are there.

    Args:
        words: hashes of words, uint64.
        first: first word of the stretch.
        last: one past its last.
        size: words of an n-gram.
        leaving: `power(size)`.
        ngrams: uint64, with room for them.
        count: n-grams that it holds already.

    Returns:
        n-grams that it holds now.
    """
    value = np.uint64(0)
    for word in range(first, last):
        value = value * GOLDEN + words[word]
        if word - first >= size:
            value -= words[word - size] * leaving
        if word - first + 1 >= size:
            ngrams[count] = mix(value)
            count += 1
    return count


@kernel
def hash_ngrams(words: np.ndarray, bounds: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash the n-grams of texts; none reaches over the end of one.

    Args:
        words: hashes of words, uint64 [words].
        bounds: first word of each text, int64 [texts + 1].
        size: words of an n-gram.

    Returns:
        hashes, uint64 [n-grams], in order of place; first n-gram of each text, int64 [texts + 1].
    """
    ngram_bounds = np.zeros(len(bounds), np.int64)
    for text in range(len(bounds) - 1):
        own = max(0, bounds[text + 1] - bounds[text] - size + 1)
        ngram_bounds[text + 1] = ngram_bounds[text] + own
    ngrams = np.empty(ngram_bounds[-1], np.uint64)
    leaving = power(size)
    for text in range(len(bounds) - 1):
        append_ngrams(
            words, bounds[text], bounds[text + 1], size, leaving, ngrams, ngram_bounds[text]
        )
    return ngrams, ngram_bounds


@kernel
def hash_stretches(words: np.ndarray, firsts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Hash stretches of words of different lengths, each as one n-gram of its length.

    Args:
        words: hashes of words, uint64.
        firsts: first word of each stretch, int64 [n].
        lengths: its words, int64 [n].

    Returns:
        uint64 [n].
    """
    hashes = np.empty(len(firsts), np.uint64)
    for i in range(len(firsts)):
        value = np.uint64(0)
        for word in range(firsts[i], firsts[i] + lengths[i]):
            value = value * GOLDEN + words[word]
        hashes[i] = mix(value)
    return hashes
