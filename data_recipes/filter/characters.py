"""Characters: what is known of a code point, as one table for kernels; and counts of a document's.

Counted are Hangul and its damaged forms, text read in the wrong encoding, controls, URLs.
"""

import unicodedata
from enum import IntEnum
from functools import lru_cache

import numpy as np
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

from ..text.kernels import kernel
from ..text.words import decode

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
POINT = 8192  # what a point of a list begins with, besides numbers
CLOSING = 16384  # after these, two blanks are how some end a sentence

_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_CODE = "{}[]<>=;\\$^_"
# Bullets, dashes, signs, figures in circles.
_POINTS = "•-–—*+>·▪▫■□▶▷►◆◇○●◦☐☑※✓" + "".join(map(chr, range(0x2460, 0x2474)))
_CLOSING = ".!?:)\"'"
_SYLLABLES = (0xAC00, 0xD7A4)
# Blocks: Hangul Compatibility Jamo, its half-width forms.
_COMPATIBILITY = ((0x3131, 0x318F), (0xFFA0, 0xFFDD))
# Blocks: Hangul Jamo, Extended-A, Extended-B.
_CONJOINING = ((0x1100, 0x1200), (0xA960, 0xA97D), (0xD7B0, 0xD7FC))

# More Hangul syllables in a row are text without spaces. Our choice: of the eojeol in Debian's
# Korean text one in 180,000 has more.
LONG_RUN = 12
_REPLACEMENT = 0xFFFD
_COLON, _SLASH, _W, _DOT = 0x3A, 0x2F, 0x77, 0x2E
_HAN_MISREAD = 0x5360  # 占, as in 占쏙옙: U+FFFD in UTF-8, read as CP949
_NO_BREAK_SPACE = 0xA0
# Lead bytes of the Hangul block of KS X 1001, and trail bytes of any.
_EUC_LEAD, _EUC_TRAIL = (0xB0, 0xC8), (0xA1, 0xFE)


class Script(IntEnum):
    """Rows of what `count_script` returns; all but the last two count characters."""

    VISIBLE = 0  # not white space
    LETTERS = 1
    NUMBERS = 2
    SYMBOLS = 3
    HANGUL = 4
    RARE_HANGUL = 5
    UNSPACED_HANGUL = 6  # in runs of more than LONG_RUN syllables
    COMPATIBILITY_JAMO = 7
    CONJOINING_JAMO = 8
    CONTROLS = 9
    REPLACEMENTS = 10
    MOJIBAKE = 11
    URLS = 12
    CODE = 13
    LONGEST_RUN = 14  # without white space, in characters; URLs do not count


_ROWS = len(Script)


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
        (POINT, _POINTS),
        (CLOSING, _CLOSING),
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


def count_script(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Counts of every document.

    Mojibake is text in another encoding than it was read in. Counted are characters that, as bytes
    of Latin-1 or Windows-1252, are UTF-8 sequences (`ì•ˆ`), or pairs in the Hangul block of EUC-KR
    (`¾Æ`), whichever are more, and Hangul after 占, the trace of UTF-8 read as CP949 (`占쏙옙`).
    What else that misreading leaves are syllables outside KS X 1001, RARE_HANGUL.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].

    Returns:
        int64 [len(Script), documents].
    """
    return _count(data, offsets, character_table(), misread_bytes())


@kernel
def _count(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, misread: np.ndarray
) -> np.ndarray:
    documents = len(offsets) - 1
    counts = np.zeros((_ROWS, documents), np.int64)
    for document in range(documents):
        at, end = offsets[document], offsets[document + 1]
        visible = letters = numbers = symbols = code = hangul = rare = unspaced = 0
        compatibility = conjoining = controls = replacements = urls = longest = 0
        syllables = 0  # Hangul in a row
        run, is_url, colon_slashes, leading_w = 0, False, 0, True
        utf, expected, missing = 0, 0, 0  # UTF-8 sequences: characters found; size; still to come
        euc, lead = 0, False
        misread_hangul, after_han = 0, False
        while True:
            over = at == end
            if over:
                point, flags = np.int64(0x0A), np.int64(SPACE)
            else:
                # Apart, so that where the next one begins is foreseen and not waited for.
                if data[at] < 0x80:
                    point, at = np.int64(data[at]), at + 1
                else:
                    point, at = decode(data, at, end)
                flags = np.int64(table[point])
            if flags & HANGUL:
                syllables += 1
                hangul += 1
                rare += flags & RARE != 0
                misread_hangul += after_han
            else:
                if syllables > LONG_RUN:
                    unspaced += syllables
                syllables = 0
                after_han = point == _HAN_MISREAD
                misread_hangul += after_han
            if over or flags & SPACE:
                if is_url:
                    urls += run
                else:
                    longest = max(longest, run)
                run, is_url, colon_slashes, leading_w = 0, False, 0, True
            else:
                run += 1
                visible += 1
                letters += flags & ALPHA != 0
                numbers += flags & NUMBER != 0
                symbols += flags & SYMBOL != 0
                code += flags & CODE != 0
                compatibility += flags & COMPATIBILITY_JAMO != 0
                conjoining += flags & CONJOINING_JAMO != 0
                # "://" anywhere in the run, or "www." at its head.
                if point == _COLON:
                    colon_slashes = 1
                elif colon_slashes:
                    colon_slashes = colon_slashes + 1 if point == _SLASH else 0
                    is_url |= colon_slashes == 3
                if leading_w and run <= 4:
                    leading_w = point == (_DOT if run == 4 else _W)
                    is_url |= leading_w and run == 4
            controls += flags & CONTROL != 0
            replacements += point == _REPLACEMENT
            byte = misread[point] if point < 0x10000 else np.uint8(0)
            if byte == 0:
                missing = 0
                lead = False
            else:
                # A no-break space after a capital letter is French, not UTF-8.
                if missing and byte < 0xC0 and not (expected == 2 and byte == _NO_BREAK_SPACE):
                    missing -= 1
                    if missing == 0:
                        utf += expected
                elif 0xC2 <= byte <= 0xF4:
                    expected = 2 + (byte >= 0xE0) + (byte >= 0xF0)
                    missing = expected - 1
                else:
                    missing = 0
                if lead and _EUC_TRAIL[0] <= byte <= _EUC_TRAIL[1]:
                    euc += 2
                    lead = False
                else:
                    lead = _EUC_LEAD[0] <= byte <= _EUC_LEAD[1]
            if over:
                break
        counts[Script.VISIBLE, document] = visible
        counts[Script.LETTERS, document] = letters
        counts[Script.NUMBERS, document] = numbers
        counts[Script.SYMBOLS, document] = symbols
        counts[Script.HANGUL, document] = hangul
        counts[Script.RARE_HANGUL, document] = rare
        counts[Script.UNSPACED_HANGUL, document] = unspaced
        counts[Script.COMPATIBILITY_JAMO, document] = compatibility
        counts[Script.CONJOINING_JAMO, document] = conjoining
        counts[Script.CONTROLS, document] = controls
        counts[Script.REPLACEMENTS, document] = replacements
        counts[Script.MOJIBAKE, document] = max(utf, euc) + misread_hangul
        counts[Script.URLS, document] = urls
        counts[Script.CODE, document] = code
        counts[Script.LONGEST_RUN, document] = longest
    return counts
