"""A shard that the reading step fills: documents, what is set aside among them, and counts."""

import time

import pyarrow as pa

from ..common.files import write_json_atomically
from ..engine.documents import BATCH_BYTES, SCHEMA, ShardWriter, text_bytes
from ..engine.steps import StepFolder, Tally, add_counts
from ..text.histograms import histogram
from .files import Row, SetAside
from .source import SourceConfig

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


class ReadShard:
    """Writes `{kept,rejected}/<name>.parquet`, and last `stats/<name>.json`.

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
        self.tally = Tally()
        self._start = time.perf_counter()
        self._source = source
        self._prefix = f"{source.name}/{input_name}"
        self._file = file
        self._stats = folder.stats(name)
        self._kept = ShardWriter(folder.kept(name), SCHEMA)
        try:
            self._aside = ShardWriter(folder.rejected(name), SET_ASIDE)
        except BaseException:
            self._kept.discard()
            raise
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
        self._waiting += _ROW_BYTES
        if self._waiting >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        rows, aside = self._rows, self._aside_rows
        columns = {
            "id": [f"{self._prefix}:{row.place}" for row in rows],
            "text": [row.text for row in rows],
            "source": [self._source.name] * len(rows),
            "language": [self._source.language] * len(rows),
            "metadata": [row.metadata for row in rows],
        }
        kept = pa.RecordBatch.from_pydict(columns, SCHEMA)
        lengths = {"kept": histogram("bytes", text_bytes(kept)), "rejected": histogram("bytes", [])}
        add_counts(self.tally.counts, {"histograms": {"length": {"bytes": lengths}}})
        self._kept.write(kept)
        columns = {
            "id": [f"{self._prefix}:{row.place}" for row in aside],
            "file": [self._file] * len(aside),
            "offset": [row.place for row in aside],
            "length": [row.length for row in aside],
            "reason": [row.reason for row in aside],
            "detail": [row.detail for row in aside],
            "sample": [row.sample for row in aside],
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
