"""JSON lines, plain, gzip or zstd, and arrays of the same rows (`alpaca_data.json`)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from .rows import BOM, Follow, Form, Reading, SetAside, decoded, row_of, sample

ARRAY_SUFFIX = ".json"
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ARRAY_SUFFIX)
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_PIECE = 256 * 2**10  # bytes read at a time
_HEAD = 1000  # bytes of a line that is too long which are kept
_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


class _Damaged(Exception):
    """An archive from which no more can be had."""


def _plain(file: BinaryIO, begin: int, progress: Follow) -> Iterator[bytes]:
    file.seek(begin)
    while piece := file.read(_PIECE):
        progress(file.tell())
        yield piece


def _unpacked(path: Path, compression: str, progress: Follow) -> Iterator[bytes]:
    """What is in an archive.

    Raises:
        _Damaged: after all that can be read of it.
    """
    if not path.stat().st_size:
        raise _Damaged("it has no bytes")
    read = 0
    with pa.OSFile(str(path)) as file:
        stream = pa.CompressedInputStream(file, compression)
        try:
            while piece := stream.read(_PIECE):
                read += len(piece)
                progress(file.tell())
                yield piece
            return
        except (OSError, pa.ArrowException) as error:
            if getattr(error, "errno", None):
                raise  # the disk, not the archive
            damage = str(error)
    last = bytearray()
    with pa.OSFile(str(path)) as file:
        # Arrow drops the piece in which it failed: go there once more, and on byte by byte.
        stream = pa.CompressedInputStream(file, compression)
        while read:
            read -= len(stream.read(min(read, _PIECE)))
        try:
            while len(last) < _PIECE and (byte := stream.read(1)):
                last += byte
        except (OSError, pa.ArrowException):
            pass  # the same damage
    if last:
        yield bytes(last)
    raise _Damaged(damage)


def _lines(
    pieces: Iterator[bytes], limit: int, start: int = 0
) -> Iterator[tuple[int, bytes] | SetAside]:
    """Lines with their offsets, in the text after decompression.

    Memory holds one line and one piece: of a line beyond the limit, only the head is kept.
    """
    held: list[bytes] = []
    size = 0
    while True:
        try:
            piece = next(pieces, b"")
        except _Damaged as error:
            detail = f"the archive ends early or is damaged ({error})"
            yield SetAside(start, size, "truncated", detail, sample(b"".join(held)))
            return
        if not piece:
            break
        head, *lines = piece.split(b"\n")
        held.append(head)
        size += len(head)
        if lines:
            yield _line(start, size, held, limit)
            start += size + 1
            last = lines.pop()
            for line in lines:
                yield (start, line) if len(line) <= limit else _too_long(start, len(line), line)
                start += len(line) + 1
            held, size = [last], len(last)
        if size > limit:
            held = [b"".join(held)[:_HEAD]]
    if size:
        yield _line(start, size, held, limit)


def _line(start: int, size: int, held: list[bytes], limit: int) -> tuple[int, bytes] | SetAside:
    line = b"".join(held)
    return (start, line) if size <= limit else _too_long(start, size, line)


def _too_long(start: int, size: int, head: bytes) -> SetAside:
    detail = f"a line of {size:,} bytes, more than read.max_document_megabytes allows"
    return SetAside(start, size, "too_long", detail, sample(head))


def _parse(line: bytes, place: int) -> Any:
    """The JSON of a line that orjson does not take, or why there is none."""
    try:
        # Python's own takes more (NaN), and tells broken text from broken JSON.
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 at byte {place + error.start} of the file"
        return SetAside(place, len(line), "invalid_utf8", detail, sample(line))
    except (ValueError, RecursionError) as error:
        return SetAside(place, len(line), "broken_json", str(error), sample(line))


def _first_line(file: BinaryIO, begin: int, end: int) -> int:
    """Where the first line that begins in a range of bytes does; `end` if none does."""
    if begin == 0:
        return 0
    file.seek(begin - 1)
    while file.tell() < end:
        if file.readline(_PIECE).endswith(b"\n"):
            return file.tell()
    return end


def lines_of(
    path: Path,
    limit: int,
    progress: Follow = lambda position: None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[int, bytes] | SetAside]:
    """Lines of a JSONL file with their offsets, not parsed; arguments as in `parse_lines`."""
    if compression := _COMPRESSIONS.get(path.suffix):
        yield from _lines(_unpacked(path, compression, progress), limit)
        return
    index, count = share
    size = path.stat().st_size
    begin, end = (size * i // count for i in (index, index + 1))
    with path.open("rb") as file:
        start = _first_line(file, begin, end)
        if start >= end:
            return
        pieces = _plain(file, start, lambda position: progress(min(position, end) - begin))
        lines = _lines(pieces, limit, start)
        if end == size:
            yield from lines
            return
        for item in lines:
            if (item.place if isinstance(item, SetAside) else item[0]) >= end:
                return
            yield item


def is_array(path: Path) -> bool:
    """Whether a file is one JSON array; another `.json` holds JSON lines."""
    if not path.name.endswith(ARRAY_SUFFIX):
        return False
    with path.open("rb") as file:
        return file.read(1000).removeprefix(BOM).lstrip()[:1] == b"["


def array_rows(path: Path) -> Iterator[tuple[int, int, Any] | SetAside]:
    """Elements of an array, read whole: byte offset, length in bytes, and value.

    One that cannot be parsed hides those behind it, so it is the last.
    """
    data = path.read_bytes()
    text = decoded(data, 0, "file")
    if isinstance(text, SetAside):
        yield text
        return
    at, offset = 0, 0  # characters, and the bytes that they take

    def move(to: int) -> None:
        nonlocal at, offset
        offset += len(text[at:to].encode())
        at = to

    def past_blanks() -> int:
        end = at
        while end < len(text) and text[end] in _BLANK:
            end += 1
        return end

    move(text.index("[") + 1)
    expected = "a value"
    while True:
        move(past_blanks())
        if text[at : at + 1] == "]" and not text[at + 1 :].strip():
            return
        if expected == "a comma":
            if text[at : at + 1] == ",":
                move(at + 1)
                expected = "a value"
                continue
            break
        start = offset
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        move(end)
        yield start, offset - start, value
        expected = "a comma"
    if at >= len(text):
        yield SetAside(offset, 0, "truncated", "the array ends early")
    else:
        detail = f"{expected} of the array was expected; what follows is not read"
        rest = text[at : at + 1000]
        yield SetAside(offset, len(data) - offset, "broken_json", detail, sample(rest))


def _no_object(place: int, length: int, value: Any) -> SetAside:
    detail = f"expected a JSON object, got {type(value).__name__}"
    return SetAside(place, length, "not_an_object", detail, sample(repr(value)))


def parse_lines(
    path: Path,
    limit: int,
    progress: Follow = lambda position: None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[int, int, dict[str, Any]] | SetAside]:
    """Rows of a JSONL file or of a JSON array: offset, length in bytes, and fields.

    Args:
        path: the file.
        limit: longest line, in bytes.
        progress: told how far it has been read.
        share: index and number of the shares that a file which is not compressed is read in; a
            line belongs to the one it begins in.
    """
    if is_array(path):
        for element in array_rows(path):
            if not isinstance(element, SetAside):
                if element[1] > limit:
                    element = _too_long(*element[:2], repr(element[2])[:_HEAD].encode())
                elif not isinstance(element[2], dict):
                    element = _no_object(*element)
            yield element
        return
    for item in lines_of(path, limit, progress, share):
        if isinstance(item, SetAside):
            yield item
            continue
        place, line = item
        if place == 0:
            line = line.removeprefix(BOM)
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            if not line.strip():
                continue  # a blank line between rows is no document
            fields = _parse(line, place)
        if isinstance(fields, dict):
            yield place, len(line), fields
        else:
            yield fields if isinstance(fields, SetAside) else _no_object(place, len(line), fields)


def read_jsonl(
    path: Path, form: Form, limit: int, progress: Follow, share: tuple[int, int]
) -> Reading:
    """Everything in a JSONL file; arguments as in `parse_lines`, and the form of the text."""
    for item in parse_lines(path, limit, progress, share):
        if isinstance(item, SetAside):
            yield item
            continue
        place, length, fields = item
        yield row_of(form, fields, place, limit, length)
