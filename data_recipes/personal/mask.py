"""Finding personal data in a text, and masking it in its own shape.

A digit becomes 0, a Latin letter x or X, Hangul ○, as Korean writers blank names themselves; marks
and blanks stay, and so do the words that say what a part of an address is. A model then learns how
such data look in a sentence, with as many tokens as before, and nothing of whose they are. Made-up
data could be somebody's; zeros are nobody's: no number of these kinds begins with them or checks.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable

from . import KINDS, Kind
from .addresses import STREETS, find_addresses
from .mail import find_mail
from .numbers import find_numbers

_WIDE = re.compile("[０-９]")
_TO_ASCII = {0xFF10 + i: 0x30 + i for i in range(10)}
_BLANK = dict.fromkeys(map(ord, string.ascii_uppercase), "X")
_BLANK |= dict.fromkeys(map(ord, string.ascii_lowercase), "x")
_BLANK |= dict.fromkeys([*range(0x30, 0x3A), *_TO_ASCII], "0")
_BLANK |= dict.fromkeys(range(ord("가"), ord("힣") + 1), "○")
# Of an address, what stays: the kind of a road, a building's part, the marks of a post box.
_KEPT = re.compile(
    r"(?:대로|로|길|번길|번지|읍|면|동|리|가|호|층|지하|아파트|빌라|빌딩|타워|오피스텔)(?![가-힣])"
    rf"|(?<![A-Za-z])(?:{STREETS}|Apt|Apartment|Suite|Ste|Unit|Flat|Room|Floor|Fl|Box|ro|daero|gil)"
    r"(?![A-Za-z])"
)


def find(text: str, kinds: Iterable[Kind] = KINDS) -> list[tuple[int, int, Kind]]:
    """Find personal data: where each begins and ends, and its kind; in order, without overlaps.

    Args:
        text: the text.
        kinds: which to look for.
    """
    kinds = frozenset(kinds)
    found: list[tuple[int, int, Kind]] = []
    if _WIDE.search(text):
        text = text.translate(_TO_ASCII)
    if "e-mail" in kinds:
        found += ((start, end, "e-mail") for start, end in find_mail(text))
    found += find_numbers(text, kinds)
    if "address" in kinds:
        found += ((start, end, "address") for start, end in find_addresses(text))
    found.sort(key=lambda place: (place[0], -place[1]))
    apart: list[tuple[int, int, Kind]] = []
    for place in found:
        if not apart or place[0] >= apart[-1][1]:
            apart.append(place)
    return apart


def _placeholder(text: str, kind: Kind) -> str:
    if kind != "address":
        return text.translate(_BLANK)
    parts, at = [], 0
    for kept in _KEPT.finditer(text):
        parts += [text[at : kept.start()].translate(_BLANK), kept[0]]
        at = kept.end()
    return "".join([*parts, text[at:].translate(_BLANK)])


def mask(text: str, kinds: Iterable[Kind] = KINDS) -> tuple[str, Counter[Kind]]:
    """Mask personal data in a text.

    Returns:
        The text, as many characters long (the same object if nothing was found), and how many of
        each kind there were.
    """
    found = find(text, kinds)
    if not found:
        return text, Counter()
    parts, at = [], 0
    for start, end, kind in found:
        parts += [text[at:start], _placeholder(text[start:end], kind)]
        at = end
    return "".join([*parts, text[at:]]), Counter(kind for _, _, kind in found)
