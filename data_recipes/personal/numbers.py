"""Numbers of persons: shapes, the checks on their digits, and the words beside them."""

import re
from collections.abc import Callable, Iterator

from .checks import birth, is_alien, is_business, is_card, is_ean, is_resident
from .config import Kind

# What parts groups of digits: a dash as keyboards, word processors and Korean input write it, a
# point, a blank, a bracket, or such a mark between blanks.
_DASH = "-\u2010-\u2015\u2212\uff0d\u30fc\u3161"
_S = rf"[ \u00a0]?[{_DASH}.)/·~][ \u00a0]?|[ \u00a0]"
_D = rf"[ \u00a0]?[{_DASH}][ \u00a0]?"
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
_ACCOUNT = re.compile(rf"{_START}[0-9]+(?:(?:{_D}| )[0-9]+){{0,5}}{_END}")
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
    rf"|(?<![0-9A-Za-z_)+])\+[1-9][0-9]{{0,2}}(?:(?:{_S})?\(?[0-9]{{1,5}}\)?){{0,5}}(?:{_S})[0-9]{{2,5}}{_END}"
    # North America
    rf"|(?<![0-9A-Za-z_])(?<![0-9][{_DASH}.:])(?:\+?1(?:{_D}|[ .]))?(?:\([2-9][0-9]{{2}}\) ?|"
    rf"[2-9][0-9]{{2}}(?P<u>{_D}|[ ./]|))[2-9][0-9]{{2}}(?P<v>{_D}|[ .]|)[0-9]{{4}}{_END}"
    # The United Kingdom
    rf"|(?<![0-9A-Za-z_])(?<![0-9][{_DASH}.:])\(?0(?:20\)?[ -]?[378][0-9]{{3}}[ -]?[0-9]{{4}}"
    rf"|7[0-9]{{3}}[ -]?[0-9]{{3}}[ -]?[0-9]{{3}}|1[0-9]{{2}}\)?[ -][0-9]{{3}}[ -][0-9]{{4}}"
    rf"|1[0-9]{{3}}\)?[ -][0-9]{{5,6}}){_END}"
    # Abroad from Korea
    rf"|(?<![0-9A-Za-z_.-])00[1-9][0-9]{{0,2}}(?:{_D}|[ ])[0-9]{{1,4}}"
    rf"(?:(?:{_D}|[ ])[0-9]{{2,5}}){{2,4}}{_END}"
)

_FAR = r"[^0-9\n]{0,14}\Z"  # how far before a number the word for it may stand
_SAYS_RESIDENT = re.compile(rf"(?:주민|resident|RRN|SSN|social security){_FAR}", re.IGNORECASE)
_SAYS_ALIEN = re.compile(
    rf"(?:외국인|거소|alien|ARC|foreigner|residence card){_FAR}", re.IGNORECASE
)
_SAYS_COMPANY = re.compile(rf"(?:법인|corporat\w*){_FAR}", re.IGNORECASE)
_SAYS_BUSINESS = re.compile(rf"(?:사업자|business|BRN|tax id){_FAR}", re.IGNORECASE)
_SAYS_TELEPHONE = re.compile(
    r"(?:전화|연락처|휴대폰|휴대전화|핸드폰|모바일|팩스|문의|대표번호|번호로|hp|h\.p|tel|phone|mobile|cell"
    rf"|fax|call|text|dial|whatsapp|contact|☎|☏|📞|📱){_FAR}",
    re.IGNORECASE,
)
_BANKS = (
    "국민|신한|우리|하나|농협|기업|산업|수협|신협|새마을금고|우체국|제일|씨티|대구|부산|경남|광주|전북|제주"
    "|카카오|토스|케이|외환|수출입|저축|축협|산림조합|iM|(?<![A-Za-z])(?:KB|NH|IBK|KDB|SC|Shinhan|Woori"
    "|Hana|Kookmin|Nonghyup|Kakao|Toss)"
)
_SAYS_ACCOUNT = re.compile(
    rf"(?:(?:은행|뱅크|새마을금고|신협|우체국|농협|수협|계좌|입금|송금|예금|통장|환불|이체|예금주"
    rf"|\bbank|\baccount|\bacct|\ba/c|\bdeposit){_FAR.replace('14', '24')}"
    rf"|(?:{_BANKS})(?:은행|뱅크)?[ :()]{{0,3}}\Z)",
    re.IGNORECASE,
)
_BANK_BEHIND = re.compile(
    rf"[ ,]{{0,2}}[(\[]?(?:(?:{_BANKS})[ ]?(?:은행|뱅크|bank)"
    r"|농협|새마을금고|우체국|신협|수협|예금주)",
    re.IGNORECASE,
)
_BEFORE, _BEHIND = 44, 24
_NOT_DIGITS = re.compile(r"[^0-9]")
# A path, query or assignment goes on with digits that are nobody's number.
_IN_ADDRESS = tuple("/=?&#_")


