"""Numbers of persons: shapes, the checks on their digits, and the words beside them."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from . import Kind
from .beside import (
    BANK_BEFORE,
    BANK_BEHIND,
    BANK_KEY_BEFORE,
    BANK_KEY_BEHIND,
    BARE_KEY,
    BLOCK_BEFORE,
    BLOCK_BEHIND,
    BRACKETED_BANK,
    BUSINESS_BEHIND,
    BUSINESS_IN_RECORD,
    MAIL_BEHIND,
    SAYS,
    SAYS_VERSION,
    SOCIAL_BEHIND,
    SOCIAL_IN_RECORD,
    SORT_BEFORE,
    SORT_BEHIND,
    before,
    says,
)
from .checks import (
    NO_CHECK_DIGIT,
    birth,
    is_alien,
    is_business,
    is_card,
    is_ean,
    is_resident,
    is_social,
)

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

# Version 4, and version 6, which begins at one of its colons.
_IP = re.compile(rf"{_START}(?:(?:0|[1-9][0-9]{{0,2}})\.){{3}}(?:0|[1-9][0-9]{{0,2}}){_END}")
_COLONS = re.compile(":(?=[0-9A-Fa-f]{0,4}:)")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z.])(?<![0-9A-Fa-f]:)[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}"
    r"[0-9A-Fa-f]{1,4}(?![0-9A-Za-z:])"
)
_RESIDENT = re.compile(rf"{_START}[0-9]{{6}}(?P<s>{_D}|[ ]?)[0-9]{{7}}{_END}")
_SOCIAL = re.compile(rf"{_START}[0-9]{{3}}(?P<s>{_D}|[ .]|)[0-9]{{2}}(?P=s)[0-9]{{4}}{_END}")
_CARD = re.compile(
    # Not of a row of more such groups, unless the next is a card's last month, and three digits.
    rf"{_START}(?<![0-9]{{4}}[ ])(?:[0-9]{{4}}(?P<s>{_D}|[ .])[0-9]{{4}}(?P=s)[0-9]{{4}}(?P=s)"
    rf"[0-9]{{2,7}}(?:(?=[ ](?:0[1-9]|1[0-2])[0-9]{{2}}(?:[ ][0-9]{{3}})?(?![ ]?[0-9]))"
    r"|(?![ ][0-9]{4}(?:\s|\Z)))"
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
    # The same without its plus
    rf"|{_START}(?<!\+)82(?P<k>{_D}|\.)0?(?:1[016789]|{_AREA})(?P=k)[0-9]{{3,4}}(?P=k)[0-9]{{4}}{_END}"
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
    rf"|(?<![0-9A-Za-z_])(?<![0-9][{_DASH}.:])(?:\+?1(?:{_D}|[ .]|(?=[0-9]{{10}}(?![0-9]))))?"
    rf"(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}(?P<u>{_D}|[ ./]|))[2-9][0-9]{{2}}"
    rf"(?P<v>{_D}|[ .]|)[0-9]{{4}}(?:(?=[xX][0-9])|{_END})"
    # The United Kingdom
    rf"|(?<![0-9A-Za-z_])(?<![0-9][{_DASH}.:])\(?0(?:20\)?[ -]?[378][0-9]{{3}}[ -]?[0-9]{{4}}"
    rf"|20\)?[ -][2-9][0-9]{{3}}[ -][0-9]{{4}}|20[378][ -]?[0-9]{{3}}[ -][0-9]{{4}}"
    rf"|7[0-9]{{3}}[ -]?[0-9]{{3}}[ -]?[0-9]{{3}}|1[0-9]{{2}}\)?[ -][0-9]{{3}}[ -][0-9]{{4}}"
    rf"|1[0-9]{{3}}\)?[ -][0-9]{{5,6}}){_END}"
    # Abroad from Korea
    rf"|(?<![0-9A-Za-z_.-])00[1-9][0-9]{{0,2}}(?P<w>{_D}|[ ])[0-9]{{1,4}}"
    rf"(?:(?P=w)[0-9]{{2,5}}){{2,4}}{_END}"
)

_NOT_DIGITS = re.compile(r"[^0-9]")
_ACCOUNT_WORD = re.compile("account|acct|a/c|acc[ ._]?no|계좌|gyejwa", re.IGNORECASE)
_GROUP = re.compile(r"[0-9]{3,6}[ ]\Z")
_BEHIND = 48
# A path, query or assignment goes on with digits that are nobody's number.
_IN_ADDRESS = tuple("/=?&#_")
_PREFIX = re.compile("/(?!32|128)[0-9]{1,3}(?![0-9A-Za-z])")
# A British account: neither a day nor two years.
_EIGHT = re.compile(
    "(?!(?:19|20)[0-9]{2}(?:[01][0-9][0-3][0-9]|[ -](?:19|20)[0-9]{2}))[0-9]{4}[ -]?[0-9]{4}"
    "|[0-9]{9}"
)
# The largest of 31 bits, and one more.
_INTEGERS = ("2147483647", "2147483648")
_LINE = re.compile(r"(?:\n|\A)[ ]*\Z")


def _in_address(near: str, *whats: str) -> bool:
    """Whether digits go on with a path or query, and no key with one of the words says what is."""
    return near.endswith(_IN_ADDRESS) and not (
        near.endswith("=") and any(SAYS[what].search(near) for what in whats)
    )


def _record(text: str, found: re.Match[str]) -> tuple[str, int, int]:
    """Return where a number's paragraph or record is looked at before it: text, start and end."""
    first = max(0, found.start() - 2 * _BEHIND)
    return text, max(first, text.rfind("\n\n", first, found.start())), found.start()


