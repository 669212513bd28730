"""Lines and paragraphs: repeated ones (Gopher, FineWeb), bullets, ellipses, terminal marks.

The rules are those of datatrove's `GopherRepetitionFilter`, `GopherQualityFilter` and
`FineWebQualityFilter`, which each mean something else by a line:

- repetition: between runs of line feeds, and so without blank ones except at the two ends;
- bullets and ellipses: as `str.splitlines` cuts them;
- terminal marks, short and repeated lines of FineWeb: between line feeds, blank ones left out.

Rows of tables and points of lists are ours, and counted as bullets are.
"""

from enum import IntEnum

import numpy as np

from ..text.kernels import kernel
from ..text.words import GOLDEN, SEED, decode, mix
from .characters import BREAK, CLOSING, POINT, SPACE, TERMINAL, character_table, head

_TAB, _LINE_FEED, _RETURN, _BLANK, _FULL_STOP, _HASH, _HYPHEN = (
    0x09,
    0x0A,
    0x0D,
    0x20,
    0x2E,
    0x23,
    0x2D,
)
_BULLET, _ELLIPSIS, _PIPE = 0x2022, 0x2026, 0x7C
# Bytes with which a line break begins that is no line feed: 1 alone, 2 perhaps.
_ODD_BREAKS = np.zeros(256, np.uint8)
_ODD_BREAKS[[0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E]] = 1
_ODD_BREAKS[[0xC2, 0xE2]] = 2  # U+0085; U+2028 and U+2029
_NO_BREAK = 0xA0
_AFTER_NUMBERS = (_FULL_STOP, 0x29, _BLANK, _NO_BREAK)
# FineWebQualityFilter's `short_line_length`.
SHORT_LINE = 30


class Line(IntEnum):
    """Rows of what `count_lines` returns."""

    CHARACTERS = 0
    LINE_FEEDS = 1
    PARAGRAPHS = 2
    DUPLICATE_PARAGRAPHS = 3
    DUPLICATE_PARAGRAPH_CHARACTERS = 4
    LINES = 5  # Gopher repetition
    DUPLICATE_LINES = 6
    DUPLICATE_LINE_CHARACTERS = 7
    FILLED_LINES = 8  # FineWeb
    TERMINAL_LINES = 9
    SHORT_LINES = 10
    DUPLICATE_FILLED_CHARACTERS = 11
    SPLIT_LINES = 12  # Gopher quality
    BULLET_LINES = 13
    ELLIPSIS_LINES = 14
    HASHES = 15
    ELLIPSES = 16
    TABLE_LINES = 17
    POINT_LINES = 18


_ROWS = len(Line)


