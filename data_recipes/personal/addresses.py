"""Street addresses: Korean ones by road and by lot, and English ones."""

import re
from collections.abc import Iterator

from .places import DISTRICTS, PROVINCES

# The trigger of a Korean address: the end of a road's or place's name, and a number.
_ROAD_END = re.compile(r"[로길동리가읍면][ ]?(?:지하[ ]?|산[ ]?)?[0-9]")
# A longer address is not looked at before the road.
_BEFORE = 60
# Behind the number of a house: lot, building, floor, room.
_BUILDINGS = "아파트|빌라|빌딩|타워|오피스텔|맨션|주택|하이츠|자이|푸르지오|래미안"
_DETAIL = (
    r"(?:[ ]?번지)?(?:,?[ ]?\((?:[가-힣0-9·., ]{2,30})\))?"
    rf"(?:,?[ ]?(?:[가-힣A-Za-z0-9]{{2,15}}(?:{_BUILDINGS}))?"
    r"[ ]?(?:[A-Za-z가-힣]|[0-9]{1,4})동(?=[ ,0-9]|$))?"
    r"(?:,?[ ]?(?:지하[ ]?|B)?[0-9]{1,3}층)?(?:,?[ ]?[A-Z]?[0-9]{1,5}(?:-[0-9]{1,3})?호)?"
)
_NUMBER = r"(?:지하[ ]?|산[ ]?)?[1-9][0-9]{0,4}(?:[ ]?[-－–][ ]?[1-9][0-9]{0,3})?"
# Amounts that follow the particles 로, 가, 면 and are no house.
_UNITS = (
    "개|번(?!지|길)|년|월|일|명|원|%|퍼센트|회|번째|차|시간|시\\b|분|초|배|위|대\\b|종|권|건|점|세\\b|살"
    "|만|억|천|백|주일|주\\b|주년|단계|가지|곳|쪽|페이지|장\\b|절|킬로|미터|km|kg|m\\b|cm|GB|MB|여"
)
# Nor is the number in the name of a quarter, where a lot follows: 학동2동 180.
_NO_AMOUNT = (
    rf"(?![0-9.,]*[ ]?(?:{_UNITS}))(?![0-9A-Za-z])"
    r"(?!동[ ](?:산[ ]?)?[1-9][0-9]*(?:-[0-9]+)?(?:번지)?(?![0-9호동층-]))"
)
_SIDE = r"(?:[ ]?[0-9]{1,4}[가-힣]?(?:번)?길)?"
_PLACE = (
    rf"(?:(?:{'|'.join(PROVINCES)})[ ]?(?:[가-힣]{{1,5}}[시군구][ ]?){{0,2}}"
    rf"|(?:(?:{'|'.join(DISTRICTS)})[ ]?){{1,2}})"
)
_QUARTER = r"(?:[가-힣]{1,6}[0-9]?동[ ])?"
_TOWN = r"(?:[가-힣]{1,6}[0-9]?[읍면][ ])?"
_SAYS = (
    r"(?:주소|거주지|배송지|소재지|사는 곳|본적|도로명|지번|자택|address)[^0-9가-힣\n]{0,6}"
    r"(?:[은는이가][ ])?"
)
_KOREAN = re.compile(
    rf"(?:(?:\(?[0-9]{{5}}\)?[ ])?{_PLACE}{_QUARTER}|{_SAYS}(?:[가-힣]{{1,6}}[시군구도동][ ])*)"
    rf"(?P<road>{_TOWN}[가-힣][가-힣0-9·.]{{0,12}}?)"
    rf"(?:(?:대로|로|길){_SIDE}|[0-9]?동(?:[0-9]가)?|리|[0-9]가)[ ]?{_NUMBER}{_NO_AMOUNT}{_DETAIL}"
)
_ANYWHERE = re.compile("|".join(map(re.escape, (*PROVINCES, *DISTRICTS))) + f"|{_SAYS}", re.I)

_STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Terrace|Ter"
    "|Parkway|Pkwy|Square|Sq|Highway|Hwy|Crescent|Cres|Close|Way|Circle|Cir|Trail|Mews|Gardens"
    "|Grove|Row|Hill"
)
_UNIT = r"(?:,?[ ](?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Floor|Fl|#)\.?[ ]?#?[0-9A-Za-z-]{1,6})?"
# The trigger of an English address, and what it can be: a house and a street, or a romanised road.
_HOUSE = re.compile(
    r"[1-9](?<![0-9A-Za-z_.:/-][1-9])[0-9]{0,5}[A-Za-z]?(?:-[0-9]{1,4})?(?=,?[ ][A-Z0-9])"
)
_ENGLISH = re.compile(
    r"[0-9]+[A-Za-z]?(?:-[0-9]+)?,?[ ](?:"
    r"(?:(?:[NSEW]|North|South|East|West)\.?[ ])?"
    r"(?!(?:The|This|That|An?|In|If|No|One)[ ])"
    r"(?:[A-Z][a-z']+\.?[ ]|[0-9]{1,3}(?:st|nd|rd|th)[ ]){1,3}"
    rf"(?:{_STREET})(?![0-9A-Za-z_À-ž])(?:\.(?=[ ,\n]))?(?:[ ](?:[NSEW]|NE|NW|SE|SW)(?![A-Za-z]))?"
    rf"|[A-Z][a-z]{{1,20}}[0-9]{{0,2}}(?:-(?:ro|gil)|-?daero)(?![A-Za-z])"
    rf"(?:[ ]?[0-9]{{1,3}}(?:beon)?-?gil)?){_UNIT}"
)
# Before the house: "Flat 3, ", "101-dong, 1203-ho, ".
_PART = "[A-Z]?[0-9]{1,4}-?(?:ho|dong|F),?[ ]"
_FLAT = re.compile(
    rf"(?:(?:Flat|Apt|Apartment|Unit|Suite|Room)\.?[ ]#?[0-9A-Z-]{{1,6}},?[ ]|{_PART})"
    rf"(?:{_PART})?\Z"
)
# Roads before their numbers, and post boxes.
_ROAD_FIRST = re.compile(
    rf"(?:-ro|-daero|-gil)(?:[ ][0-9]{{1,3}}(?:beon)?-?gil)?[ ][1-9][0-9]{{0,4}}"
    rf"(?:-[0-9]{{1,4}})?{_UNIT}"
)
_WORD = re.compile(r"[A-Z][a-z]{1,20}\Z")
_BOX = re.compile(r"P\.?[ ]?O\.?[ ]Box[ ][1-9][0-9]{0,6}")


def find_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Find where the identifying part of street addresses stands, without overlaps.

    That is the name of the road, or of town and village, with the numbers behind it; city and
    district stay.
    """
    last = 0
    for end in _ROAD_END.finditer(text):
        if end.start() < last:
            continue
        line = max(last, text.rfind("\n", 0, end.start()) + 1, end.start() - _BEFORE)
        if _ANYWHERE.search(text, line, end.end()) is None:
            continue
        found = _KOREAN.search(text, line, end.end() + _BEFORE)
        if found is not None and found.start() < end.start():
            last = found.end()
            yield found.start("road"), last
    for house in _HOUSE.finditer(text):
        found = _ENGLISH.match(text, house.start())
        if found is not None:
            flat = _FLAT.search(text, max(0, found.start() - 24), found.start())
            yield (flat or found).start(), found.end()
    for found in _ROAD_FIRST.finditer(text):
        word = _WORD.search(text, max(0, found.start() - 21), found.start())
        if word is not None:
            yield word.start(), found.end()
    for found in _BOX.finditer(text):
        yield found.span()
