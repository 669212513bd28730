"""The decision: which paragraphs and documents were seen before. One thread, in order."""

import math
from dataclasses import dataclass

import numba
import numpy as np

from .bloom import BloomFilter, contains, insert
from .config import Mode
from .ngrams import Ngrams

# N-grams of a unit beyond which false positives alone do not remove it: at a rate of 0.01 and a
# threshold of 0.8, five false ones in five are one in 10**10 units already.
_MANY = 32


@dataclass(frozen=True)
class Verdict:
    """What becomes of some documents.

    Attributes:
        known: whether each n-gram was seen before, bool [n-grams].
        removed: whether each unit goes, bool [units].
        hits: n-grams of each document that were seen before, int64 [documents].
        dropped: whether each document goes by the n-grams of all its units, bool [documents].
        inserted: n-grams put into the filter.
        false_removals: units among the removed that, to be expected, hold nothing seen before: new
            ones of which the filter took more than the threshold for known. Of units that share
            some n-grams with earlier text without being above the threshold, more may be.
    """

    known: np.ndarray
    removed: np.ndarray
    hits: np.ndarray
    dropped: np.ndarray
    inserted: int
    false_removals: float


def judge(ngrams: Ngrams, mode: Mode, threshold: float, bloom: BloomFilter) -> Verdict:
    """Decide on documents, after those that the filter has seen, and put what stays into it.

    The rule of DCLM's BFF (`dedup/bff`, `process_line_oldboth` and its siblings): a unit goes if
    more than `threshold` of its n-grams are in the filter when it is read. If it stays, they enter
    at once, so that later paragraphs of the same document are compared with it, and it is not
    compared with itself. With `old-both`, a document goes too if that holds for the n-grams of all
    its units together; what its kept paragraphs put in, stays in.
    """
    known, removed, hits, dropped, inserted, changed = _judge(
        ngrams.hashes,
        ngrams.bounds,
        ngrams.documents,
        mode == "old-both",
        threshold,
        bloom.words,
        bloom.hashes,
    )
    bloom.inserted += inserted
    bloom.bits_set += changed
    if mode == "document":
        dropped = removed
    sizes = np.diff(ngrams.bounds)[~removed]
    false_removals = _expected_false_removals(sizes, threshold, bloom.rate)
    return Verdict(known, removed, hits, dropped, inserted, false_removals)


def _expected_false_removals(sizes: np.ndarray, threshold: float, rate: float) -> float:
    """False removals beside the units that stayed, of `sizes` n-grams each, int64 [n]."""
    counts = np.bincount(sizes[sizes <= _MANY], minlength=_MANY + 1)
    expected = 0.0
    for size in range(1, _MANY + 1):
        chance = sum(
            math.comb(size, hits) * rate**hits * (1 - rate) ** (size - hits)
            for hits in range(size + 1)
            if hits / size > threshold
        )
        # Of new units, 1 - chance stayed.
        expected += int(counts[size]) * chance / max(1 - chance, 1e-9)
    return expected


@numba.njit(cache=True, nogil=True)
def _judge(
    ngrams: np.ndarray,
    bounds: np.ndarray,
    documents: np.ndarray,
    whole_documents: bool,
    threshold: float,
    words: np.ndarray,
    hashes: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
    known = np.zeros(len(ngrams), np.bool_)
    removed = np.zeros(len(bounds) - 1, np.bool_)
    hits = np.zeros(len(documents) - 1, np.int64)
    dropped = np.zeros(len(documents) - 1, np.bool_)
    inserted = changed = 0
    for document in range(len(documents) - 1):
        total = 0
        for unit in range(documents[document], documents[document + 1]):
            first, last = bounds[unit], bounds[unit + 1]
            if first == last:
                continue
            own = 0
            for n in range(first, last):
                if contains(words, hashes, ngrams[n]):
                    known[n] = True
                    own += 1
            total += last - first
            hits[document] += own
            if own / (last - first) > threshold:
                removed[unit] = True
                continue
            for n in range(first, last):
                changed += insert(words, hashes, ngrams[n])
            inserted += last - first
        if whole_documents and total > 0:
            dropped[document] = hits[document] / total > threshold
    return known, removed, hits, dropped, inserted, changed
