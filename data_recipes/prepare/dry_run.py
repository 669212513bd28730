"""What a data recipe would run, and what it will take: time, disk, memory."""

import math
from dataclasses import dataclass

from ..common.errors import RecipeError
from ..deduplicate.bloom import FilterShape
from ..deduplicate.config import DedupConfig
from ..read.step import source_bytes
from .chain import is_done, steps_of
from .config import DataConfig

# Text per second and process, in 1e6 bytes: `scripts/benchmark_data.py` on 2 cores of an AMD EPYC,
# English with a sixth of Korean; see docs/data.md. Deduplication is one process with threads.
RATES = {"read": 60, "personal": 10, "filter": 14}
RATES |= {"deduplicate": 40, "quality": 12, "decontaminate": 30}
TOKENISE_RATE = 4
# Bytes that a shard takes on disk per byte of text, zstd; measured on the Debian text.
SHARD_BYTES = 0.35
# Text in a file per byte on disk: JSON escapes, columns, and what compression saves (our estimate).
_TEXT_BYTES = {".gz": 3.0, ".zst": 3.5, ".parquet": 2.5}
# A worker with its libraries, batches and tables; quality holds its classifier (0.8 GB) besides.
WORKER_GB = {"quality": 1.8}
_WORKER_GB = 1.0
_TOKEN_BYTES = {True: 2, False: 4}
_BYTES_PER_TOKEN = 4.5
# N-grams of 13 words per byte of text: measured on the Debian text of `data_recipes debian`,
# English 0.094 (5.3 bytes a word, n-grams end with paragraphs) and Korean 0.054 (7.9 bytes a word).
# Longer paragraphs have more, up to one a word: 0.19 and 0.13.
NGRAMS_PER_BYTE = 0.19


@dataclass(frozen=True)
class FilterPlan:
    """What deduplication will take, told before there is any text to look at.

    Attributes:
        ngrams: n-grams per filter.
        shape: of each filter.
        filters: number of them.
    """

    ngrams: int
    shape: FilterShape
    filters: int

    @property
    def disk_bytes(self) -> int:
        """All filters, kept after the run; while one is saved, its size once more."""
        return self.shape.bytes * self.filters

    def __str__(self) -> str:
        return (
            f"{self.filters} filter{'s' * (self.filters > 1)} of "
            f"{self.shape.bytes / 1e9:,.3f} GB for at most {self.ngrams:,} n-grams each"
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


def _text_bytes(config: DataConfig) -> float:
    total = 0.0
    for source in config.resolved_sources():
        if source.on_hub:
            raise RecipeError(
                f"{source.path}: its size is not known before it is read; give the text of all "
                "sources together with --gigabytes"
            )
        suffix = next((s for s in _TEXT_BYTES if source.path.endswith(s)), "")
        total += source_bytes(source, config.read) * _TEXT_BYTES.get(suffix, 0.95)
    return total


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def describe(config: DataConfig, gigabytes: float | None = None) -> str:
    """The steps in a table, with upper bounds: nothing is taken to be removed on the way.

    Args:
        config: the recipe.
        gigabytes: text of all sources, in 1e9 UTF-8 bytes; by default from the sizes of the files.

    Raises:
        RecipeError: a source of unknown size and no `gigabytes`; a filter beyond its budget.
    """
    size = gigabytes * 1e9 if gigabytes else _text_bytes(config)
    workers = config.executor.workers
    lines = [
        f"text: {size / 1e9:,.3f} GB ({'as given' if gigabytes else 'from the sizes of files'}), "
        f"{workers} worker{'s' * (workers > 1)}, executor {config.executor.kind}",
        f"{'step':<16}{'state':<10}{'time':>12}{'disk':>14}{'memory':>12}  note",
    ]
    refused = None
    for name in steps_of(config):
        processes, note = workers, ""
        memory = WORKER_GB.get(name, _WORKER_GB) * workers
        disk = size * SHARD_BYTES
        if name == "deduplicate":
            note = config.deduplicate.method
            if isinstance(config.deduplicate, DedupConfig):
                processes = min(workers, config.deduplicate.filters)
                try:
                    plan = estimate(size, config.deduplicate)
                    memory = (_WORKER_GB + plan.shape.bytes / 1e9) * processes
                    disk += 2 * plan.disk_bytes
                    note = str(plan)
                except RecipeError as error:
                    refused, note = error, "refused, see below"
        seconds = size / 1e6 / RATES[name] / processes
        state = "done" if is_done(config, name) else "to do"
        lines.append(
            f"{name:<16}{state:<10}{_duration(seconds):>12}{disk / 1e9:>11,.2f} GB"
            f"{memory:>9,.1f} GB  {note}"
        )
    shards = (config.shards_dir / "summary.json").is_file()
    width = _TOKEN_BYTES[config.tokenizer.bpe_entries < 2**16]
    lines.append(
        f"{'shards':<16}{'done' if shards else 'to do':<10}"
        f"{_duration(size / 1e6 / TOKENISE_RATE / workers):>12}"
        f"{size / _BYTES_PER_TOKEN * width / 1e9:>11,.2f} GB{_WORKER_GB * workers:>9,.1f} GB  "
        f"{config.tokenizer.bpe_entries:,} entries, about {size / _BYTES_PER_TOKEN / 1e9:,.2f} "
        "billion tokens; while documents are shuffled, twice the disk"
    )
    if refused:
        lines.append(f"error: {refused}")
    return "\n".join(lines)
