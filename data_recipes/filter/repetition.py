"""Repeated words: the n-gram statistics of Gopher, by datatrove's rules, on hashes.

Gopher: Rae et al. 2021, arXiv 2112.11446, table A1. datatrove: `GopherRepetitionFilter`, which
counts characters of n-grams written with single spaces (the most frequent one) or with nothing
between their words (those seen before). Every n-gram of every document is looked up once per n, in
a hash table that all documents share and that is never cleared: an entry belongs to whoever's
number it carries. Two different n-grams of a document are taken for the same with a probability of
about 2**-61 (n-grams)**2.
"""

import numpy as np

from ..text.kernels import kernel
from ..text.words import mix
from .words import WordMeasures

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)


def repeated_characters(words: WordMeasures, bounds: np.ndarray) -> np.ndarray:
    """Characters in repeated n-grams.

    Args:
        words: of all documents.
        bounds: first word of each document, int64 [documents + 1].

    Returns:
        int64 [9, documents]: for n of 2, 3, 4 those of the most frequent n-gram, times how often it
        occurs; for n of 5 to 10 those of n-grams that occurred before, none counted twice.
    """
    longest = int(np.diff(bounds).max(initial=0))
    size = 1 << max(4, (2 * longest - 1).bit_length())
    return _repeated(words.hashes, words.powers, words.lengths, bounds, size)


@kernel
def _repeated(
    hashes: np.ndarray, powers: np.ndarray, lengths: np.ndarray, bounds: np.ndarray, size: int
) -> np.ndarray:
    documents = len(bounds) - 1
    found = np.zeros((len(TOP_N) + len(DUPLICATE_N), documents), np.int64)
    keys = np.empty(size, np.uint64)
    owners = np.zeros(size, np.int64)
    counts = np.empty(size, np.int64)
    firsts = np.empty(size, np.int64)
    most = (size >> 1) + 1
    apart = np.empty(most, np.uint64)  # of n-grams as tuples of words
    together = np.empty(most, np.uint64)  # of n-grams written together
    characters = np.empty(most + 1, np.int64)
    owner = 0
    for document in range(documents):
        start = bounds[document]
        n_words = bounds[document + 1] - start
        # A part of the table is enough for a short document, and stays in the cache.
        room = 16
        while room < 2 * n_words:
            room *= 2
        mask = np.uint64(room - 1)
        characters[0] = 0
        for i in range(n_words):
            apart[i] = together[i] = hashes[start + i]
            characters[i + 1] = characters[i] + lengths[start + i]
        for n in range(2, DUPLICATE_N[-1] + 1):
            n_grams = n_words - n + 1
            if n_grams < 1:
                break
            owner += 1
            for i in range(n_grams):
                last = start + i + n - 1
                together[i] = together[i] * powers[last] + hashes[last]
            if n <= TOP_N[-1]:
                highest, best = 0, 0
                for i in range(n_grams):
                    key = mix(apart[i]) + hashes[start + i + n - 1]
                    apart[i] = key
                    key = mix(key)
                    place = key & mask
                    while owners[place] == owner and keys[place] != key:
                        place = (place + np.uint64(1)) & mask
                    if owners[place] != owner:
                        owners[place] = owner
                        keys[place] = key
                        counts[place] = 0
                        firsts[place] = i
                    counts[place] += 1
                    # Of the equally frequent, the one seen first, as in Counter.most_common.
                    if counts[place] > highest or (
                        counts[place] == highest and firsts[place] < best
                    ):
                        highest, best = counts[place], firsts[place]
                own = characters[best + n] - characters[best] + n - 1
                found[n - TOP_N[0], document] = own * highest
            else:
                total, i = 0, 0
                while i < n_grams:
                    key = mix(together[i])
                    place = key & mask
                    while owners[place] == owner and keys[place] != key:
                        place = (place + np.uint64(1)) & mask
                    if owners[place] == owner:
                        total += characters[i + n] - characters[i]
                        i += n
                    else:
                        owners[place] = owner
                        keys[place] = key
                        i += 1
                found[n - TOP_N[0], document] = total
    return found
