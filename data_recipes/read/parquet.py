"""Parquet files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..common.errors import RecipeError
from .rows import Follow, Form, Reading, SetAside, row_of

# Decoded at a time: at most so many rows, of about so many bytes.
_BATCH_ROWS, _BATCH_BYTES = 1000, 4 * 2**20
_Broken = (OSError, pa.ArrowException)


def _open(path: Path) -> pq.ParquetFile:
    # By default Arrow would hold whole column chunks, up to a gigabyte.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20)


def parquet_columns(path: Path) -> list[str] | None:
    """Names of the columns; `None` if the file is damaged."""
    try:
        with _open(path) as file:
            return file.schema_arrow.names
    except _Broken as error:
        _raise_if_of_the_disk(error)
        return None


def _raise_if_of_the_disk(error: Exception) -> None:
    if getattr(error, "errno", None):
        raise error


def _to_dicts(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Exception]:
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError):
        pass  # text that is not UTF-8, dates that Python does not know: of which rows?
    for number in range(batch.num_rows):
        try:
            yield batch.slice(number, 1).to_pylist()[0]
        except (ValueError, OverflowError) as error:
            yield error


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Give the rows of a file of which none may be damaged.

    Raises:
        RecipeError: one is.
    """
    number = 0
    try:
        with _open(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                for fields in _to_dicts(batch):
                    if isinstance(fields, Exception):
                        raise RecipeError(f"{path}, row {number}: {_unreadable(fields, 0).detail}")
                    yield fields
                    number += 1
    except _Broken as error:
        _raise_if_of_the_disk(error)
        said = " ".join(str(error).split())
        raise RecipeError(f"{path}: damaged Parquet file ({said}); get it again") from error


def _unreadable(error: Exception, place: int) -> SetAside:
    if isinstance(error, UnicodeDecodeError):
        return SetAside(place, len(error.object), "invalid_utf8", f"a field is not UTF-8 ({error})")
    return SetAside(place, 0, "corrupt_file", f"a field cannot be read ({error})")


def read_parquet(
    path: Path, form: Form, limit: int, progress: Follow, share: tuple[int, int]
) -> Reading:
    """Everything in a Parquet file. Of a row group that is damaged, each row is set aside.

    Args:
        path: the file.
        form: of the text.
        limit: longest text, in bytes.
        progress: told how far it has been read.
        share: index and number of the shares that its row groups are read in.
    """
    index, count = share
    try:
        file = _open(path)
    except _Broken as error:
        _raise_if_of_the_disk(error)
        if index == 0:
            detail = f"not a Parquet file, or damaged ({error})"
            yield SetAside(0, path.stat().st_size, "corrupt_file", detail)
        return
    with file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        first, last = (len(groups) * i // count for i in (index, index + 1))
        place = sum(group.num_rows for group in groups[:first])
        size = path.stat().st_size // count
        for number in range(first, last):
            yield from _read_group(file, number, form, limit, place)
            place += groups[number].num_rows
            progress(size * (number + 1 - first) // (last - first))


def _read_group(file: pq.ParquetFile, number: int, form: Form, limit: int, place: int) -> Reading:
    group = file.metadata.row_group(number)
    end = place + group.num_rows
    size = _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
    damage = "it has fewer than it says"
    try:
        for batch in file.iter_batches(max(1, min(_BATCH_ROWS, size)), row_groups=[number]):
            for fields in _to_dicts(batch):
                if isinstance(fields, Exception):
                    yield _unreadable(fields, place)
                else:
                    yield row_of(form, fields, place, limit)
                place += 1
    except _Broken as error:
        _raise_if_of_the_disk(error)
        damage = str(error)
    for row in range(place, end):
        detail = f"row group {number} cannot be read from here on ({damage})"
        yield SetAside(row, 0, "corrupt_file", detail)
