"""The step: one pass over all shards, in order, through a filter that all of them share."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, get_args

import pyarrow as pa
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from ..common.errors import RecipeError
from ..common.terminal import Progress
from ..engine.documents import REJECTION, read_batches, shard_schema, text_buffers
from ..engine.steps import ShardOutput, StepFolder
from ..text.kernels import compile_once
from .bloom import HEADER, BloomFilter, FilterShape
from .config import DedupConfig, Mode
from .ngrams import Ngrams, cut_ngrams, expected_ngrams
from .old_both import REMOVED_SCHEMA, Duplicates, find_duplicates, kept_schema, rewrite

In = TypeVar("In")
Out = TypeVar("Out")

FILTERS = "filters"
# Batches waiting between the threads; each takes some 10 MB with its n-grams.
_AHEAD = 3
# A filter this many times above the rate that was asked for fails the run.
_TOLERANCE = 2.0
_END = object()


def filter_dir(output_dir: Path, number: int) -> Path:
    """Where a filter of the step is saved."""
    return output_dir / FILTERS / f"{number:05d}"


def removed_path(folder: StepFolder, shard: str) -> Path:
    """Where the paragraphs are that kept documents of a shard lost (`REMOVED_SCHEMA`)."""
    return folder.root / "removed" / f"{shard}.parquet"


class DedupOutput(ShardOutput):
    """The files of one shard, of which one holds what kept documents lost.

    All methods are for one thread, which may lag behind the one that decides.

    Args:
        folder: of the source.
        shard: its name.
        schema: of the input.
        progress: is told of bytes worked through.

    Raises:
        RecipeError: the disk is full, or the input was deduplicated before.
    """

    def __init__(
        self, folder: StepFolder, shard: str, schema: pa.Schema, progress: Progress
    ) -> None:
        kept = kept_schema(schema, f"{folder.root.name}, shard {shard}")
        rejected = pa.schema([*schema, *REJECTION])
        super().__init__(
            folder, shard, kept, rejected, {removed_path(folder, shard): REMOVED_SCHEMA}
        )
        self._progress = progress

    def add(self, batch: pa.RecordBatch, ngrams: Ngrams, found: Duplicates) -> None:
        """Write what becomes of a batch.

        Raises:
            RecipeError: the disk is full.
        """
        with self._whole_or_nothing():
            outcome, removed = rewrite(batch, ngrams, found)
            before = self.tally.bytes_in
            self.tally.add(batch, outcome)
            self.write(outcome.kept, outcome.rejected, removed)
            self._progress.update(self.tally.bytes_in - before)

    def close(self) -> None:
        """Finish the shard.

        Raises:
            RecipeError: the disk is full.
            RuntimeError: bytes appeared or disappeared.
        """
        tally, removed = self.tally, self.tally.counts.get("bytes_removed", 0)
        with self._whole_or_nothing():
            if tally.bytes_in != tally.bytes_kept + tally.bytes_rejected + removed:
                raise RuntimeError(
                    f"{tally.bytes_in:,} bytes became {tally.bytes_kept:,} kept, "
                    f"{tally.bytes_rejected:,} rejected and {removed:,} removed"
                )
        super().close()


def map_ahead(
    function: Callable[[In], Out], items: Iterable[In], pool: Executor, ahead: int
) -> Iterator[Out]:
    """`map`, with up to `ahead` results being made in `pool` while the caller is busy."""
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def read_ahead(items: Iterator[In], pool: Executor, ahead: int) -> Iterator[In]:
    """`items`, with up to `ahead` of them fetched in `pool`, which must have one thread."""
    waiting = deque(pool.submit(next, items, _END) for _ in range(ahead))
    while (item := waiting.popleft().result()) is not _END:
        waiting.append(pool.submit(next, items, _END))
        yield item


class Behind:
    """Calls made in order by one thread of `pool`, at most `limit` of them waiting.

    Args:
        pool: an executor of one thread.
        limit: `submit` waits while there are more.
    """

    def __init__(self, pool: Executor, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._waiting: deque[Future[None]] = deque()

    def submit(self, function: Callable[..., None], *args: object) -> None:
        """Call it later.

        Raises:
            Exception: whatever an earlier call raised.
        """
        self._waiting.append(self._pool.submit(function, *args))
        while len(self._waiting) > self._limit:
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Until every call has returned.

        Raises:
            Exception: whatever a call raised.
        """
        while self._waiting:
            self._waiting.popleft().result()


