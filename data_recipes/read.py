"""The first step: raw sources to shards, with what could not be read set aside."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from .config import SourceConfig
from .documents import BATCH_BYTES, SCHEMA, ShardWriter, text_bytes
from .errors import RecipeError
from .histograms import histogram
from .manifest import write_json_atomically
from .progress import Progress
from .read_config import ReadConfig
from .readers import Reading, Row, SetAside, read_file, read_hub, resolve_files
from .steps import StepFolder, Tally, add_counts

SET_ASIDE = pa.schema(
    [
        ("id", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("sample", pa.string()),
    ]
)
# Rows of a source from which on its share of set-aside ones says something (our choice).
_ROWS_TO_JUDGE = 1000


@dataclass(frozen=True)
class Part:
    """A unit of reading: a file, or a share of a Hub data set.

    Attributes:
        source: which source it belongs to.
        number: its place in the source.
        file: `None` for the Hub.
        name: what ids and set-aside rows call it.
    """

    source: SourceConfig
    number: int
    file: Path | None
    name: str

    @property
    def shard(self) -> str:
        """How the names of its shards begin."""
        return f"{self.number:05d}"


def parts_of(source: SourceConfig, config: ReadConfig) -> list[Part]:
    """The parts of a source, in order.

    Raises:
        RecipeError: no such file, or one of a type that cannot be read.
    """
    if source.on_hub:
        return [Part(source, i, None, f"{source.path}#{i}") for i in range(config.hub_parts)]
    files = resolve_files(source.path)
    root = Path(source.path)
    names = [str(f.relative_to(root)) if root.is_dir() else f.name for f in files]
    if len(set(names)) < len(names):  # a glob over folders
        names = [str(file) for file in files]
    return [Part(source, i, file, name) for i, (file, name) in enumerate(zip(files, names))]


def source_facts(source: SourceConfig, config: ReadConfig) -> dict[str, Any]:
    """What decides what is read from a source: names and sizes of its files, columns."""
    parts = parts_of(source, config)
    inputs = [[p.name, p.file.stat().st_size if p.file else None] for p in parts]
    facts = source.model_dump(include={"name", "text_column", "language"})
    return facts | {"inputs": inputs}


def source_bytes(source: SourceConfig, config: ReadConfig) -> int:
    """Size of a source's files on disk; 0 on the Hub, where it is not known."""
    return sum(part.file.stat().st_size for part in parts_of(source, config) if part.file)


class ReadStep(PipelineStep):
    """Reads sources into `<output_dir>/<source>/{kept,rejected,stats}/<part>-<number>`.

    A part that is not finished is read again from its beginning, into the same shards.

    Args:
        sources: in the order of the recipe.
        output_dir: `<output_dir>/read`.
        config: the step.
    """

    name = "Read"
    type = "READER"

    def __init__(self, sources: list[SourceConfig], output_dir: Path, config: ReadConfig) -> None:
        super().__init__()
        self.sources = sources
        self.output_dir = output_dir
        self.config = config

    def _marker(self, part: Part) -> Path:
        return self.output_dir / part.source.name / "parts" / f"{part.shard}.json"

    def pending(self, rank: int = 0, world_size: int = 1) -> list[Part]:
        """Unfinished parts of one task."""
        work = [part for source in self.sources for part in parts_of(source, self.config)]
        return [part for part in work[rank::world_size] if not self._marker(part).is_file()]

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        limit = int(self.config.max_document_megabytes * 1e6)
        with Progress(self.output_dir, rank) as progress:
            for part in self.pending(rank, world_size):
                column = part.source.text_column
                if part.file is None:
                    parts = self.config.hub_parts
                    rows = read_hub(part.source.path, column, limit, part.number, parts)
                else:
                    rows = read_file(part.file, column, limit, _follow(progress))
                tally = self._write(part, rows)
                self._marker(part).parent.mkdir(parents=True, exist_ok=True)
                write_json_atomically(self._marker(part), {"documents": tally.documents_in})
        yield from ()

    def _write(self, part: Part, rows: Reading) -> Tally:
        folder = StepFolder(self.output_dir / part.source.name)
        full = self.config.shard_megabytes * 1e6
        total, number = Tally(), 0
        shard = _Shard(folder, part, number)
        try:
            for row in rows:
                shard.add(row)
                if shard.tally.bytes_in >= full:
                    total += shard.close()
                    check_set_aside(folder.root, total, self.config)
                    number += 1
                    shard = _Shard(folder, part, number)
            total += shard.close()
        except BaseException:
            shard.discard()
            raise
        check_set_aside(folder.root, total, self.config)
        return total


