"""How the measures of `config.MEASURES` are found that are more than a line."""

from collections import Counter
from itertools import islice

import numpy as np
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from sacrebleu.metrics import BLEU

from ..deduplicate.whole_documents import SpacedWords
from ..text.ngrams import hash_ngrams
from ..text.words import GOLDEN, Words
from .sample import TextSample, words_of

_ORDER = 4  # of BLEU


def distinct(words: Words, size: int) -> float | None:
    """Return different n-grams over all; `None` without any."""
    hashes, _ = hash_ngrams(words.hashes, words.bounds, size)
    return len(np.unique(hashes)) / len(hashes) if len(hashes) else None


def overlaps(samples: list[TextSample], size: int) -> dict[str, dict[str, float]]:
    """Return the share of the different n-grams of each sample that each other one has.

    Args:
        samples: of one language, equally large: more text would hold more of anything.
        size: words of an n-gram.

    Returns:
        by sample and other sample.
    """
    found = {
        sample.name: np.unique(hash_ngrams(sample.words.hashes, sample.words.bounds, size)[0])
        for sample in samples
    }
    return {
        name: {
            other: float(np.isin(own, theirs, assume_unique=True).mean())
            for other, theirs in found.items()
            if other != name and len(own)
        }
        for name, own in found.items()
    }


def overlap_with_seeds(sample: TextSample, size: int) -> float | None:
    """Return the share of the n-grams of documents that are also in what they were made from.

    `None` if no document says what that was.
    """
    pairs = [(d.text, d.seed) for d in sample.documents if d.seed]
    keys = []
    for texts in zip(*pairs):
        words = words_of(list(texts))
        hashes, bounds = hash_ngrams(words.hashes, words.bounds, size)
        # A document is compared with its own seed alone.
        keys.append(
            hashes * GOLDEN + np.arange(len(pairs), dtype=np.uint64).repeat(np.diff(bounds))
        )
    return float(np.isin(*keys).mean()) if keys and len(keys[0]) else None


def near_duplicates(words: Words) -> float:
    """Return the share of documents that meet an earlier one in a bucket of MinHash.

    As datatrove deduplicates, but for n-grams of words as everywhere in this report; documents that
    are too short meet none.
    """
    config = MinhashConfig()
    # Only its hash functions are used: it gets n-grams, and writes nothing.
    block = MinhashDedupSignature(".", config, language=SpacedWords())
    hashes, bounds = hash_ngrams(words.hashes, words.bounds, config.n_grams)
    seen: list[set[tuple[int, ...]]] = [set() for _ in range(config.num_buckets)]
    again = 0
    for first, end in zip(bounds, bounds[1:]):
        if end > first:
            buckets = [tuple(part) for part in block.get_signature(hashes[first:end, None])]
            again += any(part in earlier for part, earlier in zip(buckets, seen))
            for part, earlier in zip(buckets, seen):
                earlier.add(part)
    return again / (len(bounds) - 1)


def self_bleu(texts: list[list[int]]) -> list[float]:
    """Score each text by BLEU-4 against all others as references (Zhu et al. 2018, 1802.01886).

    Exactly what sacrebleu's `sentence_bleu` gives with exponential smoothing and effective order,
    in time that grows with the words and not with the pairs: of each n-gram only the two highest
    counts matter.

    Args:
        texts: hashes of words; at least two, none empty.

    Returns:
        from 0 to 1.
    """
    lengths = [len(text) for text in texts]
    matches: list[list[int]] = [[] for _ in texts]
    for size in range(1, _ORDER + 1):
        counts = [Counter(zip(*(islice(text, n, None) for n in range(size)))) for text in texts]
        highest: dict[tuple[int, ...], tuple[int, int]] = {}
        for own in counts:
            for gram, n in own.items():
                first, second = highest.get(gram, (0, 0))
                highest[gram] = max(first, n), max(second, min(first, n))
        for found, own in zip(matches, counts):
            # What others have at most: the second count where this text has the first.
            found.append(
                sum(min(n, highest[gram][n == highest[gram][0]]) for gram, n in own.items())
            )
    scores = []
    for number, (found, length) in enumerate(zip(matches, lengths)):
        totals = [max(0, length - n) for n in range(_ORDER)]
        others = lengths[:number] + lengths[number + 1 :]
        closest = min(others, key=lambda other: (abs(other - length), other))
        score = BLEU.compute_bleu(
            found, totals, length, closest, smooth_method="exp", effective_order=True
        )
        scores.append(score.score / 100)
    return scores