def count_lines(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Counts of every document.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].

    Returns:
        int64 [len(Line), documents].
    """
    longest = int(np.diff(offsets).max(initial=0))
    return _count(data, offsets, character_table(), 1 << max(4, (2 * longest + 3).bit_length()))


@kernel(inline="always")
def _seen(
    key: np.uint64, owner: int, keys: np.ndarray, owners: np.ndarray, mask: np.uint64
) -> bool:
    key = mix(key)
    place = key & mask
    while owners[place] == owner and keys[place] != key:
        place = (place + np.uint64(1)) & mask
    if owners[place] == owner:
        return True
    owners[place] = owner
    keys[place] = key
    return False


@kernel
def _edges(data: np.ndarray, at: int, end: int, table: np.ndarray) -> tuple[int, int]:
    """What `str.strip` leaves, in bytes; nothing: (end, end)."""
    while at < end:
        point, following = decode(data, at, end)
        if not table[point] & SPACE:
            break
        at = following
    while end > at:
        last = head(data, at, end)
        if not table[decode(data, last, end)[0]] & SPACE:
            break
        end = last
    return at, end


@kernel
def _marks(
    data: np.ndarray, at: int, end: int, gaps: bool, table: np.ndarray
) -> tuple[int, int, int, int]:
    """Whether a line has a bullet, ends in an ellipsis, is a row of a table, a point of a list.

    It is not looked through for columns unless it may have `gaps`.
    """
    at, end = _edges(data, at, end, table)
    if at == end:
        return 0, 0, 0, 0
    first, after = decode(data, at, end)
    last = decode(data, head(data, at, end), end)[0]
    stops = 0
    while stops < 3 and end - stops > at and data[end - stops - 1] == _FULL_STOP:
        stops += 1
    bullet, ellipsis = first == _BULLET or first == _HYPHEN, stops == 3 or last == _ELLIPSIS
    row = first == _PIPE or gaps and _columns(data, at, end, table)
    point = table[first] & POINT != 0 or _is_numbered(data, at, after, end)
    return int(bullet), int(ellipsis), int(row), int(point)


@kernel
def _is_numbered(data: np.ndarray, at: int, after: int, end: int) -> bool:
    """Whether a line begins with the number of a point, or an amount: "3.", "175 g"."""
    while at < end and at <= after + 1 and 0x30 <= data[at] <= 0x39:
        at += 1
    return after <= at < end - 1 and decode(data, at, end)[0] in _AFTER_NUMBERS


@kernel
def _columns(data: np.ndarray, at: int, end: int, table: np.ndarray) -> bool:
    """Whether two tabs or wide gaps, of three blanks or of two within a sentence, part a line."""
    gaps = blanks = 0
    tab = closed = False
    while at < end:
        point, at = decode(data, at, end)
        if point == _TAB:
            tab = True
        elif point == _BLANK or point == _NO_BREAK:
            blanks += 1
        else:
            gaps += tab or blanks > 2 or blanks == 2 and not closed
            blanks, tab, closed = 0, False, table[point] & CLOSING != 0
    return gaps > 1


@kernel
def _split_lines(
    data: np.ndarray, at: int, end: int, last: bool, table: np.ndarray
) -> tuple[int, int, int, int, int]:
    """Lines that `str.splitlines` cuts a line into, and how many have which marks (`_marks`).

    The line has a line feed behind it, or is the `last` of its text.
    """
    lines = bullets = ellipses = rows = points = 0
    start, broken_by = at, 0
    while at < end:
        here = at
        point, at = decode(data, at, end)
        if table[point] & BREAK:
            own = _marks(data, start, here, True, table)
            lines, bullets, ellipses = lines + 1, bullets + own[0], ellipses + own[1]
            rows, points = rows + own[2], points + own[3]
            start, broken_by = at, point
    # Nothing between a return and a line feed, or before the end of the text, is no line.
    if start < end or not last and broken_by != _RETURN:
        own = _marks(data, start, end, True, table)
        lines, bullets, ellipses = lines + 1, bullets + own[0], ellipses + own[1]
        rows, points = rows + own[2], points + own[3]
    return lines, bullets, ellipses, rows, points


@kernel
def _paragraphs(
    data: np.ndarray,
    at: int,
    end: int,
    owner: int,
    keys: np.ndarray,
    owners: np.ndarray,
    mask: np.uint64,
) -> tuple[int, int, int]:
    """Number of paragraphs of stripped text, of those seen before, and characters of the latter."""
    count = duplicates = duplicate_characters = 0
    while True:
        value, characters = SEED, 0
        while at < end:
            byte = data[at]
            if byte == _LINE_FEED and at + 1 < end and data[at + 1] == _LINE_FEED:
                break
            value = (value ^ np.uint64(byte)) * GOLDEN
            characters += byte & 0xC0 != 0x80
            at += 1
        count += 1
        if _seen(value, owner, keys, owners, mask):
            duplicates += 1
            duplicate_characters += characters
        if at == end:
            return count, duplicates, duplicate_characters
        while data[at] == _LINE_FEED:  # the text is stripped: it does not end in one
            at += 1


@kernel
def _scan(
    data: np.ndarray, at: int, limit: int
) -> tuple[int, np.uint64, int, bool, bool, int, int]:
    """A line: its end, hash, characters, whether it may have odd breaks, and gaps between columns;
    number signs, ellipses."""
    value, characters, odd, gaps, hashes, ellipses, run = SEED, 0, False, False, 0, 0, 0
    before = 0
    while at < limit:
        byte = data[at]
        if byte == _LINE_FEED:
            break
        value = (value ^ np.uint64(byte)) * GOLDEN
        characters += byte & 0xC0 != 0x80
        odd |= _ODD_BREAKS[byte] == 1
        gaps |= byte == _TAB or byte == _BLANK and before == _BLANK
        before = byte
        if byte == _FULL_STOP:
            run += 1
        elif run:
            ellipses += run // 3
            run = 0
        if byte == _HASH:
            hashes += 1
        elif _ODD_BREAKS[byte] == 2:
            point = decode(data, at, limit)[0]
            ellipses += point == _ELLIPSIS
            odd |= point == 0x85 or point == 0x2028 or point == 0x2029
            gaps |= point == _NO_BREAK
        at += 1
    return at, value, characters, odd, gaps, hashes, ellipses + run // 3


@kernel
def _count(data: np.ndarray, offsets: np.ndarray, table: np.ndarray, size: int) -> np.ndarray:
    documents = len(offsets) - 1
    counts = np.zeros((documents, _ROWS), np.int64)
    keys = np.empty(size, np.uint64)
    owners = np.zeros(size, np.int64)
    for document in range(documents):
        own = counts[document]
        start, end = offsets[document], offsets[document + 1]
        feeds = 0
        for i in range(start, end):
            feeds += data[i] == _LINE_FEED
        room = 16
        while room < 2 * (feeds + 2):
            room *= 2
        mask = np.uint64(room - 1)
        first, last = _edges(data, start, end, table)
        paragraphs = _paragraphs(data, first, last, 2 * document + 1, keys, owners, mask)
        own[Line.PARAGRAPHS], own[Line.DUPLICATE_PARAGRAPHS] = paragraphs[0], paragraphs[1]
        own[Line.DUPLICATE_PARAGRAPH_CHARACTERS] = paragraphs[2]
        own[Line.LINE_FEEDS] = own[Line.CHARACTERS] = feeds
        at = start
        while True:
            stop, value, characters, odd, gaps, hashes, ellipses = _scan(data, at, end)
            over = stop == end
            own[Line.CHARACTERS] += characters
            own[Line.HASHES] += hashes
            own[Line.ELLIPSES] += ellipses
            # An empty line counts at the two ends of the text alone.
            if characters or at == start or over:
                own[Line.LINES] += 1
                seen = _seen(value, 2 * document + 2, keys, owners, mask)
                if seen:
                    own[Line.DUPLICATE_LINES] += 1
                    own[Line.DUPLICATE_LINE_CHARACTERS] += characters
                filled = _edges(data, at, stop, table)
                if filled[0] < filled[1]:
                    own[Line.FILLED_LINES] += 1
                    ending = decode(data, head(data, at, stop), stop)[0]
                    own[Line.TERMINAL_LINES] += table[ending] & TERMINAL != 0
                    own[Line.SHORT_LINES] += characters <= SHORT_LINE
                    if seen:
                        own[Line.DUPLICATE_FILLED_CHARACTERS] += characters
            if odd:
                split = _split_lines(data, at, stop, over, table)
                lines, bullets, ellipsis_lines, rows, points = split
            else:
                lines = 1 if characters or not over else 0
                bullets, ellipsis_lines, rows, points = _marks(data, at, stop, gaps, table)
            own[Line.SPLIT_LINES] += lines
            own[Line.BULLET_LINES] += bullets
            own[Line.ELLIPSIS_LINES] += ellipsis_lines
            own[Line.TABLE_LINES] += rows
            own[Line.POINT_LINES] += points
            if over:
                break
            at = stop + 1
    return counts.T
