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


class _Records(ArchiveIterator):
    """warcio takes a gzip member that cannot be unpacked for the end of the file."""

    whole = True

    def close(self) -> None:
        if self.reader and self.reader.decompressor:
            self.whole = self.reader.decompressor.eof
        super().close()


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
        records = _Records(file)
        cut_short = False
        try:
            for item in _read_records(records, limit, lambda: progress(file.tell())):
                cut_short = isinstance(item, SetAside) and item.reason == "truncated"
                yield item
            damage = None if records.whole and not file.read(1) else "what follows is no record"
        except _Broken as error:
            damage = str(error)
        if damage and not cut_short:  # a record that ends with the archive has said so
            length = path.stat().st_size - records.offset
            detail = f"the archive ends early or is damaged ({damage})"
            yield SetAside(records.offset, length, "truncated", detail)


def _read_records(records: _Records, limit: int, progress: Callable[[], None]) -> Reading:
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
        elif not record.rec_headers.get_header("WARC-Type"):
            yield SetAside(place, length, "corrupt_file", "a record that does not say its type")
        elif wanted and length > limit:
            detail = f"a record of {length:,} bytes, at most {limit:,} are read"
            yield SetAside(place, length, "too_long", detail)
        elif wanted:
            text = decoded(data, place, "record")
            if isinstance(text, str):
                fields = {"url": record.rec_headers.get_header("WARC-Target-URI")}
                text = to_row(text, fields, place, limit, length)
            yield text
