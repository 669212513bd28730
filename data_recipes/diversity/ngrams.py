"""N-grams of words as hashes, and what they say: distinct ones, overlap, near-duplicates."""

import numpy as np
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

from ..deduplicate.whole_documents import SpacedWords
from ..text.ngrams import hash_ngrams
from ..text.words import GOLDEN, Words
from .sample import Sample, words_of


def ngrams(words: Words, size: int) -> tuple[np.ndarray, np.ndarray]:
    """N-grams that lie within one document, by place.

    Args:
        words: of some documents.
        size: words of an n-gram.

    Returns:
        hashes, uint64 [n-grams], and the document of each, int64 [n-grams].
    """
    hashes, bounds = hash_ngrams(words.hashes, words.bounds, size)
    return hashes, np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


def distinct(words: Words, size: int) -> float | None:
    """Different n-grams over all; `None` without any."""
    hashes, _ = ngrams(words, size)
    return len(np.unique(hashes)) / len(hashes) if len(hashes) else None


def overlaps(samples: list[Sample], size: int) -> dict[str, dict[str, float]]:
    """Share of the different n-grams of each sample that each other one has.

    Args:
        samples: of one language, equally large: more text would hold more of anything.
        size: words of an n-gram.

    Returns:
        by sample and other sample.
    """
    found = {sample.name: np.unique(ngrams(sample.words, size)[0]) for sample in samples}
    return {
        name: {
            other: float(np.isin(own, theirs, assume_unique=True).mean())
            for other, theirs in found.items()
            if other != name and len(own)
        }
        for name, own in found.items()
    }


def overlap_with_seeds(sample: Sample, size: int) -> float | None:
    """Share of the n-grams of documents that are also in what they were made from.

    `None` if no document says what that was.
    """
    pairs = [(d.text, d.seed) for d in sample.documents if d.seed]
    keys = []
    for texts in zip(*pairs):
        hashes, documents = ngrams(words_of(list(texts)), size)
        # A document is compared with its own seed alone.
        keys.append(hashes * GOLDEN + documents.astype(np.uint64))
    return float(np.isin(*keys).mean()) if keys and len(keys[0]) else None


def near_duplicates(words: Words) -> float:
    """Share of documents that meet an earlier one in a bucket of the deduplication's MinHash.

    N-grams are of words as everywhere in this report; documents that are too short meet none.
    """
    config = MinhashConfig()
    # Only its hash functions are used: it gets n-grams, and writes nothing.
    block = MinhashDedupSignature(".", config, language=SpacedWords())
    hashes, documents = ngrams(words, config.n_grams)
    edges = np.searchsorted(documents, np.arange(len(words.bounds)))
    signatures = np.array(
        [
            block.get_signature(hashes[first:end, None])
            for first, end in zip(edges, edges[1:])
            if end > first
        ],
        np.uint64,
    )
    again = np.zeros(len(signatures), bool)
    for bucket in range(config.num_buckets if len(signatures) else 0):
        _, first = np.unique(signatures[:, bucket], axis=0, return_index=True)
        own = np.ones(len(signatures), bool)
        own[first] = False
        again |= own
    return float(again.sum()) / (len(words.bounds) - 1)