class _Shard:
    """A shard that is being filled, with what is set aside on the way."""

    def __init__(self, folder: StepFolder, part: Part, number: int) -> None:
        self.part = part
        self.name = f"{part.shard}-{number:05d}"
        self.tally = Tally()
        self._start = time.perf_counter()
        self._stats = folder.stats(self.name)
        self._kept = ShardWriter(folder.kept(self.name), SCHEMA)
        self._aside = ShardWriter(folder.rejected(self.name), SET_ASIDE)
        self._rows: list[Row] = []
        self._aside_rows: list[SetAside] = []
        self._waiting = 0

    def add(self, row: Row | SetAside) -> None:
        """Count a row and write it, sooner or later."""
        tally = self.tally
        tally.documents_in += 1
        if isinstance(row, Row):
            size = len(row.text.encode())
            self._rows.append(row)
            tally.documents_kept += 1
            tally.bytes_kept += size
            self._waiting += size + len(row.metadata)
        else:
            size = row.length
            self._aside_rows.append(row)
            tally.documents_rejected += 1
            tally.bytes_rejected += size
            add_counts(tally.reasons, {row.reason: {"documents": 1, "bytes": size}})
            self._waiting += len(row.sample)
        tally.bytes_in += size
        if self._waiting >= BATCH_BYTES or len(self._aside_rows) >= _ROWS_TO_JUDGE:
            self._flush()

    def _flush(self) -> None:
        part, count = self.part, len(self._rows)
        prefix = f"{part.source.name}/{part.name}"
        columns = {
            "id": [f"{prefix}:{row.place}" for row in self._rows],
            "text": [row.text for row in self._rows],
            "source": [part.source.name] * count,
            "language": [part.source.language] * count,
            "metadata": [row.metadata for row in self._rows],
        }
        kept = pa.RecordBatch.from_pydict(columns, SCHEMA)
        lengths = {"kept": histogram("bytes", text_bytes(kept)), "rejected": histogram("bytes", [])}
        add_counts(self.tally.counts, {"histograms": {"length": {"bytes": lengths}}})
        self._kept.write(kept)
        rows = self._aside_rows
        columns = {
            "id": [f"{prefix}:{row.place}" for row in rows],
            "file": [str(part.file or part.name)] * len(rows),
            "offset": [row.place for row in rows],
            "length": [row.length for row in rows],
            "reason": [row.reason for row in rows],
            "detail": [row.detail for row in rows],
            "sample": [row.sample for row in rows],
        }
        self._aside.write(pa.RecordBatch.from_pydict(columns, SET_ASIDE))
        self._rows, self._aside_rows, self._waiting = [], [], 0

    def close(self) -> Tally:
        """Finish the shard; its counts come last."""
        self._flush()
        self._kept.close()
        self._aside.close()
        self.tally.seconds = time.perf_counter() - self._start
        self._stats.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(self._stats, vars(self.tally))
        return self.tally

    def discard(self) -> None:
        """Leave nothing behind."""
        self._kept.discard()
        self._aside.discard()


def check_set_aside(folder: Path, tally: Tally, config: ReadConfig, whole: bool = False) -> None:
    """Stop when too much of a source cannot be read.

    Args:
        folder: `<output_dir>/read/<source>`.
        tally: of what was read so far.
        config: with the bound.
        whole: that was all of it, however little.

    Raises:
        RecipeError: more than `max_set_aside` of the rows were set aside, empty ones not counted.
    """
    empty = tally.reasons.get("empty", {}).get("documents", 0)
    aside, rows = tally.documents_rejected - empty, tally.documents_in - empty
    if aside <= config.max_set_aside * rows or not (whole or rows >= _ROWS_TO_JUDGE):
        return
    reasons = ", ".join(f"{reason} {n['documents']:,}" for reason, n in tally.reasons.items())
    raise RecipeError(
        f"{folder}: {aside:,} of {rows:,} rows could not be read ({reasons}), more than "
        f"read.max_set_aside={config.max_set_aside:g} allows. They are in "
        f"{folder / 'rejected'}, with file and offset; mend the files, or raise the bound"
    )


def _follow(progress: Progress) -> Callable[[int], None]:
    last = 0

    def update(position: int) -> None:
        nonlocal last
        progress.update(position - last)
        last = position

    return update
