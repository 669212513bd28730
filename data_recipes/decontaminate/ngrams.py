"""Hashes of word n-grams, and finding known ones in text: the kernels."""

import numpy as np

from ..text.kernels import kernel
from ..text.words import GOLDEN, mix

# Bits of the filter per n-gram: some 6 % of unknown n-grams pass it and are looked up.
_FILTER_BITS = 16


@kernel
def _power(exponent: int) -> np.uint64:
    result = np.uint64(1)
    for _ in range(exponent):
        result *= GOLDEN
    return result


@kernel
def prefixes(words: np.ndarray, first: int, last: int) -> np.ndarray:
    """Hashes of all beginnings of a text, from which that of any n-gram follows in one step.

    Args:
        words: hashes of words, uint64 [all words].
        first: the text's first word.
        last: one past its last.

    Returns:
        uint64 [last - first + 1].
    """
    result = np.empty(last - first + 1, np.uint64)
    result[0] = np.uint64(0)
    for i in range(first, last):
        result[i - first + 1] = result[i - first] * GOLDEN + words[i]
    return result


@kernel
def _ngram(beginnings: np.ndarray, at: int, size: int, power: np.uint64) -> np.uint64:
    return mix(beginnings[at + size] - beginnings[at] * power)


@kernel
def hash_passages(
    words: np.ndarray, bounds: np.ndarray, size: int, shortest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N-grams of texts to search for; a text of fewer words is one n-gram, if not too short.

    Args:
        words: hashes of words, uint64 [words].
        bounds: where each text's words start, int64 [texts + 1].
        size: words of an n-gram.
        shortest: least words of a text that is shorter.

    Returns:
        n-grams, uint64 [n]; the text of each, int64 [n]; of the short texts, the n-grams of their
        first `shortest` words, uint64 [m].
    """
    texts = len(bounds) - 1
    counts = np.zeros(texts, np.int64)
    short = 0
    for text in range(texts):
        length = bounds[text + 1] - bounds[text]
        if length >= size:
            counts[text] = length - size + 1
        elif length >= shortest:
            counts[text] = 1
            short += 1
    ngrams = np.empty(counts.sum(), np.uint64)
    owners = np.empty(len(ngrams), np.int64)
    anchors = np.empty(short, np.uint64)
    powers = [_power(length) for length in range(size + 1)]
    n = m = 0
    for text in range(texts):
        if counts[text] == 0:
            continue
        length = bounds[text + 1] - bounds[text]
        beginnings = prefixes(words, bounds[text], bounds[text + 1])
        own = min(length, size)
        for at in range(counts[text]):
            ngrams[n] = _ngram(beginnings, at, own, powers[own])
            owners[n] = text
            n += 1
        if length < size:
            anchors[m] = _ngram(beginnings, 0, shortest, powers[shortest])
            m += 1
    return ngrams, owners, anchors


@kernel
def make_filter(values: np.ndarray) -> np.ndarray:
    """A bitmap of known hashes, small enough to be asked at every word.

    Args:
        values: uint64 [n].

    Returns:
        uint64 [a power of two].
    """
    size = 1
    while size * 64 < len(values) * _FILTER_BITS:
        size *= 2
    bits = np.zeros(size, np.uint64)
    mask = np.uint64(size - 1)
    for value in values:
        bits[(value >> np.uint64(6)) & mask] |= np.uint64(1) << (value & np.uint64(63))
    return bits


@kernel
def _find(value: np.uint64, known: np.ndarray, bits: np.ndarray) -> int:
    """Place of `value` in `known`, ascending; -1 if it is not there."""
    word = bits[(value >> np.uint64(6)) & np.uint64(len(bits) - 1)]
    if not (word >> (value & np.uint64(63))) & np.uint64(1):
        return -1
    place = np.searchsorted(known, value)
    return place if place < len(known) and known[place] == value else -1


@kernel
def find_ngrams(
    words: np.ndarray,
    bounds: np.ndarray,
    size: int,
    shortest: int,
    known: np.ndarray,
    known_bits: np.ndarray,
    anchors: np.ndarray,
    anchor_bits: np.ndarray,
    room: int,
) -> tuple[np.ndarray, int]:
    """All places in texts where a known n-gram stands.

    Args:
        words: hashes of words, uint64 [words].
        bounds: where each text's words start, int64 [texts + 1].
        size: words of an n-gram.
        shortest: words of an anchor.
        known: hashes of n-grams of `shortest` to `size` words, ascending, uint64 [n].
        known_bits: their filter.
        anchors: hashes of the first `shortest` words of the n-grams below `size`, ascending.
        anchor_bits: their filter.
        room: places to return at most.

    Returns:
        text, first word, number of words and place in `known` of the first `room` finds, int64
        [finds, 4]; and the number of all finds.
    """
    found = np.empty((room, 4), np.int64)
    count = 0
    powers = [_power(length) for length in range(size + 1)]
    for text in range(len(bounds) - 1):
        length = bounds[text + 1] - bounds[text]
        if length < min(size, shortest):
            continue
        beginnings = prefixes(words, bounds[text], bounds[text + 1])
        for at in range(length):
            if at + size <= length:
                place = _find(_ngram(beginnings, at, size, powers[size]), known, known_bits)
                if place >= 0:
                    if count < room:
                        found[count] = text, bounds[text] + at, size, place
                    count += 1
            if len(anchors) == 0 or at + shortest > length:
                continue
            anchor = _ngram(beginnings, at, shortest, powers[shortest])
            if _find(anchor, anchors, anchor_bits) < 0:
                continue
            for own in range(shortest, min(size, length - at + 1)):
                place = _find(_ngram(beginnings, at, own, powers[own]), known, known_bits)
                if place >= 0:
                    if count < room:
                        found[count] = text, bounds[text] + at, own, place
                    count += 1
    return found[: min(count, room)], count
