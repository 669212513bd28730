"""Rows of raw text files, and those that cannot be read, with where they are.

JSONL (.gz, .zst), Parquet, plain text, WET archives (text extracted from WARC), and Hub data sets.
Nothing here stops at a bad row: it comes out as `SetAside`, and reading goes on.
"""

import glob
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import RecipeError

_JSONL = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_WET = (".warc.wet", ".warc.wet.gz")
_WARC = (".warc", ".warc.gz")
SUFFIXES = (*_JSONL, ".parquet", ".txt", *_WET)
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_HUB = "hub://"
_BOM = b"\xef\xbb\xbf"
# Read at a time. What a damaged archive still holds of its last piece is lost, so it is small.
_PIECE = 256 * 2**10
_SAMPLE = 200  # characters of a bad row that are kept to look at
# Rows without the text column after which it is the column's name that is wrong, not the rows.
_ROWS_WITHOUT_COLUMN = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A document.

    Attributes:
        place: byte offset (JSONL, WET) or row number (Parquet, Hub) in its file.
        text: not empty, valid Unicode without NUL.
        metadata: the row's other fields, as JSON.
    """

    place: int
    text: str
    metadata: str = "{}"


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was not a document.

    Attributes:
        place: as in `Row`; where it begins.
        length: bytes, or rows of a Parquet file; 0 if that is not known.
        reason: one of broken_json, not_an_object, no_text, not_text, empty, invalid_utf8, nul,
            lone_surrogate, too_long, truncated, corrupt_file.
        detail: a sentence.
        sample: its beginning, at most 200 characters.
    """

    place: int
    length: int
    reason: str
    detail: str
    sample: str = ""


Reading = Iterator[Row | SetAside]


def resolve_files(path: str) -> list[Path]:
    """Files behind a path: a file, a directory (searched recursively) or a glob, sorted.

    Raises:
        RecipeError: nothing there, or a file of a kind that no reader knows.
    """
    root = Path(path)
    if root.is_dir():
        found = (p for p in sorted(root.rglob("*")) if p.is_file())
        files = [p for p in found if p.name.endswith((*SUFFIXES, *_WARC))]
    elif root.is_file():
        files = [root]
    else:
        files = [Path(p) for p in sorted(glob.glob(path, recursive=True))]
    if not files:
        raise RecipeError(f"{path}: no such file, or no {', '.join(SUFFIXES)} in that directory")
    for file in files:
        if file.name.endswith(_WARC):
            raise RecipeError(
                f"{file}: a WARC file holds web pages as they were sent; take the .warc.wet files, "
                "which hold their text, or extract it first, e.g. with datatrove's Trafilatura"
            )
        if not file.name.endswith(SUFFIXES):
            raise RecipeError(f"{file}: unknown file type, expected {', '.join(SUFFIXES)}")
    return files


def _sample(data: bytes | str) -> str:
    text = data if isinstance(data, str) else data[: 4 * _SAMPLE].decode("utf-8", "replace")
    return text[:_SAMPLE].encode("utf-8", "replace").decode()


def _bad_text(text: Any, place: int, length: int, limit: int) -> SetAside | None:
    """Why a value is not a document, if it is not."""
    if text is None:
        return SetAside(place, length, "no_text", "the text is null")
    if not isinstance(text, str):
        detail = f"the text is a {type(text).__name__}"
        return SetAside(place, length, "not_text", detail, _sample(str(text)))
    if not text.strip():
        return SetAside(place, length, "empty", "no characters but white space")
    if "\0" in text:
        detail = f"a NUL at character {text.index(chr(0))}"
        return SetAside(place, length, "nul", detail, _sample(text))
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        detail = f"half a surrogate pair at character {error.start}"
        return SetAside(place, length, "lone_surrogate", detail, _sample(text))
    if size > limit:
        detail = f"{size:,} bytes of text, at most {limit:,} are read"
        return SetAside(place, length, "too_long", detail, _sample(text))
    return None


def _json(values: dict[str, Any]) -> str:
    try:
        return orjson.dumps(values, default=str).decode()
    except orjson.JSONEncodeError:  # whole numbers beyond 64 bits, lone surrogates
        return json.dumps(values, default=str)


