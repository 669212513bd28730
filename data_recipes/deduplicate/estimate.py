"""How many n-grams there will be, and so how large the filter must be."""

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
from .bloom import FilterShape
from .config import DedupConfig
from .ngrams import cut_ngrams

Item = TypeVar("Item")

# N-grams of 13 words per byte of text: measured on the Debian text of `data_recipes debian`,
# English 0.094 (5.3 bytes a word, n-grams end with paragraphs) and Korean 0.054 (7.9 bytes a word).
# Longer paragraphs have more, up to one a word: 0.19 and 0.13.
NGRAMS_PER_BYTE = 0.19
# Text up to this size is counted whole; of more, this much is sampled. Half a second of work.
SAMPLE_BYTES = 32_000_000
# What a sample may be wrong by. Our choice: sizing for 5 % more costs 5 % of memory.
MARGIN = 1.05
# Shards of a source that a sample is taken from, at most.
_SAMPLE_SHARDS = 64


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


@dataclass(frozen=True)
class FilterPlan:
    """What deduplication will take, told before there is any text to look at.

    Attributes:
        ngrams: n-grams per filter.
        shape: of each filter.
        filters: number of them.
        memory_bytes: of each.
        disk_bytes: of all, kept after the run; while one is saved, its size once more.
    """

    ngrams: int
    shape: FilterShape
    filters: int

    @property
    def memory_bytes(self) -> int:
        return self.shape.bytes

    @property
    def disk_bytes(self) -> int:
        return self.shape.bytes * self.filters

    def __str__(self) -> str:
        return (
            f"{self.filters} filter{'s' * (self.filters > 1)} of "
            f"{self.memory_bytes / 1e9:,.3f} GB for at most {self.ngrams:,} n-grams each"
        )


def estimate(text_bytes: int, config: DedupConfig) -> FilterPlan:
    """Size of the filters for so much text, at `NGRAMS_PER_BYTE`: an upper bound for prose.

    A terabyte takes 228 GB at the default rate of 0.01.

    Raises:
        RecipeError: a filter is larger than the budget.
    """
    ngrams = config.expected_ngrams or math.ceil(text_bytes * NGRAMS_PER_BYTE / config.filters)
    shape = FilterShape.of(ngrams, config.false_positive_rate)
    shape.check_memory(ngrams, config.false_positive_rate, config.memory_gb, config.filters)
    return FilterPlan(ngrams, shape, config.filters)


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