def _resident(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if digits[6] in "90" or birth(digits) is None:
        return None
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    parted = bool(found["s"])
    if not parted and (before.endswith(_IN_ADDRESS) or digits[:2] == "88" and is_ean(digits)):
        return None
    if digits[6] in "5678":
        right = is_alien(digits) or _SAYS_ALIEN.search(before) or _SAYS_RESIDENT.search(before)
        return "alien number" if right else None
    if _SAYS_COMPANY.search(before):
        return None
    # A person may have been given a new number, which has no check digit: a word for it is enough.
    return "resident number" if is_resident(digits) or _SAYS_RESIDENT.search(before) else None


def _card(text: str, found: re.Match[str], digits: str) -> Kind | None:
    parted = found["s"] or found["t"]
    if not parted and text[max(0, found.start() - 1) : found.start()] in _IN_ADDRESS:
        return None
    return "card" if is_card(digits) else None


def _business(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not is_business(digits):
        return None
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    dashed = found["s"].strip() not in ("", ".")
    return "business number" if dashed or _SAYS_BUSINESS.search(before) else None


def _account(text: str, found: re.Match[str], digits: str) -> Kind | None:
    if not 8 <= len(digits) <= 16 or not digits.strip("0"):
        return None
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    if len(digits) >= 10 or re.search(r"(?i)(?:account|acct|a/c|계좌)", before):
        if _SAYS_ACCOUNT.search(before):
            return "account"
    behind = text[found.end() : found.end() + _BEHIND]
    return "account" if len(digits) >= 10 and _BANK_BEHIND.match(behind) else None


def _telephone(text: str, found: re.Match[str], digits: str) -> Kind | None:
    number = found[0]
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    whole = number.isdigit()
    if whole and before.endswith(_IN_ADDRESS):
        return None
    if number.startswith("+"):
        # Between the shortest of small countries and E.164's longest.
        return "telephone" if 9 <= len(digits) <= 15 else None
    if number[0] == "0" or number[:2] == "(0":
        return "telephone"
    # Without a leading zero or plus: only North American ones, or a Korean one that lost its zero.
    sure = "(" in number or found["u"] == found["v"] and (found["u"] or "").strip()
    return "telephone" if sure or _SAYS_TELEPHONE.search(before) else None


_Decide = Callable[[str, re.Match[str], str], Kind | None]
# In this order: of two that overlap, the first stays.
_SHAPES: tuple[tuple[re.Pattern[str], _Decide, tuple[Kind, ...]], ...] = (
    (_RESIDENT, _resident, ("resident number", "alien number")),
    (_CARD, _card, ("card",)),
    (_BUSINESS, _business, ("business number",)),
    (_TELEPHONE, _telephone, ("telephone",)),
    (_ACCOUNT, _account, ("account",)),
)


def find_numbers(text: str, kinds: frozenset[Kind]) -> Iterator[tuple[int, int, Kind]]:
    """Find where numbers of some kinds stand: start, end, kind; in no order, without overlaps.

    Args:
        text: with ASCII digits.
        kinds: which.
    """
    shapes = [(p, decide) for p, decide, own in _SHAPES if kinds.intersection(own)]
    for run in RUN.finditer(text):
        if _DATE.fullmatch(run[0]):
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
