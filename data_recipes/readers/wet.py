"""WET archives: the text that Common Crawl extracted from web pages."""

import zlib
from collections.abc import Callable
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from .rows import Follow, Reading, SetAside, decoded, sample, to_row

SUFFIXES = (".warc.wet", ".warc.wet.gz")
# warcio has no error of its own for most of what can be wrong with an archive.
_Broken = (ArchiveLoadFailed, EOFError, ValueError, AttributeError, zlib.error)


def read_wet(path: Path, limit: int, progress: Follow) -> Reading:
    """Every record of extracted text.

    Args:
        path: the archive.
        limit: longest record, in bytes.
        progress: told how far it has been read.
    """
    if not path.stat().st_size:
        yield SetAside(0, 0, "truncated", "the archive has no bytes")
        return
    with path.open("rb") as file:
        records = ArchiveIterator(file)
        try:
            yield from _read_records(records, limit, lambda: progress(file.tell()))
        except _Broken as error:
            detail = f"the archive ends early or is damaged ({error})"
            yield SetAside(records.offset, 0, "truncated", detail)


def _read_records(records: ArchiveIterator, limit: int, progress: Callable[[], None]) -> Reading:
    for record in records:
        place = records.offset
        announced = record.rec_headers.get_header("Content-Length", "")
        length = int(announced) if announced.isdecimal() else 0
        wanted = record.rec_type == "conversion"
        # As announced: only so much is read, however long the record is.
        data = record.content_stream().read() if wanted and length <= limit else b""
        records.read_to_end()
        progress()
        if not announced.isdecimal() or record.raw_stream.limit:
            yield SetAside(place, length, "truncated", "a record ends early", sample(data))
        elif wanted and length > limit:
            detail = f"a record of {length:,} bytes, at most {limit:,} are read"
            yield SetAside(place, length, "too_long", detail)
        elif wanted:
            text = decoded(data, place, "record")
            if isinstance(text, str):
                fields = {"url": record.rec_headers.get_header("WARC-Target-URI")}
                text = to_row(text, fields, place, limit, length)
            yield text
