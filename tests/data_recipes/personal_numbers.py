"""Construct texts with one invented personal number each, and texts that only look as if.

Written without sight of any masking rule, so that rules can be measured on it. Nobody's data: each
number is drawn at random; reserved ranges (555-01xx, example.com) make up a part only, because
rules could know them. A positive's span is the least that must go: a number from its first to its
last sign, an address from the name of its street or quarter to the building's number. Signs at a
span's edge that are neither letters nor digits, `+` or `(`, may stay. A positive holds no other
personal number. A negative's span is the look-alike; nothing in the whole text may be masked.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.data_recipes.personal_digits import (
    alien,
    business,
    card,
    fill,
    one,
    resident,
    resident_2020,
)
from tests.data_recipes.personal_frames import FILLERS, FRAMES, LABELS, NEGATIVES, SENTENCES
from tests.data_recipes.personal_lookalikes import LOOKALIKES, lookalike


@dataclass(frozen=True)
class Item:
    """One text; `text[start:end]` is the number or the look-alike.

    `language` is "ko" or "en"; `fullwidth` says that its digits are full-width ones.
    """

    text: str
    start: int
    end: int
    kind: str
    language: str
    fullwidth: bool = False


_AREAS = "02 031 032 033 041 042 043 044 051 052 053 054 055 061 062 063 064".split()
_MOBILE = ["010"] * 8 + "011 016 017 018 019".split()
_DOMAINS = """naver.com daum.net hanmail.net gmail.com outlook.com nate.com kakao.com yahoo.co.uk
example.com example.org mail.example.net hanbit-sample.co.kr cs.sample-univ.ac.kr dept.sample.go.kr
sample-studio.io sub.mail.sample.museum""".split()
_WORDS = """haneul minji.k j_park contact sales info rladudgml hello bora bada-92 lee.sm team2
first.last dev+news kim seoulite x99 office""".split()
_BANKS = """국민은행 ######-0#-######|KB국민 ######-04-######|신한은행 110-###-######
신한 ###-##-######
우리은행 1002-###-######|우리 1005-###-######|농협 302-####-####-#1|농협은행 351-####-####-#3
NH농협 ###-##-######|카카오뱅크 3333-##-#######|하나은행 ###-91####-###07
기업은행 ###-######-01-01#
토스뱅크 1000-####-####|케이뱅크 100-###-######|우체국 ######-02-######
새마을금고 9002-####-####-#
SC제일은행 ###-20-######|부산은행 101-20##-####-0#|IM뱅크 508-##-######-#
IBK기업은행 ###-######-02-0##"""
_EN_BANKS = "First Harbor Bank|Bank of America|Barclays|Chase|HSBC|Wells Fargo|the credit union"
_CITIES = """서울특별시 마포구|서울 강남구|서울시 노원구|부산광역시 해운대구|부산 사하구
대구 달서구|광주광역시 북구
경기도 수원시 팔달구|경기 성남시 분당구|강원특별자치도 평창군|충북 청주시 흥덕구|전라남도 순천시
전북 익산시
경상북도 포항시 남구|경남 김해시|제주특별자치도 제주시|인천 연수구|대전광역시 유성구
세종특별자치시|마포구|천안시 동남구"""
_ROADS = """한빛 솔향 무지개 중앙 은행나무 새싹 문화 시청 학동 충무 장미 백제 테헤란
올림픽 평화 호수""".split()
_STREETS = (
    "Oak Maple Elm Washington Cedar Hillcrest Park 5th Lakeview Church King High Mill".split()
)
_STREET_TYPES = "Street St. St Avenue Ave. Road Rd Lane Drive Blvd Court Place Way".split()
_TOWNS = "Springfield, IL 62704|Portland, OR|London|Leeds LS1 4AB|Austin, TX 78701|Dublin"


def _email(rng: Random) -> str:
    domain = rng.choice(_DOMAINS)
    tails = ["", fill(rng, "##"), fill(rng, "&###")]
    # At a public provider a plain name would be somebody's.
    tail = rng.choice(tails) if "example" in domain or "sample" in domain else fill(rng, "&####")
    address = f"{rng.choice(_WORDS)}{tail}@{domain}"
    return address.upper() if rng.random() < 0.03 else address


def _joined(rng: Random, parts: list[str]) -> str:
    """Write a Korean number's parts as people do."""
    a, b, c = parts
    separator = rng.choice(["-"] * 6 + [".", ".", " ", " ", "", "", " - ", "–", "()", ")", "( )"])
    if separator == "()":
        return f"({a}){b}-{c}"
    if separator == "( )":
        return f"({a}) {b}-{c}"
    return f"{a}){b}-{c}" if separator == ")" else separator.join(parts)