def _lines(
    path: Path, limit: int, progress: Callable[[int], None]
) -> Iterator[tuple[int, bytes] | SetAside]:
    """Lines with their offsets, in the text after decompression.

    Memory holds one line and one piece: the rest of a line beyond the limit is passed over.
    """
    compression = _COMPRESSIONS.get(path.suffix)
    start, rest, skipped = 0, b"", 0
    with pa.OSFile(str(path)) as file:
        stream = pa.CompressedInputStream(file, compression) if compression else file
        while True:
            try:
                piece = stream.read(_PIECE)
            except (OSError, pa.ArrowException) as error:
                detail = f"the archive ends early or is damaged ({error})"
                yield SetAside(start, len(rest) + skipped, "truncated", detail, _sample(rest))
                return
            progress(file.tell())
            if not piece:
                break
            head, *lines = piece.split(b"\n")
            rest += head
            for line in lines:
                if skipped or len(rest) > limit:
                    yield _too_long(start, len(rest) + skipped, limit, rest)
                else:
                    yield start, rest
                start += len(rest) + skipped + 1
                rest, skipped = line, 0
            if len(rest) > limit:
                skipped += len(rest) - _SAMPLE
                rest = rest[:_SAMPLE]
    if skipped:
        yield _too_long(start, len(rest) + skipped, limit, rest)
    elif rest:
        yield start, rest
    elif compression and not start and not path.stat().st_size:
        yield SetAside(0, 0, "truncated", "an archive of no bytes")


def _too_long(start: int, length: int, limit: int, head: bytes) -> SetAside:
    detail = f"a line of {length:,} bytes, at most {limit:,} are read"
    return SetAside(start, length, "too_long", detail, _sample(head))


