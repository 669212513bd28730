"""The engine of the cleaning steps: shards in, kept and rejected shards out, counted and resumable.

A step is a datatrove `PipelineStep`, so datatrove's executors run it in one process, on all cores,
on Slurm or on Ray. Its unit of work is one input shard. Each gives one shard of kept documents, one
of rejected ones and a file of counts, written in that order; the counts mark the shard as done. So
a killed run goes on with the shards that lack counts, and neither the number of tasks nor of
workers shows in what is written.
"""

import json
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from ..common.files import bind_settings, write_json_atomically
from ..common.terminal import Progress
from .documents import (
    REJECTION,
    ShardWriter,
    histogram,
    read_batches,
    reject,
    shard_schema,
    text_bytes,
)

# What a finished piece of work leaves: of a step, of a helper of it, of tokenisation.
_FINISHED = ("*/stats/*", "done/**/*", "*/manifest.json")


@dataclass
class Outcome:
    """What a step makes of one batch.

    Attributes:
        kept: rows that go on; the step may have changed texts or appended columns.
        rejected: rows taken out, as `documents.reject` makes them.
        counts: numbers, or nested dicts and lists of numbers, to be added up over batches.
    """

    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    counts: dict[str, Any] = field(default_factory=dict)


def decide(
    batch: pa.RecordBatch, reasons: list[str | None], details: list[str], **counts: Any
) -> Outcome:
    """The outcome of a filter that changes no text: rows without a reason are kept.

    Args:
        batch: the rows.
        reasons: one per row; `None` keeps it.
        details: one per row; unused where the reason is `None`.
        counts: goes into `Outcome.counts`.
    """
    keep = np.array([reason is None for reason in reasons], dtype=bool)
    out = [i for i, reason in enumerate(reasons) if reason is not None]
    rejected = reject(
        batch.filter(pa.array(~keep)), [reasons[i] for i in out], [details[i] for i in out]
    )
    return Outcome(batch.filter(pa.array(keep)), rejected, counts)


