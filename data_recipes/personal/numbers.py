"""Numbers of persons: shapes, the checks on their digits, and the words beside them."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from . import Kind
from .beside import (
    BANK_BEHIND,
    SAYS_ACCOUNT,
    SAYS_ALIEN,
    SAYS_BUSINESS,
    SAYS_CODE,
    SAYS_COMPANY,
    SAYS_DESK,
    SAYS_RESIDENT,
    SAYS_TELEPHONE,
    before,
    says,
)
from .checks import NO_CHECK_DIGIT, birth, is_alien, is_business, is_card, is_ean, is_resident

# What parts groups of digits: a dash as keyboards, word processors and Korean input write it, a
# point, a blank, a bracket, or such a mark between blanks.
_DASH = "-\u2010-\u2015\u2212\uff0d\u30fc\u3161"
_S = rf"[ \u00a0]?[{_DASH}.)/·~][ \u00a0]?|[ \u00a0]"
_D = rf"[ \u00a0]?[{_DASH}][ \u00a0]?"
# A date that begins behind a number is no group of it.
_NO_YEAR = r"(?!(?:19|20)[0-9]{2}(?:년|[-./][01][0-9][-./][0-3][0-9](?![0-9])))"
# Not within a longer number, a word of Latin letters (hashes, identifiers) or a decimal.
_START = rf"(?<![0-9A-Za-z_])(?<![0-9][{_DASH}.:])"
_END = rf"(?![0-9A-Za-z_]|[{_DASH}.][0-9])"

# The trigger: seven digits with little between them. All numbers below hold such a run.
RUN = re.compile(rf"[0-9](?:[{_DASH} \u00a0.()/·~]{{0,3}}[0-9]){{6,}}")

# The run that most text has most of, and that is none of them.
_DATE = re.compile("(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}")

_RESIDENT = re.compile(rf"{_START}[0-9]{{6}}(?P<s>{_D}|[ ]?)[0-9]{{7}}{_END}")
_CARD = re.compile(
    rf"{_START}(?:[0-9]{{4}}(?P<s>{_D}|[ .])[0-9]{{4}}(?P=s)[0-9]{{4}}(?P=s)[0-9]{{2,7}}"
    rf"|[0-9]{{4}}(?P<t>{_D}|[ .])[0-9]{{6}}(?P=t)[0-9]{{4,5}}|[0-9]{{14,19}}){_END}"
)
_BUSINESS = re.compile(rf"{_START}[0-9]{{3}}(?P<s>{_D}|[ .]?)[0-9]{{2}}(?P=s)[0-9]{{5}}{_END}")
_ACCOUNT = re.compile(rf"{_START}[0-9]+(?:(?:{_D}| ){_NO_YEAR}[0-9]+){{0,5}}{_END}")
_AREA = "2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|80|50[2-8]?"
_TELEPHONE = re.compile(
    # Korean mobile, area and other codes
    rf"(?<![0-9A-Za-z_+])(?<![0-9][{_DASH}.:])\(?(?:010\)?(?:{_S})?[0-9]{{4}}(?:{_S})?[0-9]{{4}}"
    rf"|01[16789]\)?(?:{_S})?[0-9]{{3,4}}(?:{_S})?[0-9]{{4}}"
    rf"|0(?:{_AREA})(?:\)?(?:{_S})[0-9]{{3,4}}(?:{_S})?|\)?[0-9]{{3,4}})[0-9]{{4}}){_END}"
    # The same with the country's code
    rf"|(?:(?<![0-9A-Za-z_+])\+|(?<![0-9])00[127]?(?:{_D}|[ ])?)82(?:{_S})?(?:\(0\)[ ]?)?\(?0?"
    rf"(?:1[016789]|{_AREA})\)?(?:{_S})?[0-9]{{3,4}}(?:{_S})?[0-9]{{4}}{_END}"
    # International: a plus, a country, groups
    rf"|(?<![0-9A-Za-z_)+])\+(?:[1-9][0-9]{{7,14}}|1(?:{_S})?\(?[2-9][0-9]{{2}}\)?(?:{_S})?[0-9]{{3}}"
    rf"(?:{_S})?[0-9]{{4}}){_END}"
    # A plus, a country, an area, the subscriber in one group, as in Germany and the United Kingdom
    rf"|(?<![0-9A-Za-z_)+])\+[1-9][0-9]{{0,2}}(?:{_S})(?:\(0\)[ ]?)?\(?[0-9]{{2,5}}\)?(?:{_S})"
    rf"[0-9]{{6,8}}{_END}"
    # A plus, a country, shorter groups
    rf"|(?<![0-9A-Za-z_)+])\+[1-9][0-9]{{0,2}}(?:(?:{_S})?{_NO_YEAR}\(?[0-9]{{1,5}}\)?){{0,5}}"
    rf"(?:{_S}){_NO_YEAR}[0-9]{{2,5}}{_END}"
    # North America
    rf"|(?<![0-9A-Za-z_])(?<![0-9][{_DASH}.:])(?:\+?1(?:{_D}|[ .]))?(?:\([2-9][0-9]{{2}}\) ?|"
    rf"[2-9][0-9]{{2}}(?P<u>{_D}|[ ./]|))[2-9][0-9]{{2}}(?P<v>{_D}|[ .]|)[0-9]{{4}}{_END}"
    # The United Kingdom
    rf"|(?<![0-9A-Za-z_])(?<![0-9][{_DASH}.:])\(?0(?:20\)?[ -]?[378][0-9]{{3}}[ -]?[0-9]{{4}}"
    rf"|20\)?[ -][2-9][0-9]{{3}}[ -][0-9]{{4}}"
    rf"|7[0-9]{{3}}[ -]?[0-9]{{3}}[ -]?[0-9]{{3}}|1[0-9]{{2}}\)?[ -][0-9]{{3}}[ -][0-9]{{4}}"
    rf"|1[0-9]{{3}}\)?[ -][0-9]{{5,6}}){_END}"
    # Abroad from Korea
    rf"|(?<![0-9A-Za-z_.-])00[1-9][0-9]{{0,2}}(?:{_D}|[ ])[0-9]{{1,4}}"
    rf"(?:(?:{_D}|[ ])[0-9]{{2,5}}){{2,4}}{_END}"
)

_NOT_DIGITS = re.compile(r"[^0-9]")
_ACCOUNT_WORD = re.compile("account|acct|a/c|계좌", re.IGNORECASE)
_GROUP = re.compile(r"[0-9]{3,6}[ ]\Z")
_BEHIND = 24
# A path, query or assignment goes on with digits that are nobody's number.
_IN_ADDRESS = tuple("/=?&#_")


def _resident(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if digits[6] in "90" or (born := birth(digits)) is None:
        return None
    near = before(text, found)
    parted = bool(found["s"])
    if not parted and (near.endswith(_IN_ADDRESS) or digits[:2] == "88" and is_ean(digits)):
        return None
    # Without dash and check digit it is an article's number sooner.
    article = not parted and born >= NO_CHECK_DIGIT and is_ean(digits)
    if digits[6] in "5678":
        # Aliens of any age have been given numbers without a check digit since October 2020.
        right = bool(found["s"].strip()) or is_alien(digits) and not article
        right = right and not SAYS_CODE.search(near)
        right = right or says(SAYS_ALIEN, text, found) or says(SAYS_RESIDENT, text, found)
        return "alien number" if right else None
    if SAYS_COMPANY.search(near):
        return None
    # A person may have been given a new number, which has no check digit: a word for it is enough.
    right = is_resident(digits) and not article or says(SAYS_RESIDENT, text, found)
    return "resident number" if right else None


def _card(text: str, found: re.Match[str], digits: str) -> Kind | None:
    parted = found["s"] or found["t"]
    if not parted and text[max(0, found.start() - 1) : found.start()] in _IN_ADDRESS:
        return None
    return "card" if is_card(digits) else None


def _business(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not is_business(digits):
        return None
    dashed = found["s"].strip() not in ("", ".")
    return "business number" if dashed or says(SAYS_BUSINESS, text, found) else None


def _account(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not 8 <= len(digits) <= 16 or not digits.strip("0"):
        return None
    if len(digits) >= 10 or _ACCOUNT_WORD.search(before(text, found)):
        if says(SAYS_ACCOUNT, text, found):
            return "account"
    if len(digits) >= 10 and BANK_BEHIND.match(text, found.end(), found.end() + _BEHIND):
        return "account"
    return None


def _telephone(text: str, found: re.Match[str], digits: str) -> Kind | None:
    number = found[0]
    near = before(text, found)
    whole = number.isdigit()
    if whole and near.endswith(_IN_ADDRESS):
        return None
    if number.startswith("+"):
        # Between the shortest of small countries and E.164's longest.
        return "telephone" if 9 <= len(digits) <= 15 else None
    if number[0] == "0" or number[:2] == "(0":
        # Not the rest of an account whose groups are parted by blanks.
        group = _GROUP.search(near)
        return None if group and SAYS_ACCOUNT.search(near[: group.start()]) else "telephone"
    # Without a leading zero or plus: only North American ones, or a Korean one that lost its zero.
    sure = "(" in number or found["u"] == found["v"] and (found["u"] or "").strip()
    if sure or says(SAYS_TELEPHONE, text, found):
        return "telephone"
    return "telephone" if not whole and SAYS_DESK.search(near) else None


_Decide = Callable[[str, re.Match[str], str], Kind | None]
# In this order: of two that overlap, the first stays. Behind each, how many digits it has.
_SHAPES: tuple[tuple[re.Pattern[str], _Decide, tuple[Kind, ...], range], ...] = (
    (_RESIDENT, _resident, ("resident number", "alien number"), range(13, 14)),
    (_CARD, _card, ("card",), range(14, 20)),
    (_BUSINESS, _business, ("business number",), range(10, 11)),
    (_TELEPHONE, _telephone, ("telephone",), range(9, 18)),
    (_ACCOUNT, _account, ("account",), range(8, 17)),
)
_LONGEST = 19
_Shapes = list[tuple[re.Pattern[str], _Decide]]


@lru_cache
def _shapes_of(kinds: frozenset[Kind]) -> tuple[_Shapes, list[_Shapes]]:
    """Return the shapes of some kinds; and of these, by length, what bare digits can be."""
    own = [shape for shape in _SHAPES if kinds.intersection(shape[2])]
    plain = [[shape[:2] for shape in own if n in shape[3]] for n in range(_LONGEST + 1)]
    return [shape[:2] for shape in own], plain


def find_numbers(text: str, kinds: frozenset[Kind]) -> Iterator[tuple[int, int, Kind]]:
    """Find where numbers of some kinds stand: start, end, kind; in no order, without overlaps.

    Args:
        text: with ASCII digits.
        kinds: which.
    """
    all_shapes, plain = _shapes_of(kinds)
    for run in RUN.finditer(text):
        digits = run[0]
        shapes = all_shapes
        if digits.isdigit():
            if len(digits) > _LONGEST:
                continue
            shapes = plain[len(digits)]
        elif _DATE.fullmatch(digits):
            continue
        if not shapes:
            continue
        taken: list[tuple[int, int]] = []
        # With what may belong to a number and is no digit: "+", "(".
        first, last = max(0, run.start() - 2), min(len(text), run.end() + 2)
        for pattern, decide in shapes:
            at = first
            while found := pattern.search(text, at, last):
                start, end = found.span()
                at = start + 1
                if any(start < e and s < end for s, e in taken):
                    continue
                kind = decide(text, found, _NOT_DIGITS.sub("", found[0]))
                if kind in kinds:
                    taken.append((start, end))
                    yield start, end, kind
                    at = end
