"""The first step: raw sources to shards, with what could not be read set aside."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from ..common.errors import RecipeError
from ..common.files import disk_full_is_an_error, write_json_atomically
from ..common.terminal import Progress
from ..engine.documents import BATCH_BYTES, SCHEMA, histogram, text_bytes
from ..engine.steps import ShardOutput, StepFolder, Tally, add_counts
from .files import can_be_split, check_column, read_file, resolve_files
from .hub import read_hub
from .rows import Reading, Row, SetAside, normalised
from .source import ReadConfig, SourceConfig

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
_ROW_BYTES = 500  # about what Python holds for a row besides its text


class ReadShard(ShardOutput):
    """The files of one shard of what is read; rejected are the rows that were set aside.

    Args:
        folder: of the source.
        name: of the shard.
        source: what the rows come from.
        input_name: of the file in ids.
        file: path in set-aside rows.

    Raises:
        RecipeError: the disk is full.
    """

    def __init__(
        self, folder: StepFolder, name: str, source: SourceConfig, input_name: str, file: str
    ) -> None:
        super().__init__(folder, name, SCHEMA, SET_ASIDE)
        self._source = source
        self._prefix = f"{source.name}/{input_name}"
        self._file = file
        self._rows: list[Row] = []
        self._texts: list[str | bytes] = []
        self._aside_rows: list[SetAside] = []
        self._waiting = 0

    def add(self, row: Row | SetAside) -> None:
        """Take a row, to be counted and written sooner or later; the bytes read are counted now."""
        if isinstance(row, Row):
            text = row.text if row.text.isascii() else row.text.encode()
            size = len(text)
            self._rows.append(row)
            self._texts.append(text)
            if row.changes:
                changes = dict.fromkeys(row.changes, 1)
                add_counts(self.tally.counts, {"normalised": {"documents": 1, "changes": changes}})
            self._waiting += size + len(row.metadata) + _ROW_BYTES
        else:
            size = row.length
            self._aside_rows.append(row)
            add_counts(self.tally.reasons, {row.reason: {"documents": 1, "bytes": size}})
            self._waiting += len(row.sample) + _ROW_BYTES
        self.tally.bytes_in += size
        if self._waiting >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        rows, aside, tally = self._rows, self._aside_rows, self.tally
        columns = {
            "id": [f"{self._prefix}:{row.place}" for row in rows],
            # Taken as they are: Arrow would encode them once more, or look for what is not UTF-8.
            "text": pa.array(self._texts, pa.large_binary()).view(pa.large_string()),
            "source": pa.repeat(self._source.name, len(rows)),
            "language": pa.repeat(self._source.language, len(rows)),
            "metadata": [row.metadata for row in rows],
        }
        kept = pa.RecordBatch.from_pydict(columns, SCHEMA)
        sizes = text_bytes(kept)
        tally.documents_in += len(rows) + len(aside)
        tally.documents_kept += len(rows)
        tally.documents_rejected += len(aside)
        tally.bytes_kept += int(sizes.sum())
        tally.bytes_rejected += sum(row.length for row in aside)
        lengths = {"kept": histogram("bytes", sizes), "rejected": histogram("bytes", [])}
        add_counts(tally.counts, {"histograms": {"length": {"bytes": lengths}}})
        columns = {
            "id": [f"{self._prefix}:{row.place}" for row in aside],
            "file": [self._file] * len(aside),
            "offset": [row.place for row in aside],
            "length": [row.length for row in aside],
            "reason": [row.reason for row in aside],
            "detail": [row.detail for row in aside],
            "sample": [row.sample for row in aside],
        }
        self.write(kept, pa.RecordBatch.from_pydict(columns, SET_ASIDE))
        self._rows, self._texts, self._aside_rows, self._waiting = [], [], [], 0

    def close(self) -> None:
        """Write what is left, and finish the shard."""
        self._flush()
        super().close()


# Larger files are read in shares of about this size, on disk, where their type allows it. Our
# choice: a few seconds of work, so that a large file keeps all workers busy.
_SHARE_BYTES = 256_000_000
# Rows of a source from which on its share of set-aside ones says something (our choice).
_ROWS_TO_JUDGE = 1000
# What is written down of a part that is done.
_COUNTS = ("documents_in", "documents_rejected", "reasons")


@dataclass(frozen=True)
class Part:
    """A unit of reading: a file or a share of one, or a share of a Hub data set.

    Attributes:
        source: which source it belongs to.
        number: its place in the source.
        file: `None` for the Hub.
        name: what ids and set-aside rows call it.
        share: index and number of the shares.
        size: bytes on disk; 1 on the Hub, where it is not known.
    """

    source: SourceConfig
    number: int
    file: Path | None
    name: str
    share: tuple[int, int] = (0, 1)
    size: int = 1

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
        count = config.hub_parts
        return [Part(source, i, None, f"{source.path}#{i}", (i, count)) for i in range(count)]
    files = resolve_files(source.path)
    root = Path(source.path)
    names = [str(f.relative_to(root)) if root.is_dir() else f.name for f in files]
    if len(set(names)) < len(names):  # a glob over folders
        names = [str(file) for file in files]
    parts: list[Part] = []
    for file, name in zip(files, names):
        size = file.stat().st_size
        count = max(1, -(-size // _SHARE_BYTES)) if can_be_split(file) else 1
        for i in range(count):
            own = size * (i + 1) // count - size * i // count
            parts.append(Part(source, len(parts), file, name, (i, count), own))
    return parts


def source_facts(source: SourceConfig, config: ReadConfig) -> dict[str, Any]:
    """What decides what is read from a source: names and sizes of its files, columns."""
    parts = parts_of(source, config)
    inputs = [[p.name, p.size if p.file else None, *p.share] for p in parts]
    facts = source.model_dump(include={"name", "text_column", "language"})
    # Without a template or a pair it is what it was before there were any.
    made_of = source.model_dump(mode="json", include={"template", "pair"}, exclude_none=True)
    return facts | made_of | {"inputs": inputs}


def source_bytes(source: SourceConfig, config: ReadConfig) -> int:
    """Size of a source's files on disk; 0 on the Hub, where it is not known."""
    return sum(part.size for part in parts_of(source, config) if part.file)


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

    @property
    def _limit(self) -> int:
        return int(self.config.max_document_megabytes * 1e6)

    def _marker(self, part: Part) -> Path:
        return self.output_dir / part.source.name / "parts" / f"{part.shard}.json"

    def pending(self, rank: int = 0, world_size: int = 1) -> list[Part]:
        """Unfinished parts of one task; with the defaults, of all. The step is done without any."""
        work = [part for source in self.sources for part in parts_of(source, self.config)]
        return [part for part in work[rank::world_size] if not self._marker(part).is_file()]

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        work = self.pending(rank, world_size)
        self._check_columns(work)
        with disk_full_is_an_error(self.output_dir), Progress(self.output_dir, rank) as progress:
            for part in work:
                form = part.source.form
                if part.file is None:
                    rows = read_hub(part.source.path, form, self._limit, *part.share)
                else:
                    rows = read_file(part.file, form, self._limit, _follow(progress), part.share)
                tally = self._write(part, normalised(rows) if self.config.normalise else rows)
                counts = {name: getattr(tally, name) for name in _COUNTS}
                write_json_atomically(self._marker(part), counts)
        yield from ()

    def _check_columns(self, work: list[Part]) -> None:
        """Refuse a wrong text column before hours of work.

        JSONL rows may lack it here and there, so the first of the source decide; of Parquet files,
        which are many, each task looks into its own.
        """
        for source in {part.source.name: part.source for part in work if part.file}.values():
            own = {part.file for part in work if part.source.name == source.name}
            files = dict.fromkeys(part.file for part in parts_of(source, self.config))
            looked = [f for f in files if f in own or f.suffix != ".parquet"]
            check_column(looked, source.form, self._limit)

    def _write(self, part: Part, rows: Reading) -> Tally:
        folder = StepFolder(self.output_dir / part.source.name)
        full = self.config.shard_megabytes * 1e6
        total, number = Tally(), 0

        def new_shard() -> ReadShard:
            name = f"{part.shard}-{number:05d}"
            return ReadShard(folder, name, part.source, part.name, str(part.file or part.name))

        shard = new_shard()
        try:
            for row in rows:
                shard.add(row)
                if shard.tally.bytes_in >= full:
                    shard.close()
                    total += shard.tally
                    self._judge(part, total)
                    number += 1
                    shard = new_shard()
            shard.close()
        except BaseException:
            shard.discard()
            raise
        total += shard.tally
        self._judge(part, total)
        return total

    def _judge(self, part: Part, tally: Tally) -> None:
        """Stop if what was set aside is too much even for the whole source, as far as is known.

        One bad file among many does not stop a run.
        """
        if not _too_much(tally, self.config, _ROWS_TO_JUDGE):
            return
        parts = parts_of(part.source, self.config)
        seen = [part]
        for other in parts:
            if other != part and self._marker(other).is_file():
                seen.append(other)
                tally += Tally(**json.loads(self._marker(other).read_text(encoding="utf-8")))
        share = sum(p.size for p in seen) / sum(p.size for p in parts)
        check_set_aside(self.output_dir / part.source.name, tally, self.config, share=share)


