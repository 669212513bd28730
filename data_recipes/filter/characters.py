"""What the filters have to know about a code point, as one table for kernels."""

import unicodedata
from functools import lru_cache

import numpy as np
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

from ..text.kernels import kernel

CODE_POINTS = 0x110000
# Bits of a table entry.
SPACE = 1  # str.isspace, where str.split and str.strip cut
BREAK = 2  # where str.splitlines cuts
ALPHA = 4  # str.isalpha
PUNCTUATION = 8  # datatrove's PUNCTUATION_SET: a word of these alone is a symbol
TERMINAL = 16  # datatrove's TERMINAL_PUNCTUATION: ends a sentence
HANGUL = 32  # syllables
RARE = 64  # syllables outside KS X 1001
COMPATIBILITY_JAMO = 128  # letters that stand alone, as in ㅋㅋㅋ
CONJOINING_JAMO = 256  # letters that a decomposed syllable (NFD) is made of
CONTROL = 512  # controls but tab and line ends, private use, noncharacters
NUMBER = 1024  # categories N*
SYMBOL = 2048  # neither letter, mark, number, white space nor CONTROL
CODE = 4096  # what programs and formulas are full of, and other text is not

_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_CODE = "{}[]<>=;\\$^_"
_SYLLABLES = (0xAC00, 0xD7A4)
# Blocks: Hangul Compatibility Jamo, its half-width forms.
_COMPATIBILITY = ((0x3131, 0x318F), (0xFFA0, 0xFFDD))
# Blocks: Hangul Jamo, Extended-A, Extended-B.
_CONJOINING = ((0x1100, 0x1200), (0xA960, 0xA97D), (0xD7B0, 0xD7FC))


def _own_flags(character: str) -> int:
    category = unicodedata.category(character)
    flags = SPACE * character.isspace() | ALPHA * character.isalpha()
    if category[0] == "N":
        flags |= NUMBER
    # U+FFFD has a statistic of its own; unassigned code points but noncharacters are left alone:
    # newer characters than this Python knows.
    noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    if category in ("Cc", "Co", "Cs") and character not in "\t\n\r" or noncharacter:
        flags |= CONTROL
    elif not flags & (SPACE | ALPHA | NUMBER) and category[0] not in "MC":
        flags |= SYMBOL
    return flags


@lru_cache(maxsize=1)
def character_table() -> np.ndarray:
    """Flags of every code point, uint16 [0x110000]."""
    table = np.fromiter((_own_flags(chr(c)) for c in range(CODE_POINTS)), np.uint16, CODE_POINTS)
    for flag, members in (
        (BREAK, _BREAKS),
        (PUNCTUATION, PUNCTUATION_SET),
        (CODE, _CODE),
        (TERMINAL, TERMINAL_PUNCTUATION),
    ):
        table[[ord(c) for c in members]] |= flag
    table[slice(*_SYLLABLES)] |= HANGUL
    for point in range(*_SYLLABLES):
        # Python spells the others with the letters they are made of, in eight bytes.
        if len(chr(point).encode("euc_kr")) != 2:
            table[point] |= RARE
    for flag, blocks in (
        (COMPATIBILITY_JAMO, _COMPATIBILITY),
        (CONJOINING_JAMO, _CONJOINING),
    ):
        for block in blocks:
            table[slice(*block)] |= flag
    return table


@lru_cache(maxsize=1)
def misread_bytes() -> np.ndarray:
    """The byte above 0x7F that Latin-1 or Windows-1252 shows as a code point; 0 for all others.

    Returns:
        uint8 [0x10000].
    """
    table = np.zeros(0x10000, np.uint8)
    for byte in range(0x80, 0x100):
        table[byte] = byte
        shown = bytes([byte]).decode("cp1252", errors="ignore")
        if shown:
            table[ord(shown)] = byte
    return table


@kernel(inline="always")
def head(data: np.ndarray, start: int, end: int) -> int:
    """Find the first byte of the character that ends at `end`, in text that begins at `start`."""
    first = end - 1
    while first > start and data[first] & 0xC0 == 0x80:
        first -= 1
    return first