def _mobile_parts(rng: Random) -> list[str]:
    code = rng.choice(_MOBILE)
    middle = "&###" if code == "010" or rng.random() < 0.3 else "&##"
    return [code, fill(rng, middle), fill(rng, "####")]


def _landline_parts(rng: Random) -> list[str]:
    return [rng.choice(_AREAS), fill(rng, rng.choice(["&##", "&###"])), fill(rng, "####")]


def _internet_parts(rng: Random) -> list[str]:
    code = rng.choice(["070", "070", "0502", "0503", "0504", "0505", "0507", "0508"])
    middle = "&##" if code == "0505" else "&###"
    return [code, fill(rng, middle), fill(rng, "####")]


def _plus82(rng: Random) -> str:
    a, b, c = rng.choice([_mobile_parts, _landline_parts, _internet_parts])(rng)
    code, s = a[1:], rng.choice(["-", "-", " ", " ", ".", ""])
    written = [f"+82{s}{code}{s}{b}{s}{c}", f"+82 {code}-{b}-{c}", f"+82-(0){code}-{b}-{c}"]
    return rng.choice([*written, f"+82 (0){code} {b} {c}", f"(+82) {code}-{b}-{c}"])


def _us_phone(rng: Random) -> str:
    area = fill(rng, "&") + rng.choice(["0", "3", "5", "7", "8"]) + fill(rng, "#")
    exchange, line = fill(rng, "&#&"), fill(rng, "####")
    if rng.random() < 0.25:  # reserved for fiction
        exchange, line = "555", fill(rng, "01##")
    pattern = "({}) {}-{}|({}){}-{}|{}-{}-{}|{}.{}.{}|{} {} {}|+1 {} {} {}|+1-{}-{}-{}|1-{}-{}-{}"
    return one(rng, pattern + "|+1 ({}) {}-{}|{}{}{}|+1{}{}{}").format(area, exchange, line)


def _uk_phone(rng: Random) -> str:
    patterns = "020 7946 0###|07700 900###|020 &### ####|07&## ######|07&######## |0161 &## ####"
    patterns += (
        "|+44 20 &### ####|+44 (0)20 &### ####|+447&########|+44 7&## ######|(0131) &## ####"
    )
    return fill(rng, one(rng, patterns + "|01632 960###|01&&3 ######")).strip()


def _other_phone(rng: Random) -> str:
    patterns = "+81-3-&###-####|+81 90 &### ####|+86 138 #### ####|+86-10-&###-####"
    "|+49 30 &#######"
    patterns += (
        "|+49 (0)151 ########|+33 1 && ## ## ##|+33 6 ## ## ## ##|+65 9### ####|+84 90 ### ####"
    )
    return fill(rng, one(rng, patterns + "|+61 2 &### ####|+52 55 #### ####|+919&########"))


def _account(rng: Random) -> str:
    """Make "BANK NUMBER"; the bank's name moves into the frame."""
    bank, pattern = one(rng, _BANKS).rsplit(" ", 1)
    s = rng.choice(["-"] * 7 + ["", "", " "])
    return bank + "\t" + fill(rng, pattern).replace("-", s)


def _en_account(rng: Random) -> str:
    patterns = (
        "&#######|&#########|&###########|####-####-##|000#########|&### #### ####|##-#######-#"
    )
    return one(rng, _EN_BANKS) + "\t" + fill(rng, one(rng, patterns))


def _number(rng: Random) -> str:
    return str(rng.randrange(1, 400)) + rng.choice(["", "", f"-{rng.randrange(1, 40)}"])


def _road_address(rng: Random) -> str:
    """Make "CITY, TAB, ROAD NUMBER"; the city stands before the span."""
    n, road = rng.randrange(1, 300), rng.choice(_ROADS)
    ways = [f"{road}로", f"{road}대로", f"{road}길", f"{road}로{n}길", f"{road}로 {n}길"]
    way = rng.choice([*ways, f"{road}로{n}번길", f"{road}대로 {n}번길"])
    return f"{one(rng, _CITIES)}\t{way} {_number(rng)}"


def _lot_address(rng: Random) -> str:
    ends = [f"{rng.choice(_ROADS)}{e}" for e in ("동", "동", f"{rng.randrange(1, 6)}동", "리")]
    place = rng.choice(
        [*ends, f"{rng.choice(_ROADS)}읍 {ends[3]}", f"{rng.choice(_ROADS)}면 {ends[3]}"]
    )
    number = _number(rng) + rng.choice(["", "", "번지"])
    return f"{one(rng, _CITIES)}\t{place} {rng.choice(['', '', '', '산 ', '산'])}{number}"