def _too_much(tally: Tally, config: ReadConfig, least: int, share: float = 1) -> bool:
    # Empty documents are no sign of a wrong setting.
    empty = tally.reasons.get("empty", {}).get("documents", 0)
    rows, aside = tally.documents_in - empty, tally.documents_rejected - empty
    return rows >= least and aside > config.max_set_aside * rows / share


def check_set_aside(
    folder: Path, tally: Tally, config: ReadConfig, whole: bool = False, share: float = 1
) -> None:
    """Stop when too much of a source cannot be read.

    Args:
        folder: `<output_dir>/read/<source>`.
        tally: of what was read so far.
        config: with the bound.
        whole: that was all of it, however little.
        share: of the source that was read so far, by size.

    Raises:
        RecipeError: more rows were set aside than `max_set_aside` allows of the source, empty ones
            not counted.
    """
    if not _too_much(tally, config, 1 if whole else _ROWS_TO_JUDGE, share):
        return
    reasons = ", ".join(f"{reason} {n['documents']:,}" for reason, n in tally.reasons.items())
    so_far = "" if share == 1 else f" so far, in {share:.1%} of the source"
    raise RecipeError(
        f"{folder}: {tally.documents_rejected:,} of {tally.documents_in:,} rows could not be read"
        f"{so_far} ({reasons}), more than read.max_set_aside={config.max_set_aside:g} of all rows. "
        f"They are in {folder / 'rejected'}, with file and offset; mend the files, or raise the "
        "bound"
    )


def _follow(progress: Progress) -> Callable[[int], None]:
    last = 0

    def update(position: int) -> None:
        nonlocal last
        progress.update(position - last)
        last = position

    return update