def _parse(line: bytes, place: int) -> Any:
    """The JSON of a line, or why there is none."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        # Python's own takes what orjson does not (NaN), and tells broken text from broken JSON.
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 at byte {place + error.start}"
        return SetAside(place, len(line), "invalid_utf8", detail, _sample(line))
    except (json.JSONDecodeError, RecursionError) as error:
        return SetAside(place, len(line), "broken_json", str(error), _sample(line))


def _read_jsonl(path: Path, column: str, limit: int, progress: Callable[[int], None]) -> Reading:
    for item in _lines(path, limit, progress):
        if isinstance(item, SetAside):
            yield item
            continue
        place, line = item
        if place == 0:
            line = line.removeprefix(_BOM)
        if not line.strip():
            continue  # a blank line between rows is no document
        row = _parse(line, place)
        if isinstance(row, SetAside):
            yield row
        elif not isinstance(row, dict):
            detail = f"expected a JSON object, got {type(row).__name__}"
            yield SetAside(place, len(line), "not_an_object", detail, _sample(line))
        elif column not in row:
            detail = f"no column {column!r}; columns are {', '.join(map(repr, row))}"
            yield SetAside(place, len(line), "no_text", detail, _sample(line))
        else:
            text = row.pop(column)
            yield _bad_text(text, place, len(line), limit) or Row(place, text, _json(row))


def _read_parquet(path: Path, column: str, limit: int, progress: Callable[[int], None]) -> Reading:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        yield SetAside(0, 0, "corrupt_file", f"not a Parquet file, or damaged ({error})")
        return
    with file:
        names = file.schema_arrow.names
        if column not in names:
            raise RecipeError(
                f"{path}: no column {column!r}; columns are {', '.join(map(repr, names))}. Name "
                "the text column with text_column"
            )
        place, size = 0, path.stat().st_size
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            try:
                for batch in file.iter_batches(batch_size=1000, row_groups=[group]):
                    for row in batch.to_pylist():
                        text = row.pop(column)
                        length = len(text) if isinstance(text, str) else 0
                        yield _bad_text(text, place, length, limit) or Row(place, text, _json(row))
                        place, rows = place + 1, rows - 1
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                detail = f"{rows:,} rows of row group {group} cannot be read ({error})"
                yield SetAside(place, rows, "corrupt_file", detail)
                place += rows
            progress(size * (group + 1) // file.num_row_groups)


def _read_text(path: Path, limit: int) -> Reading:
    size = path.stat().st_size
    if size > limit:
        detail = f"a file of {size:,} bytes, at most {limit:,} are read"
        yield SetAside(0, size, "too_long", detail)
        return
    data = path.read_bytes().removeprefix(_BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 at byte {error.start}"
        yield SetAside(0, size, "invalid_utf8", detail, _sample(data))
        return
    yield _bad_text(text, 0, size, limit) or Row(0, text)


def _read_wet(path: Path, limit: int, progress: Callable[[int], None]) -> Reading:
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    place = 0
    with path.open("rb") as file:
        records = ArchiveIterator(file)
        try:
            for record in records:
                if record.rec_type != "conversion":
                    continue
                # As announced: only so much is read, however long the record is.
                length = int(record.rec_headers.get_header("Content-Length") or 0)
                data = record.content_stream().read() if length <= limit else b""
                place = records.get_record_offset()  # passes over what was not read
                progress(file.tell())
                if length > limit:
                    detail = f"a record of {length:,} bytes, at most {limit:,} are read"
                    yield SetAside(place, length, "too_long", detail)
                    continue
                if len(data) < length:
                    detail = f"a record of {length:,} bytes ends after {len(data):,}"
                    yield SetAside(place, length, "truncated", detail, _sample(data))
                    continue
                try:
                    text = data.decode("utf-8")
                except UnicodeDecodeError as error:
                    detail = f"not UTF-8 at byte {error.start} of the record"
                    yield SetAside(place, length, "invalid_utf8", detail, _sample(data))
                    continue
                url = record.rec_headers.get_header("WARC-Target-URI")
                yield _bad_text(text, place, length, limit) or Row(place, text, _json({"url": url}))
        except (ArchiveLoadFailed, EOFError, OSError, ValueError) as error:
            yield SetAside(place, 0, "truncated", f"ends early or is damaged ({error})")


def _hub_name(path: str) -> tuple[str, str | None, str, str | None]:
    name, _, options = path.removeprefix(_HUB).partition(":")
    config, _, split = options.partition(":")
    name, _, revision = name.partition("@")
    return name, config or None, split or "train", revision or None


def read_hub(path: str, column: str, limit: int, rank: int = 0, world_size: int = 1) -> Reading:
    """One part of a Hub data set, streamed.

    Args:
        path: `hub://owner/name[@revision][:config[:split]]`.
        column: with the text.
        limit: longest document, in bytes.
        rank: which part.
        world_size: number of parts.

    Raises:
        RecipeError: the data set cannot be had, or has no such column.
    """
    from datasets import load_dataset

    name, config, split, revision = _hub_name(path)
    try:
        rows = load_dataset(name, config, split=split, streaming=True, revision=revision)
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{path}: cannot be read from the Hub ({error}). Check the name, the network, and, for "
            "a gated data set, that its terms are accepted and `hf auth login` was done"
        ) from error
    if world_size > 1 and rows.num_shards >= world_size:
        rows, step = rows.shard(num_shards=world_size, index=rank), 1
    else:
        # Fewer files on the Hub than parts: each part reads all and keeps its turn.
        step = world_size
    for place, row in enumerate(rows):
        if step > 1 and place % step != rank:
            continue
        if column not in row:
            raise RecipeError(
                f"{path}: no column {column!r}; columns are {', '.join(map(repr, row))}. Name the "
                "text column with text_column"
            )
        text = row.pop(column)
        yield _bad_text(text, place, 0, limit) or Row(place, text, _json(row))


def read_file(
    path: Path, column: str, limit: int, progress: Callable[[int], None] = lambda position: None
) -> Reading:
    """Everything in a file.

    Args:
        path: of a type in `SUFFIXES`.
        column: column or JSON key with the text; unused for plain text and WET.
        limit: longest document or line, in bytes.
        progress: told how far the file has been read, in bytes on disk.

    Raises:
        RecipeError: a Parquet file without the column, or a JSONL file none of whose first 100
            rows has it.
    """
    if path.name.endswith(_JSONL):
        yield from _with_column(_read_jsonl(path, column, limit, progress), path, column)
    elif path.name.endswith(".parquet"):
        yield from _read_parquet(path, column, limit, progress)
    elif path.name.endswith(_WET):
        yield from _read_wet(path, limit, progress)
    else:
        yield from _read_text(path, limit)


def _with_column(rows: Reading, path: Path, column: str) -> Reading:
    waiting: list[SetAside] = []
    for row in rows:
        if not isinstance(row, SetAside) or row.reason != "no_text":
            yield from waiting
            yield row
            yield from rows
            return
        waiting.append(row)
        if len(waiting) == _ROWS_WITHOUT_COLUMN:
            break
    if waiting:
        raise RecipeError(f"{path}: {waiting[0].detail}. Name the text column with text_column")


def read_texts(path: str, text_column: str = "text", limit: int = 50_000_000) -> Iterator[str]:
    """Texts of a source, streamed; what is not a document is passed over.

    Args:
        path: file, directory or glob; or `hub://owner/name[@revision][:config[:split]]`.
        text_column: column (or JSON key) that holds the text.
        limit: longest document, in bytes.

    Raises:
        RecipeError: missing file, unknown type, no such column.
    """
    if path.startswith(_HUB):
        parts = [read_hub(path, text_column, limit)]
    else:
        parts = (read_file(file, text_column, limit) for file in resolve_files(path))
    for part in parts:
        for row in part:
            if isinstance(row, Row):
                yield row.text