def add_counts(total: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Add numbers in nested dicts (by key) and lists (by place)."""
    for key, value in new.items():
        if isinstance(value, dict):
            total[key] = add_counts(total.get(key, {}), value)
        elif isinstance(value, list):
            old = total.get(key, [0] * len(value))
            total[key] = [a + b for a, b in zip(old, value, strict=True)]
        else:
            total[key] = total.get(key, 0) + value
    return total


@dataclass
class Tally:
    """Documents and bytes of text of one shard (or of many, added up).

    Attributes:
        reasons: rejected documents and bytes by reason.
        counts: what else the step counted.
        seconds: wall time of the work on it.
    """

    documents_in: int = 0
    documents_kept: int = 0
    documents_rejected: int = 0
    bytes_in: int = 0
    bytes_kept: int = 0
    bytes_rejected: int = 0
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, batch: pa.RecordBatch, outcome: Outcome) -> None:
        """Count one batch.

        Raises:
            RuntimeError: documents appeared or disappeared.
        """
        kept, rejected = outcome.kept.num_rows, outcome.rejected.num_rows
        if batch.num_rows != kept + rejected:
            raise RuntimeError(f"{batch.num_rows} documents became {kept} + {rejected}")
        sizes, kept_sizes = text_bytes(outcome.rejected), text_bytes(outcome.kept)
        self.documents_in += batch.num_rows
        self.documents_kept += kept
        self.documents_rejected += rejected
        self.bytes_in += int(text_bytes(batch).sum())
        self.bytes_kept += int(kept_sizes.sum())
        self.bytes_rejected += int(sizes.sum())
        for reason, size in zip(outcome.rejected.column("reason").to_pylist(), sizes.tolist()):
            own = self.reasons.setdefault(reason, {"documents": 0, "bytes": 0})
            own["documents"] += 1
            own["bytes"] += size
        lengths = {"kept": histogram("bytes", kept_sizes), "rejected": histogram("bytes", sizes)}
        add_counts(self.counts, {"histograms": {"length": {"bytes": lengths}}})
        add_counts(self.counts, outcome.counts)

    @staticmethod
    def read(path: Path) -> "Tally":
        """The tally in a stats file."""
        return Tally(**json.loads(path.read_text(encoding="utf-8")))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**add_counts(add_counts({}, vars(self)), vars(other)))


@dataclass(frozen=True)
class StepFolder:
    """Where a step writes one source: `<output_dir>/<step>/<source>`."""

    root: Path

    def kept(self, shard: str) -> Path:
        return self.root / "kept" / f"{shard}.parquet"

    def rejected(self, shard: str) -> Path:
        return self.root / "rejected" / f"{shard}.parquet"

    def stats(self, shard: str) -> Path:
        return self.root / "stats" / f"{shard}.json"

    def done(self) -> list[str]:
        """Names of finished shards, in order."""
        return sorted(p.stem for p in (self.root / "stats").glob("*.json"))

    def shards(self) -> list[str]:
        """Names of shards with kept documents, in order: the input of the next step."""
        return sorted(p.stem for p in (self.root / "kept").glob("*.parquet"))

    def texts(self) -> Iterator[str]:
        """Yield every kept text, in order; no more than a batch is in memory."""
        for shard in self.shards():
            for batch in read_batches(self.kept(shard), ["text"]):
                yield from batch.column(0).to_pylist()

    def tally(self) -> Tally:
        """Everything this step counted for this source."""
        return sum((Tally.read(self.stats(s)) for s in self.done()), Tally())

    def bytes_left(self, after: "StepFolder") -> int:
        """Text that this step kept and the step `after` it has not finished with, in bytes."""
        done = set(after.done())
        left = (self.stats(s) for s in self.shards() if s not in done)
        return sum(Tally.read(path).bytes_kept for path in left)


def claim(directory: Path, settings: dict[str, Any]) -> None:
    """Bind a directory of data to the settings that its contents are made with.

    Raises:
        RecipeError: it holds work that was done with others.
    """
    bind_settings(
        directory,
        settings,
        "delete it, and the steps after it, to do it again, or choose another output_dir",
        _FINISHED,
    )


class ShardOutput(AbstractContextManager):
    """The files of one shard of a step; its counts come last, and mark the shard as finished.

    As a context manager it finishes on a clean exit and leaves nothing behind on an error. Once
    discarded it writes nothing any more, so that no shard is finished with rows missing.

    Args:
        folder: of the source.
        shard: its name.
        kept: schema of the rows that go on.
        rejected: schema of the others.
        more: schemas of further files, by path.

    Raises:
        RecipeError: the disk is full.
    """

    def __init__(
        self,
        folder: StepFolder,
        shard: str,
        kept: pa.Schema,
        rejected: pa.Schema,
        more: dict[Path, pa.Schema] | None = None,
    ) -> None:
        self.tally = Tally()
        self._start = time.perf_counter()
        self._stats = folder.stats(shard)
        self._writers: list[ShardWriter] = []
        files = {folder.kept(shard): kept, folder.rejected(shard): rejected, **(more or {})}
        with self._whole_or_nothing():
            for path, schema in files.items():
                self._writers.append(ShardWriter(path, schema))

    def write(self, *batches: pa.RecordBatch) -> None:
        """Write rows to each file: kept ones, rejected ones, and further ones in their order.

        Raises:
            RecipeError: the disk is full.
        """
        with self._whole_or_nothing():
            for writer, rows in zip(self._writers, batches):
                writer.write(rows)

    def close(self) -> None:
        """Finish the shard.

        Raises:
            RecipeError: the disk is full.
        """
        if not self._writers:
            return
        with self._whole_or_nothing():
            for writer in self._writers:
                writer.close()
            self.tally.seconds = time.perf_counter() - self._start
            write_json_atomically(self._stats, vars(self.tally))
        self._writers = []

    def discard(self) -> None:
        """Give up: no temporary files stay."""
        for writer in self._writers:
            writer.discard()
        self._writers = []

    @contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close() if kind is None else self.discard()


class ShardStep(PipelineStep):
    """A cleaning step over the shards of some sources.

    Subclasses say what becomes of a batch. They are pickled to worker processes: what is costly to
    hold (a model, a filter) is loaded in `setup`.

    Args:
        inputs: folder of the step before, by source name, in the order of work.
        output_dir: `<output_dir>/<step>`.
    """

    type = "CLEANING"

    def __init__(self, inputs: dict[str, Path], output_dir: Path) -> None:
        super().__init__()
        self.inputs = {name: StepFolder(folder) for name, folder in inputs.items()}
        self.outputs = {name: StepFolder(output_dir / name) for name in inputs}
        self.output_dir = output_dir

    def setup(self) -> None:
        """Load what the step needs, once per process, before the first batch."""

    @abstractmethod
    def process(self, batch: pa.RecordBatch) -> Outcome:
        """Decide on one batch."""

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """Schema of the kept rows, given that of the input."""
        return schema

    def pending(self, rank: int = 0, world_size: int = 1) -> list[tuple[str, str]]:
        """Unfinished (source, shard) pairs of one task.

        Listed when the task runs, not before: on a cluster the step before may not have run yet
        when this one is submitted.
        """
        work = [(name, s) for name, folder in self.inputs.items() for s in folder.shards()]
        return [(n, s) for n, s in work[rank::world_size] if not self.outputs[n].stats(s).is_file()]

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        work = self.pending(rank, world_size)
        if work:
            self.setup()
        with Progress(self.output_dir, rank) as progress:
            for name, shard in work:
                tally = self._process_shard(name, shard, progress)
                self.stat_update("documents_in", value=tally.documents_in)
                self.stat_update("documents_kept", value=tally.documents_kept)
        yield from ()

    def _process_shard(self, name: str, shard: str, progress: "Progress") -> Tally:
        folder, path = self.outputs[name], self.inputs[name].kept(shard)
        schema = shard_schema(path)
        rejected = pa.schema([*schema, *REJECTION])
        with ShardOutput(folder, shard, self.schema(schema), rejected) as output:
            for batch in read_batches(path):
                outcome = self.process(batch)
                before = output.tally.bytes_in
                output.tally.add(batch, outcome)
                output.write(outcome.kept, outcome.rejected)
                progress.update(output.tally.bytes_in - before)
        return output.tally