def _en_address(rng: Random) -> str:
    side = rng.choice(["", "", "N. ", "West "])
    street = f"{rng.choice(_STREETS)} {rng.choice(_STREET_TYPES)}"
    return f"{one(rng, _TOWNS)}\t{rng.randrange(2, 9999)} {side}{street}"


# A kind's maker, the family of its frames, and the languages of its sentences.
POSITIVE: dict[str, tuple[Callable[[Random], str], str, str]] = {
    "email": (_email, "email", "ko en"),
    "ko_mobile": (lambda rng: _joined(rng, _mobile_parts(rng)), "phone", "ko ko ko en"),
    "ko_landline": (lambda rng: _joined(rng, _landline_parts(rng)), "phone", "ko ko ko en"),
    "ko_internet_phone": (lambda rng: _joined(rng, _internet_parts(rng)), "phone", "ko"),
    "ko_plus82": (_plus82, "phone", "ko en"),
    "us_phone": (_us_phone, "phone", "en"),
    "uk_phone": (_uk_phone, "phone", "en"),
    "other_phone": (_other_phone, "phone", "ko en en"),
    "resident": (resident, "resident", "ko ko ko en"),
    "resident_2020": (resident_2020, "resident", "ko ko ko en"),
    "alien": (alien, "alien", "ko ko en"),
    "business": (business, "business", "ko ko ko en"),
    "card": (card, "card", "ko en"),
    "ko_account": (_account, "account", "ko"),
    "en_account": (_en_account, "account", "en"),
    "ko_road_address": (_road_address, "address", "ko"),
    "ko_lot_address": (_lot_address, "address", "ko"),
    "en_address": (_en_address, "address", "en"),
}
# Families whose digits without a separator say nothing unless a label stands beside them.
_NEEDS_LABEL = ("resident", "alien", "business", "phone")


def _place(rng: Random, frame: str, x: str, language: str, **names: str) -> tuple[str, int]:
    """Return the frame's text around `x`, often among other sentences, and where `x` begins."""
    last = str(int(x[-1])) if x[-1].isdigit() else x[-1]
    # As the last digit is read: yeong, sam and yuk end in a consonant; il, chil and pal in an l.
    names["ro"] = "으로" if last in "036m" else "로"
    names["eun"], names["eul"] = ("은", "을") if last in "013678m" else ("는", "를")
    text = frame.format(x="\0", **names)
    space = rng.choice([" ", " ", "\n", "\n\n"]) if "\n" not in text else "\n"
    if rng.random() < 0.4:
        text = rng.choice(FILLERS[language]) + space + text
    if rng.random() < 0.4:
        text += space + rng.choice(FILLERS[language])
    start = text.index("\0")
    return text[:start] + x + text[start + 1 :], start


def _positive(rng: Random, kind: str) -> Item:
    make, family, languages = POSITIVE[kind]
    language = rng.choice(languages.split())
    beside, _, x = make(rng).rpartition("\t")
    frames = SENTENCES[language, family]
    if family not in ("account", "address"):
        labelled = x.isdigit() and family in _NEEDS_LABEL
        frames = FRAMES[language] if labelled or rng.random() < 0.5 else frames
    label = rng.choice(LABELS[language, family])
    wide = language == "ko" and x[-1].isdigit() and rng.random() < 0.04
    if wide:
        x = x.translate({**{ord("0") + d: ord("０") + d for d in range(10)}, ord("-"): "－"})
    text, start = _place(rng, rng.choice(frames), x, language, label=label, beside=beside)
    return Item(text, start, start + len(x), kind, language, wide)


def _negative(rng: Random, kind: str) -> Item:
    x = lookalike(rng, kind)
    frame = rng.choice(NEGATIVES[kind].split("|")).replace("\\n", "\n")
    language = "ko" if re.search("[가-힣]", frame + x) else "en"
    text, start = _place(rng, frame, x, language)
    return Item(text, start, start + len(x), kind, language)


def _draw(make: Callable[[Random, str], Item], kinds: list[str], seed: int, n: int) -> list[Item]:
    """Make `n` items, every kind as often as the others but for one, in a drawn order."""
    rng = Random(f"{make.__name__} {seed}")
    items = [make(rng, kinds[i % len(kinds)]) for i in range(n)]
    rng.shuffle(items)
    return items


def positives(seed: int, n: int) -> list[Item]:
    """Return `n` texts with one personal number each."""
    return _draw(_positive, list(POSITIVE), seed, n)


def negatives(seed: int, n: int) -> list[Item]:
    """Return `n` texts without a personal number, each with a look-alike."""
    return _draw(_negative, list(LOOKALIKES), seed, n)
