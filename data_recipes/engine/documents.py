"""Shards of documents between the cleaning steps, and histograms of what is in them.

Shards are Parquet, read a bounded batch of rows at a time. Histograms have fixed bins, so that
those of many batches, shards and sources can be added up: a step puts them in its counts as
`counts["histograms"][statistic][scale][outcome]`, a list of numbers of documents: `statistic` is
any name, `scale` a key of `SCALES`, and `outcome` "kept" or "rejected". The scale names the bins,
so no edges have to be stored, and the report draws any histogram that follows this form.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..common.errors import RecipeError
from ..common.files import disk_full_is_an_error, publish, staging_of

# Text in one batch, in bytes, as every step sees it; a longer document is a batch of its own.
BATCH_BYTES = 4 * 2**20
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("metadata", pa.string()),
    ]
)
REJECTION = [pa.field("reason", pa.string()), pa.field("detail", pa.string())]


def text_buffers(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """The texts as kernels want them, without a copy.

    Returns:
        UTF-8 bytes, uint8 [total bytes], and where each text starts, int64 [rows + 1].
    """
    texts = batch.column("text").cast(pa.large_string())
    _, offsets, data = texts.buffers()
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    text = np.frombuffer(data or b"", np.uint8)
    # Always, not only where Arrow's buffer is: to numba, read-only arrays are a type of their own.
    text.flags.writeable = starts.flags.writeable = False
    return text, starts


def text_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """UTF-8 bytes of each text, int64 [rows]."""
    return np.diff(text_buffers(batch)[1]) if batch.num_rows else np.zeros(0, np.int64)


def reject(batch: pa.RecordBatch, reasons: list[str], details: list[str]) -> pa.RecordBatch:
    """The rows of `batch` with why they were removed: a machine-readable name and a sentence."""
    for field, values in zip(REJECTION, (reasons, details)):
        batch = batch.append_column(field, pa.array(values, field.type))
    return batch


def shard_schema(path: Path) -> pa.Schema:
    """Columns of a shard.

    Raises:
        RecipeError: not a shard, or a damaged one.
    """
    with damaged_shard_is_an_error(path):
        return pq.read_schema(path).remove_metadata()


def read_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a shard, in batches of about `BATCH_BYTES` of text.

    Raises:
        RecipeError: not a shard, or a damaged one.
    """
    with damaged_shard_is_an_error(path):
        file = pq.ParquetFile(path)
    with file:
        for group in range(file.num_row_groups):
            with damaged_shard_is_an_error(path):
                table = file.read_row_group(group, columns=columns).combine_chunks()
            yield from table.replace_schema_metadata().to_batches()


@contextmanager
def damaged_shard_is_an_error(path: Path) -> Iterator[None]:
    """Turns Arrow's errors while reading `path` into one that says what to do."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise RecipeError(
            f"{path}: missing or damaged shard ({error}); delete the directory of the step that "
            "made it, and run that step again"
        ) from error


class ShardWriter(AbstractContextManager):
    """Writes a shard that appears under its name only when whole.

    Small batches are gathered into row groups of about `BATCH_BYTES` of text. As a context
    manager it finishes on a clean exit and leaves nothing behind on an error.

    Args:
        path: the shard.
        schema: of the batches to come.

    Raises:
        RecipeError: the disk is full.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self.rows = 0
        self._temporary = staging_of(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        with disk_full_is_an_error(path):
            self._file = pq.ParquetWriter(
                self._temporary,
                schema,
                compression="zstd",
                use_dictionary=[n for n in ("source", "language", "reason") if n in schema.names],
                write_statistics=False,
            )

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if not batch.num_rows:
            return
        if batch.nbytes > BATCH_BYTES and batch.num_rows > 1:
            half = batch.num_rows // 2
            self.write(batch.slice(0, half))
            self.write(batch.slice(half))
            return
        self.rows += batch.num_rows
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            with disk_full_is_an_error(self.path):
                table = pa.Table.from_batches(self._waiting, self.schema)
                self._file.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._waiting_bytes = [], 0

    def close(self) -> None:
        """Finish the shard and give it its name."""
        self._flush()
        with disk_full_is_an_error(self.path):
            self._file.close()
            publish(self._temporary, self.path)

    def discard(self) -> None:
        """Give up: no shard, no temporary file."""
        try:
            self._file.close()
        except OSError:
            pass  # the disk is full, and what could not be written is about to be deleted
        self._temporary.unlink(missing_ok=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.close()
        except BaseException:
            self.discard()
            raise


@dataclass(frozen=True)
class Scale:
    """Bins of one kind of value. The first and the last also take what lies beyond them.

    Attributes:
        edges: ascending, float64 [bins + 1]; a value on an edge counts above it.
        unit: what the axis says.
    """

    edges: np.ndarray
    unit: str

    @property
    def bins(self) -> int:
        return len(self.edges) - 1


def _halves_of_octaves(first: int, last: int) -> np.ndarray:
    return 2.0 ** (np.arange(2 * first, 2 * last + 1) / 2)


# Our choice: fine enough that a threshold falls visibly inside a distribution.
SCALES = {
    # Shares, probabilities and scores.
    "fraction": Scale(np.linspace(0, 1, 51), "share"),
    # Lengths of texts, 16 bytes to 64 MiB.
    "bytes": Scale(_halves_of_octaves(4, 26), "bytes"),
    # Whole numbers of things (words, lines, matches): below 4 each has a bin of its own.
    "count": Scale(np.array([0, 1, 2, 3, *_halves_of_octaves(2, 24)]), "count"),
    # Means of small numbers, such as letters per word.
    "mean": Scale(np.linspace(0, 20, 81), "mean"),
}


def histogram(scale: str, values: np.ndarray) -> list[int]:
    """Numbers of values per bin, one int for each bin of the scale.

    Args:
        scale: key of `SCALES`.
        values: any numeric dtype, [n].

    Raises:
        ValueError: a value is not a number: what a statistic is where it has no meaning (a share
            of nothing) is for the step to decide.
    """
    edges = SCALES[scale].edges
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        raise ValueError(f"a histogram of values that are not numbers ({scale})")
    places = np.searchsorted(edges, values, side="right") - 1
    return np.bincount(places.clip(0, len(edges) - 2), minlength=len(edges) - 1).tolist()


def by_outcome(scale: str, values: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, list[int]]]:
    """What a step stores under `counts["histograms"][statistic]`.

    Args:
        scale: key of `SCALES`.
        values: one per document, [n].
        kept: whether the document goes on, bool [n].
    """
    return {
        scale: {
            "kept": histogram(scale, values[kept]),
            "rejected": histogram(scale, values[~kept]),
        }
    }