def _compile() -> None:
    text = " ".join(["a"] * 20)
    batch = pa.RecordBatch.from_pydict({name: [text] for name in ("id", "text", "source")})
    bloom = BloomFilter(FilterShape.of(10, 0.01), 13, 10)
    for mode in get_args(Mode):
        ngrams = cut_ngrams(*text_buffers(batch), 13, mode)
        rewrite(batch, ngrams, find_duplicates(ngrams, mode, 0.8, bloom))


class DedupStep(PipelineStep):
    """Removes what was seen before, in the order of sources and shards.

    Task `rank` of `config.filters` has every `config.filters`-th shard of each source, and a filter
    of its own. Text is read and cut into n-grams by threads ahead of the filter and written by one
    behind it; the filter sees documents one by one in order, so neither the number of threads nor
    that of workers shows in the result.

    Beside kept and rejected documents, `removed` has the paragraphs that kept documents lost. The
    filter is saved from time to time with the shards that it has seen; a killed run goes on from
    there and makes the shards after it again, the same.

    Counted per source: see `old_both.rewrite`; with mode `document`, a whole text counts as one
    paragraph. The fill and false-positive rate of the filter are in the header that lies by it.

    Args:
        inputs: folder of the step before, by source name, in the order of work.
        output_dir: `<output_dir>/deduplicate`.
        config: the step.
    """

    name = "Deduplication"
    type = "CLEANING"

    def __init__(self, inputs: dict[str, Path], output_dir: Path, config: DedupConfig) -> None:
        super().__init__()
        self.inputs = {name: StepFolder(folder) for name, folder in inputs.items()}
        self.outputs = {name: StepFolder(output_dir / name) for name in inputs}
        self.output_dir = output_dir
        self.config = config

    def compile_kernels(self) -> None:
        """Compile the kernels of n-grams and filter, unless an earlier process did."""
        compile_once("deduplicate", _compile)

    def work(self, rank: int) -> list[tuple[str, str]]:
        """(source, shard) pairs of one task, in order."""
        return [
            (name, shard)
            for name, folder in self.inputs.items()
            for shard in folder.shards()[rank :: self.config.filters]
        ]

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        if world_size != self.config.filters:
            raise ValueError(f"{world_size} tasks for {self.config.filters} filters")
        work = self.work(rank)
        if work:
            bloom, covered = self._start(rank, work)
            self._check_rate(bloom)
            with Progress(self.output_dir, rank) as progress:
                self._pass(rank, work, covered, bloom, progress)
            if bloom.rate > self.config.false_positive_rate:
                logger.warning(
                    f"filter {rank}: false-positive rate {bloom.rate:.4f}, "
                    f"{self.config.false_positive_rate:g} was asked for"
                )
        yield from ()

    def _start(self, rank: int, work: list[tuple[str, str]]) -> tuple[BloomFilter, int]:
        """The filter as it was when last saved, or a new one, and how many shards it has seen."""
        config, directory = self.config, filter_dir(self.output_dir, rank)
        if (directory / HEADER).is_file():
            bloom, header = BloomFilter.load(directory, config.ngram_size, config.memory_gb)
            seen = [tuple(pair) for pair in header["shards"]]
            if seen != work[: len(seen)]:
                raise RecipeError(
                    f"{directory}: this filter has seen other shards than there are now; delete "
                    f"{self.output_dir}, and the steps after it, to deduplicate again"
                )
            return bloom, len(seen)
        if config.load_filter is not None:
            return self._load_earlier(rank), 0
        expected = expected_ngrams(work, self.inputs, config)
        shape = FilterShape.of(expected.ngrams, config.false_positive_rate)
        shape.check_memory(
            expected.ngrams, config.false_positive_rate, config.memory_gb, config.filters
        )
        logger.info(
            f"filter {rank}: {shape.bytes / 1e9:.3f} GB for {expected.ngrams:,} n-grams "
            f"({expected.how})"
        )
        return BloomFilter(shape, config.ngram_size, expected.ngrams), 0

    def _load_earlier(self, rank: int) -> BloomFilter:
        root = self.config.load_filter / FILTERS
        found = len(list(root.glob(f"*/{HEADER}")))
        if found != self.config.filters:
            raise RecipeError(
                f"load_filter: {root} has {found} filters, this run has {self.config.filters}; "
                "name the `deduplicate` directory of a finished run, and set `filters` as there"
            )
        directory = filter_dir(self.config.load_filter, rank)
        return BloomFilter.load(directory, self.config.ngram_size, self.config.memory_gb)[0]

    def _check_rate(self, bloom: BloomFilter) -> None:
        if bloom.rate <= _TOLERANCE * self.config.false_positive_rate:
            return
        raise RecipeError(
            f"deduplicate: the filter is too full: {bloom.inserted:,} n-grams in it, sized for "
            f"{bloom.expected:,}, so that it takes {bloom.rate:.2%} of new n-grams for known ones "
            f"where {self.config.false_positive_rate:.2%} was asked for. Delete {self.output_dir} "
            "and run again with a larger `expected_ngrams`, or without `load_filter`"
        )

    def _pass(
        self,
        rank: int,
        work: list[tuple[str, str]],
        covered: int,
        bloom: BloomFilter,
        progress: Progress,
    ) -> None:
        config, directory = self.config, filter_dir(self.output_dir, rank)
        saved, output = time.monotonic(), None
        try:
            with (
                ThreadPoolExecutor(1) as reader,
                ThreadPoolExecutor(config.threads) as cutters,
                ThreadPoolExecutor(1) as writer,
            ):
                behind = Behind(writer, _AHEAD)
                batches = read_ahead(self._read(work, covered), reader, _AHEAD)
                ahead = config.threads + _AHEAD
                for place, item in map_ahead(self._cut, batches, cutters, ahead):
                    if isinstance(item, pa.Schema):
                        source, shard = work[place]
                        output = DedupOutput(self.outputs[source], shard, item, progress)
                    elif item is not None:
                        batch, ngrams = item
                        found = find_duplicates(ngrams, config.mode, config.threshold, bloom)
                        behind.submit(output.add, batch, ngrams, found)
                    else:
                        behind.submit(output.close)
                        self._check_rate(bloom)
                        last = place + 1 == len(work)
                        if last or time.monotonic() - saved >= config.snapshot_minutes * 60:
                            # Only with the shards on disk may the filter say that it has seen them.
                            behind.wait()
                            bloom.save(directory, shards=work[: place + 1])
                            saved = time.monotonic()
        except BaseException:
            if output is not None:
                output.discard()
            raise

    def _read(
        self, work: list[tuple[str, str]], covered: int
    ) -> Iterator[tuple[int, pa.Schema | pa.RecordBatch | None]]:
        """The shards not yet seen, by place in `work`: each its schema, its batches, and `None`."""
        for place in range(covered, len(work)):
            source, shard = work[place]
            path = self.inputs[source].kept(shard)
            yield place, shard_schema(path)
            for batch in read_batches(path):
                yield place, batch
            yield place, None

    def _cut(
        self, item: tuple[int, pa.Schema | pa.RecordBatch | None]
    ) -> tuple[int, pa.Schema | tuple[pa.RecordBatch, Ngrams] | None]:
        place, batch = item
        if not isinstance(batch, pa.RecordBatch):
            return place, batch
        ngrams = cut_ngrams(*text_buffers(batch), self.config.ngram_size, self.config.mode)
        return place, (batch, ngrams)
