"""Self-BLEU: how much documents of one source repeat each other (Zhu et al. 2018, 1802.01886).

Each document is scored against all others as references. Exact, in time that grows with the words
and not with the pairs: of each n-gram only the two documents with most of it matter. BLEU is that
of sacrebleu's `sentence_bleu` with exponential smoothing and effective order, on words that are
given. Not taken from that package, which would compare every pair and is no requirement here.
"""

import numpy as np

ORDER = 4


def _clipped(grams: np.ndarray, owners: np.ndarray, documents: int) -> np.ndarray:
    """N-grams of each document that some other one has, counted as often as it has them.

    Args:
        grams: hashes, uint64 [n-grams].
        owners: the document of each, int64 [n-grams].
        documents: their number.

    Returns:
        float64 [documents].
    """
    order = np.lexsort((owners, grams))
    grams, owners = grams[order], owners[order]
    new = np.ones(len(grams), bool)
    new[1:] = (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])
    first = np.flatnonzero(new)
    counts = np.diff(np.append(first, len(grams)))
    grams, owners = grams[first], owners[first]

    order = np.lexsort((-counts, grams))
    grams, owners, counts = grams[order], owners[order], counts[order]
    new = np.ones(len(grams), bool)
    new[1:] = grams[1:] != grams[:-1]
    top = np.flatnonzero(new)  # whoever has most of an n-gram
    gram = np.cumsum(new) - 1
    several = np.append(top[1:], len(grams)) - top > 1
    second = np.where(several, counts[np.minimum(top + 1, len(grams) - 1)], 0)
    of_others = np.where(new, second[gram], counts[top][gram])
    return np.bincount(owners, np.minimum(counts, of_others), documents)


def self_bleu(texts: list[np.ndarray]) -> np.ndarray:
    """BLEU-4 of each text against all others.

    Args:
        texts: hashes of words, uint64 [words] each; at least two, none empty.

    Returns:
        float64 [texts], from 0 to 1.
    """
    number = len(texts)
    lengths = np.array([len(text) for text in texts])
    logs, orders = np.zeros(number), np.zeros(number)
    halves, any_match = np.ones(number), np.zeros(number, bool)
    for size in range(1, ORDER + 1):
        grams, owners = _grams(texts, size)
        total = np.maximum(lengths - size + 1, 0)
        if not len(grams):
            break
        matches = _clipped(grams, owners, number)
        there = total > 0
        any_match |= matches > 0
        halves = np.where(there & (matches == 0), 2 * halves, halves)
        precision = np.where(matches > 0, matches, 1 / halves) / np.maximum(total, 1)
        logs += np.where(there, np.log(precision), 0)
        orders += there
    closest = _closest(lengths)
    brevity = np.where(lengths < closest, np.exp(1 - closest / lengths), 1)
    return np.where(any_match, brevity * np.exp(logs / orders), 0)


def _grams(texts: list[np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    """N-grams of all texts, numbered by their words, and the text of each."""
    _, numbers = np.unique(np.concatenate(texts), return_inverse=True)
    edges = np.cumsum([0, *map(len, texts)])
    windows, owners = [], []
    for i, (first, end) in enumerate(zip(edges, edges[1:])):
        if end - first >= size:
            own = np.lib.stride_tricks.sliding_window_view(numbers[first:end], size)
            windows.append(own)
            owners.append(np.full(len(own), i))
    if not windows:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    _, grams = np.unique(np.concatenate(windows), axis=0, return_inverse=True)
    return grams.ravel(), np.concatenate(owners)


def _closest(lengths: np.ndarray) -> np.ndarray:
    """For each length the closest of the others, the shorter of two that are as close."""
    distance = np.abs(lengths[:, None] - lengths[None, :]).astype(float)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.min(axis=1)
    candidates = np.where(distance == nearest[:, None], lengths[None, :], np.inf)
    return candidates.min(axis=1)
