"""Words by the rules of Unicode, and a hash of each: the kernel under deduplication and others.

Text is cut at the word boundaries of Unicode Standard Annex 29 (default rules WB1 to WB999, as of
Unicode 15.1 and later), which is what the published n-gram tools do. Punctuation marks are words of
their own, a Korean eojeol is one, and each Han character is one.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

import numpy as np
import regex

from .kernels import kernel

# Goes into everything stored that holds hashes of words; raise it when `split_words` changes.
HASH_VERSION = 1

# Word_Break classes, in the low bits of a table entry. The first three are those that join with
# each other in any order, so that the common case is one comparison.
_A_LETTER, _HEBREW, _NUMERIC, _KATAKANA, _EXTEND_NUM_LET = 0, 1, 2, 3, 4
_SINGLE_QUOTE, _DOUBLE_QUOTE, _MID_NUM_LET, _MID_LETTER, _MID_NUM = 5, 6, 7, 8, 9
_EXTEND, _FORMAT, _ZWJ = 10, 11, 12
_CR, _LF, _NEWLINE = 13, 14, 15
_W_SEG_SPACE, _REGIONAL, _OTHER = 16, 17, 18
_PROPERTIES = {
    "WB=ALetter": _A_LETTER,
    "WB=Hebrew_Letter": _HEBREW,
    "WB=Numeric": _NUMERIC,
    "WB=Katakana": _KATAKANA,
    "WB=ExtendNumLet": _EXTEND_NUM_LET,
    "WB=Single_Quote": _SINGLE_QUOTE,
    "WB=Double_Quote": _DOUBLE_QUOTE,
    "WB=MidNumLet": _MID_NUM_LET,
    "WB=MidLetter": _MID_LETTER,
    "WB=MidNum": _MID_NUM,
    "WB=Extend": _EXTEND,
    "WB=Format": _FORMAT,
    "WB=ZWJ": _ZWJ,
    "WB=CR": _CR,
    "WB=LF": _LF,
    "WB=Newline": _NEWLINE,
    "WB=WSegSpace": _W_SEG_SPACE,
    "WB=Regional_Indicator": _REGIONAL,
}
_CLASS, _WHITE, _PICTOGRAPHIC, WORD_LIKE = 31, 32, 64, 128
_FLAGS = {
    r"\p{White_Space}+": _WHITE,
    r"\p{Extended_Pictographic}+": _PICTOGRAPHIC,
    r"[\p{Alphabetic}\p{N}]+": WORD_LIKE,
}
_PLAIN_LETTER = _A_LETTER | WORD_LIKE
_CODE_POINTS = 0x110000
_SPACE, _ASCII = 0x20, 0x80
_SURROGATES = range(0xD800, 0xE000)

# What two classes say about a boundary between them, the first being that of the last code point
# that counts (WB4): `_PAIRS[first << 5 | second]`.
_BREAK, _JOIN, _DEPENDS = 0, 1, 2


def _pairs() -> np.ndarray:
    letters, breaks = (_A_LETTER, _HEBREW), (_CR, _LF, _NEWLINE)
    quotes = (_SINGLE_QUOTE, _MID_NUM_LET)
    in_words, in_numbers = (*quotes, _MID_LETTER), (*quotes, _MID_NUM)
    pairs = np.full((32, 32), _BREAK, np.uint8)  # WB999
    pairs[_REGIONAL, _REGIONAL] = _DEPENDS  # WB15, WB16
    words = (*letters, _NUMERIC, _KATAKANA, _EXTEND_NUM_LET)
    pairs[words, _EXTEND_NUM_LET] = _JOIN  # WB13a
    pairs[_EXTEND_NUM_LET, words] = _JOIN  # WB13b
    pairs[_KATAKANA, _KATAKANA] = _JOIN  # WB13
    pairs[np.ix_(in_numbers, [_NUMERIC])] = _DEPENDS  # WB11
    pairs[np.ix_([_NUMERIC], in_numbers)] = _DEPENDS  # WB12
    pairs[np.ix_((*letters, _NUMERIC), (*letters, _NUMERIC))] = _JOIN  # WB5, WB8, WB9, WB10
    pairs[_HEBREW, _DOUBLE_QUOTE] = pairs[_DOUBLE_QUOTE, _HEBREW] = _DEPENDS  # WB7b, WB7c
    pairs[np.ix_(letters, in_words)] = _DEPENDS  # WB6
    pairs[np.ix_(in_words, letters)] = _DEPENDS  # WB7
    pairs[_HEBREW, _SINGLE_QUOTE] = _JOIN  # WB7a
    pairs[:, (_EXTEND, _FORMAT, _ZWJ)] = _JOIN  # WB4
    pairs[_W_SEG_SPACE, _W_SEG_SPACE] = _DEPENDS  # WB3d
    pairs[breaks, :] = pairs[:, breaks] = _BREAK  # WB3a, WB3b
    pairs[_CR, _LF] = _JOIN  # WB3
    return pairs.ravel()


_PAIRS = _pairs()

# 2**64 over the golden ratio. No multiple of it by less than 2**21 comes near a multiple of 2**64,
# so two words that differ in two neighbouring characters cannot share a hash.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Where a hash of characters starts: digits of pi. Not zero, or NULs at the head would be nothing.
SEED = np.uint64(0x243F6A8885A308D3)
# Bytes a word for the first guess at the number of words; the kernel makes room for more.
_BYTES_PER_WORD = 4


@lru_cache(maxsize=1)
def word_table() -> np.ndarray:
    """Word_Break class and properties of every code point, from the `regex` package.

    Returns:
        uint8 [0x110000]: class in the low 5 bits; 32 White_Space, 64 Extended_Pictographic, 128
        letter or digit (Alphabetic or category N).
    """
    table = np.full(_CODE_POINTS, _OTHER, np.uint8)
    points = np.arange(_CODE_POINTS, dtype="<u4")
    points[_SURROGATES.start : _SURROGATES.stop] = 0
    every = points.tobytes().decode("utf-32-le")
    for name, number in _PROPERTIES.items():
        for match in regex.finditer(rf"\p{{{name}}}+", every):
            table[match.start() : match.end()] = number
    for pattern, flag in _FLAGS.items():
        for match in regex.finditer(pattern, every):
            table[match.start() : match.end()] |= flag
    table[_SURROGATES.start : _SURROGATES.stop] = _OTHER
    return table


def words_version() -> dict[str, str | int]:
    """What hashes of words depend on, to be stored beside them and compared.

    Another release of `regex` may know another version of Unicode; the digest of the table says
    whether that matters. `regex` itself is for the reader.
    """
    return {
        "hash_version": HASH_VERSION,
        "word_table": hashlib.sha256(word_table().tobytes()).hexdigest()[:16],
        "regex": version("regex"),
    }


@dataclass(frozen=True)
class Words:
    """Words of some texts, in order.

    Attributes:
        hashes: uint64 [words].
        starts: byte where each starts in the buffer, int64 [words].
        ends: byte after its last, int64 [words].
        bounds: first word of each text, int64 [texts + 1].
    """

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    bounds: np.ndarray


def split_words(data: np.ndarray, offsets: np.ndarray, word_like_only: bool = False) -> Words:
    """Words of texts, those of White_Space alone left out.

    Nothing is lower-cased or normalised: a caller who wants that does it before. Releases the GIL.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each text starts, int64 [texts + 1], as `documents.text_buffers` gives them.
        word_like_only: leave out words without a letter or a digit, such as punctuation.
    """
    return Words(*_split(data, offsets, word_table(), word_like_only))


@kernel
def mix(value: np.uint64) -> np.uint64:
    """The last step of SplitMix64 (Steele et al. 2014): every bit in changes every bit out."""
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel(inline="always")
def decode(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """The code point at a byte, and where the next one starts.

    Safe on bytes that are not UTF-8: then a byte may stand for itself.
    """
    first = np.int64(data[at])
    if first < 0x80:
        return first, at + 1
    if first >= 0xF0 and at + 3 < end:
        value = (first & 7) << 18 | (data[at + 1] & 63) << 12
        value |= (data[at + 2] & 63) << 6 | (data[at + 3] & 63)
        return min(value, _CODE_POINTS - 1), at + 4
    if 0xE0 <= first < 0xF0 and at + 2 < end:
        return (first & 15) << 12 | (data[at + 1] & 63) << 6 | (data[at + 2] & 63), at + 3
    if 0xC0 <= first < 0xE0 and at + 1 < end:
        return (first & 31) << 6 | (data[at + 1] & 63), at + 2
    return first, at + 1


@kernel
def _next_class(data: np.ndarray, at: int, end: int, table: np.ndarray) -> int:
    """Class of the next code point that counts (WB4); -1 at the end of the text."""
    while at < end:
        point, at = decode(data, at, end)
        own = table[point] & _CLASS
        if own < _EXTEND or own > _ZWJ:
            return own
    return -1


@kernel
def _joins_here(
    own: int,
    last: int,
    before: int,
    raw: int,
    odd: bool,
    data: np.ndarray,
    following: int,
    end: int,
    table: np.ndarray,
) -> bool:
    """The cases of `_PAIRS` that need more than two classes.

    `raw` is the class of the code point right before, `before` that of the one that counts before
    `last`; all are of the same word, so a rule that looks further back than that has no say.
    """
    if own == _W_SEG_SPACE:  # WB3d
        return raw == _W_SEG_SPACE
    if own == _REGIONAL:  # WB15, WB16
        return odd
    if own == _DOUBLE_QUOTE:  # WB7b
        return _next_class(data, following, end, table) == _HEBREW
    if last == _NUMERIC:  # WB12
        return _next_class(data, following, end, table) == _NUMERIC
    if last <= _HEBREW:  # WB6
        follows = _next_class(data, following, end, table)
        return follows == _A_LETTER or follows == _HEBREW
    if last == _DOUBLE_QUOTE:  # WB7c
        return before == _HEBREW
    if own == _NUMERIC:  # WB11
        return before == _NUMERIC
    return before <= _HEBREW  # WB7


@kernel
def grown(array: np.ndarray, size: int) -> np.ndarray:
    """The array with room for `size` elements; the new ones hold anything."""
    larger = np.empty(size, array.dtype)
    larger[: len(array)] = array
    return larger


@kernel
def append_words(
    data: np.ndarray,
    at: int,
    end: int,
    table: np.ndarray,
    word_like_only: bool,
    count: int,
    hashes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Words of one text, for kernels that have a use for them at once.

    Args:
        data: UTF-8, uint8.
        at: where the text starts.
        end: where it ends.
        table: `word_table()`.
        word_like_only: as for `split_words`.
        count: words that the arrays hold already.
        hashes: uint64, written from `count` on.
        starts: int64, likewise.
        ends: int64, likewise.

    Returns:
        count, and the arrays, which are new ones where the old had too little room.
    """
    while at < end:
        # Most words of white space are one space before ASCII: nothing can join it.
        if data[at] == _SPACE and at + 1 < end and _SPACE < data[at + 1] < _ASCII:
            at += 1
            continue
        start = at
        point, at = decode(data, at, end)
        entry = np.int64(table[point])
        flags = white = entry
        raw = last = entry & _CLASS
        before = _OTHER
        odd = last == _REGIONAL
        value = (SEED ^ np.uint64(point)) * GOLDEN
        # The same as below for the common case: a run of ASCII letters.
        if entry == _PLAIN_LETTER:
            while at < end:
                byte = data[at]
                if byte >= _ASCII or table[byte] != _PLAIN_LETTER:
                    break
                value = (value ^ np.uint64(byte)) * GOLDEN
                at += 1
        while at < end:
            point, following = decode(data, at, end)
            entry = np.int64(table[point])
            own = entry & _CLASS
            pair = _PAIRS[last << 5 | own]
            if pair != _JOIN:
                joins = raw == _ZWJ and entry & _PICTOGRAPHIC != 0  # WB3c
                if pair == _DEPENDS and not joins:
                    joins = _joins_here(own, last, before, raw, odd, data, following, end, table)
                if not joins:
                    break
            raw = own
            if own < _EXTEND or own > _ZWJ:
                before, last = last, own
                odd = own == _REGIONAL and not odd
            flags |= entry
            white &= entry
            value = (value ^ np.uint64(point)) * GOLDEN
            at = following
        if white & _WHITE or (word_like_only and not flags & WORD_LIKE):
            continue
        if count == len(hashes):
            hashes = grown(hashes, 2 * count)
            starts = grown(starts, 2 * count)
            ends = grown(ends, 2 * count)
        hashes[count] = mix(value)
        starts[count] = start
        ends[count] = at
        count += 1
    return count, hashes, starts, ends


@kernel
def _split(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, word_like_only: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    texts = len(offsets) - 1
    room = max(64, (offsets[texts] - offsets[0]) // _BYTES_PER_WORD)
    hashes = np.empty(room, np.uint64)
    starts = np.empty(room, np.int64)
    ends = np.empty(room, np.int64)
    bounds = np.empty(texts + 1, np.int64)
    count = 0
    for text in range(texts):
        bounds[text] = count
        count, hashes, starts, ends = append_words(
            data,
            offsets[text],
            offsets[text + 1],
            table,
            word_like_only,
            count,
            hashes,
            starts,
            ends,
        )
    bounds[texts] = count
    return hashes[:count], starts[:count], ends[:count], bounds