def _is_line(text: str, found: re.Match[str]) -> bool:
    """Whether an address is one of the open internet and no network's: perhaps a person's line."""
    start, end = found.span()
    network = _PREFIX.match(text, end) and text[start - 2 : start] != "//"
    if network or found[0].endswith((".0", ":0")):
        return False
    try:
        ip = ipaddress.ip_address(found[0])
    except ValueError:
        return False
    return ip.is_global and not ip.is_multicast


def _ip(text: str, found: re.Match[str], digits: str) -> Kind | None:
    near = before(text, found)
    if SAYS_VERSION.search(near) or not _is_line(text, found):
        return None
    # A short one is a version or a section sooner, and 1.3 begins identifiers of objects.
    right = len(digits) >= 8 and not found[0].startswith("1.3.") or says("IP address", text, found)
    return "IP address" if right else None


def _resident(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if digits[6] in "90" or (born := birth(digits)) is None:
        return None
    near = before(text, found)
    parted = bool(found["s"])
    alien = digits[6] in "5678"
    said = says("resident number", text, found) or alien and says("alien number", text, found)
    if not parted and not said and (_in_address(near) or digits[:2] == "88" and is_ean(digits)):
        return None
    code = not said and SAYS["code"].search(near)
    # Without dash and check digit it is an article's number sooner.
    article = not parted and born >= NO_CHECK_DIGIT and is_ean(digits)
    if alien:
        # Aliens of any age have been given numbers without a check digit since October 2020.
        right = bool(found["s"].strip()) or is_alien(digits) and not article
        return "alien number" if said or right and not code else None
    if SAYS["company"].search(near):
        return None
    # A person may have been given a new number, which has no check digit: a word for it is enough.
    right = is_resident(digits) and not article and not code or said
    return "resident number" if right else None


def _social(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not is_social(digits):
        return None
    right = found["s"].strip() and SOCIAL_IN_RECORD.search(*_record(text, found))
    right = right or SOCIAL_BEHIND.match(text, found.end(), found.end() + _BEHIND)
    return "resident number" if right or says("social", text, found) else None


def _card(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not (found["s"] or found["t"]) and _in_address(before(text, found), "card"):
        return None
    return "card" if is_card(digits) else None


def _business(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not is_business(digits):
        return None
    right = (
        found["s"].strip() not in ("", ".")
        or says("business number", text, found)
        or BUSINESS_IN_RECORD.search(*_record(text, found))
        or BUSINESS_BEHIND.match(text, found.end(), found.end() + _BEHIND)
    )
    return "business number" if right else None


def _account(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not 8 <= len(digits) <= 16 or not digits.strip("0"):
        return None
    near, behind = before(text, found), (text, found.end(), found.end() + _BEHIND)
    if len(digits) >= 10:
        right = BANK_BEHIND.match(*behind) or BANK_KEY_BEFORE.search(near)
        right = right or BARE_KEY.search(near) and BANK_KEY_BEHIND.match(*behind)
    else:
        right = _EIGHT.fullmatch(found[0]) and (
            BANK_BEFORE.search(near)
            or BRACKETED_BANK.match(*behind)
            or SORT_BEFORE.search(near)
            or SORT_BEHIND.match(*behind)
        )
    if not right and (len(digits) >= 10 or _ACCOUNT_WORD.search(near)):
        return "account" if says("account", text, found) else None
    return "account" if right else None


def _telephone(text: str, found: re.Match[str], digits: str) -> Kind | None:
    number = found[0]
    near = before(text, found)
    whole = number.isdigit()
    if number in _INTEGERS or whole and _in_address(near, "telephone", "desk"):
        return None
    if number.startswith("+"):
        # Between the shortest of small countries and E.164's longest.
        return "telephone" if 9 <= len(digits) <= 15 else None
    if number[0] == "0" or number[:2] == "(0":
        if near.endswith("/") and "/" in number:
            return None  # a day
        # Not the rest of an account whose groups are parted by blanks.
        group = _GROUP.search(near)
        return None if group and SAYS["account"].search(near[: group.start()]) else "telephone"
    if found["k"]:
        return "telephone"
    if text[found.end() : found.end() + 2].lstrip()[:1] == "=":
        return None  # a sum
    # Without a leading zero or plus: only North American ones, or a Korean one that lost its zero.
    same = found["u"] == found["v"] or found["u"] == "/" and found["v"]
    sure = "(" in number or same and (found["u"] or "").strip()
    if sure or says("telephone", text, found) or SAYS["desk"].search(near):
        return "telephone"
    end = found.end()
    block = BLOCK_BEFORE.search(near) and BLOCK_BEHIND.match(text, end)
    block = block or _LINE.search(near) and MAIL_BEHIND.match(text, end, end + _BEHIND)
    return "telephone" if block else None


_Decide = Callable[[str, re.Match[str], str], Kind | None]
# In this order: of two that overlap, the first stays. Behind each, how many digits it has.
_SHAPES: tuple[tuple[re.Pattern[str], _Decide, tuple[Kind, ...], range], ...] = (
    (_IP, _ip, ("IP address",), range(0)),
    (_RESIDENT, _resident, ("resident number", "alien number"), range(13, 14)),
    (_SOCIAL, _social, ("resident number",), range(9, 10)),
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
    if "IP address" in kinds:
        for colon in _COLONS.finditer(text):
            found = _IPV6.match(text, max(0, colon.start() - 4))
            if found and _is_line(text, found):
                yield *found.span(), "IP address"
