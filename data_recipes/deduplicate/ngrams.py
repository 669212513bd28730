"""Paragraphs and word n-grams of documents, as hashes; and how many of them a filter must hold.

Cutting is the part that any thread may do ahead.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..engine.documents import damaged_shard_is_an_error, text_buffers
from ..engine.steps import StepFolder, Tally
from ..text.kernels import kernel
from ..text.ngrams import append_ngrams, power
from ..text.words import append_words, grown, word_table
from .config import DedupConfig, Mode

Item = TypeVar("Item")

_NEWLINE = 10
# Words that the kernel has room for at first, in one document.
_WORDS = 4096
# Bytes an n-gram, for the first guess at their number.
_BYTES_PER_NGRAM = 8
# Text up to this size is counted whole; of more, this much is sampled. Half a second of work.
SAMPLE_BYTES = 32_000_000
# What a sample may be wrong by. Our choice: sizing for 5 % more costs 5 % of memory.
MARGIN = 1.05
# Shards of a source that a sample is taken from, at most.
_SAMPLE_SHARDS = 64


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


@dataclass(frozen=True)
class Estimate:
    """What a filter must hold.

    Attributes:
        ngrams: n-grams, all of them; those that are seen twice take no room, so the filter ends up
            emptier than it may be.
        how: `given`, `counted`, or `sampled` (with the margin).
    """

    ngrams: int
    how: str


def expected_ngrams(
    shards: list[tuple[str, str]], inputs: dict[str, StepFolder], config: DedupConfig
) -> Estimate:
    """N-grams in some shards: as given, counted if there is little text, or from a sample.

    The sample is taken per source, from row groups at even distances in shards at even distances,
    so it is the same every time.

    Args:
        shards: (source, shard) pairs.
        inputs: folders of the sources.
        config: the step.

    Raises:
        RecipeError: a damaged shard.
    """
    if config.expected_ngrams is not None:
        return Estimate(config.expected_ngrams, "given")
    sizes: dict[str, dict[str, int]] = {}
    for source, shard in shards:
        size = Tally.read(inputs[source].stats(shard)).bytes_kept
        sizes.setdefault(source, {})[shard] = size
    total = sum(sum(own.values()) for own in sizes.values())
    ngrams = 0.0
    for source, own in sizes.items():
        paths = [inputs[source].kept(shard) for shard in own]
        share = SAMPLE_BYTES / total if total > SAMPLE_BYTES else 1.0
        seen = found = 0
        for batch in _sample(paths, share):
            data, offsets = text_buffers(batch)
            seen += int(offsets[-1] - offsets[0])
            found += len(cut_ngrams(data, offsets, config.ngram_size, config.mode).hashes)
        ngrams += found if share == 1 else MARGIN * found * sum(own.values()) / max(1, seen)
    return Estimate(math.ceil(ngrams), "counted" if total <= SAMPLE_BYTES else "sampled")


def _evenly(items: list[Item], count: int) -> list[Item]:
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def _sample(paths: list[Path], share: float) -> Iterator[pa.RecordBatch]:
    """Texts of about that share of some shards; at least one row group."""
    files = len(paths)
    if share < 1:
        paths = _evenly(paths, min(files, _SAMPLE_SHARDS))
    groups = []
    for path in paths:
        with damaged_shard_is_an_error(path):
            groups += [(path, i) for i in range(pq.read_metadata(path).num_row_groups)]
    if share < 1 and groups:
        groups = _evenly(groups, max(1, round(len(groups) * share * files / len(paths))))
    for path, group in groups:
        with damaged_shard_is_an_error(path), pq.ParquetFile(path) as file:
            table = file.read_row_group(group, columns=["text"]).combine_chunks()
        yield from table.to_batches()
