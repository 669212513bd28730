"""Numbers in running text, English and Korean, by value.

Digits must survive; they may be grouped otherwise, take Korean scales (`300만` for `3 million`),
or become words. Words of many meanings (`one`, `second`, `이`) are not missed when they are gone,
but may stand for digits of the other text.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction

from ..answers.numbers import read_english, read_korean
from ..answers.quantity import UNITS

Unit = tuple[str, Fraction]

# Units that people translate, beyond those in which answers are given.
_IMPERIAL = {
    **dict.fromkeys(("mile", "miles", "마일"), ("mile", Fraction(1))),
    **dict.fromkeys(("foot", "feet", "ft", "피트"), ("foot", Fraction(1))),
    **dict.fromkeys(("inch", "inches", "인치"), ("inch", Fraction(1))),
    **dict.fromkeys(("yard", "yards", "야드"), ("yard", Fraction(1))),
    **dict.fromkeys(("pound", "pounds", "lb", "lbs", "파운드"), ("pound", Fraction(1))),
    **dict.fromkeys(("ounce", "ounces", "oz", "온스"), ("ounce", Fraction(1))),
    **dict.fromkeys(("gallon", "gallons", "갤런"), ("gallon", Fraction(1))),
}
# What is counted is a matter of style: three pens are 펜 세 자루 or 펜 3개.
_UNITS: dict[str, Unit] = {
    name: unit for name, unit in UNITS.items() if not unit[0].startswith("count:")
} | _IMPERIAL
_NAMES = sorted(_UNITS, key=len, reverse=True)
_UNIT = re.compile(
    rf"\s?-?(?:({'|'.join(re.escape(n) for n in _NAMES if n.isascii())})(?![A-Za-z0-9])"
    rf"|({'|'.join(re.escape(n) for n in _NAMES if not n.isascii())})"
    r"(?!의\s?[\d일이삼사오육칠팔구]))"
)
# 60 km/h, 60 kilometers per hour, 시속 60 km.
_RATE_BEFORE = re.compile(r"([시분초])속\s?$")
_RATE_AFTER = re.compile(
    r"\s?(?:/|per|an?)\s?(?:(h)(?:our|r)?|(m)in(?:ute)?|(s)(?:econd)?)(?![A-Za-z])"
)
_SECONDS = {"시": 3600, "분": 60, "초": 1, "h": 3600, "m": 60, "s": 1}
_CURRENCY = re.compile(r"(?:US)?([$₩€])\s?[-−]?$")

_SCALES = "천만억조경"
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<scale>\s?(?:hundred|thousand|million|billion|trillion)\b"
    # 100만큼 is as much as 100, and 3조각 are three pieces.
    rf"|\s?(?:[십백천]?[{_SCALES}]|[십백])(?![큼각건들])"
    rf"(?:\s?\d[\d,]*(?:[백천]?[{_SCALES}](?![큼각건들])|[백천](?![가-힣]))?)*)?",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"(?:(?<![\w)\]])[-−]|(?:minus|negative|영하|마이너스)\s)\s?[$₩€]?$", re.I)

_ENGLISH_WORD = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    "hundred|thousand|million|billion|trillion"
)
_ENGLISH = re.compile(
    rf"\b(?:{_ENGLISH_WORD})(?:(?:[\s-]+and)?[\s-]+(?:{_ENGLISH_WORD}))*\b", re.IGNORECASE
)
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
)
_MONTHS = (
    "january february march april may june july august september october november december".split()
)
_HALF = Fraction(1, 2)
_LOOSE: dict[str, tuple[Fraction | int, ...]] = {
    **{word: (i,) for i, word in enumerate(_ORDINALS, 1)},
    **{word + "s": (i,) for i, word in enumerate(_ORDINALS[2:], 3)},
    **{word: (i,) for i, word in enumerate(_MONTHS, 1)},
    **{"one": (1,), "once": (1,), "single": (1,), "twice": (2,), "double": (2,), "both": (2,)},
    **{"pair": (2,), "couple": (2,), "thrice": (3,), "triple": (3,), "dozen": (12,), "zero": (0,)},
    **{"half": (2, _HALF), "quarter": (4, Fraction(1, 4)), "quarters": (4,), "hundred": (100,)},
    **{"thousand": (1000,), "million": (10**6,), "billion": (10**9,), "hundreds": (100,)},
}
_LOOSE_WORD = re.compile(rf"\b(?:{'|'.join(sorted(_LOOSE, key=len, reverse=True))})\b", re.I)

_DIGIT = "영공일이삼사오육륙칠팔구"
_SINO = re.compile(rf"(?<![가-힣])[{_DIGIT}십백천만억조경]{{2,}}")
_COUNTED = "|".join(
    sorted(
        {n for n in UNITS if "가" <= n[0] <= "힣"}
        | set("월 시 차 각형 면체 제곱 세제곱 자리 세기 할 승 변 항 열 행 분의 차원 진법".split()),
        key=len,
        reverse=True,
    )
)
_SINO_COUNTED = re.compile(rf"(?<![가-힣])([{_DIGIT}십백천만])\s?(?={_COUNTED})")
_FRACTION = re.compile(rf"([{_DIGIT}십백]+)분의\s?([{_DIGIT}십백]+)")
_TENS = "열|스물|스무|서른|마흔|쉰|예순|일흔|여든|아흔"
_ONES = "하나|다섯|여섯|일곱|여덟|아홉|둘|셋|넷"
_BEFORE_NOUN = "한|두|세|석|네|넉|첫"
_NATIVE = re.compile(
    rf"(?<![가-힣])(?:(?:{_TENS})(?:{_ONES}|{_BEFORE_NOUN})?|{_ONES}"
    rf"|(?:{_BEFORE_NOUN})(?=\s?(?:{_COUNTED})|\s[가-힣]))"
)
_KOREAN_LOOSE: dict[str, tuple[Fraction | int, ...]] = {
    **{"하루": (1,), "이틀": (2,), "사흘": (3,), "나흘": (4,), "닷새": (5,), "엿새": (6,)},
    **{"이레": (7,), "여드레": (8,), "아흐레": (9,), "열흘": (10,), "보름": (15,)},
    **{"절반": (2, _HALF), "반": (2, _HALF), "유월": (6,), "시월": (10,), "영": (0,), "양쪽": (2,)},
}
_KOREAN_LOOSE_WORD = re.compile(rf"(?<![가-힣])(?:{'|'.join(_KOREAN_LOOSE)})")


@dataclass
class Numbers:
    """Numbers of a text.

    Attributes:
        digits: values of those in digits, in order.
        words: values of English number words that mean nothing else; they must survive, too.
        loose: values that a word may have, for each that may mean a number.
        units: of values in digits, where a unit follows or a currency goes before.
    """

    digits: list[Fraction] = field(default_factory=list)
    words: list[Fraction] = field(default_factory=list)
    loose: list[set[Fraction]] = field(default_factory=list)
    units: dict[Fraction, list[Unit]] = field(default_factory=dict)


def _value(text: str) -> Fraction | None:
    plain = text.replace(",", "") if not re.search(r"[가-힣A-Za-z]", text) else text
    try:
        return Fraction(plain)
    except ValueError:
        return read_korean(text, counted=True) or read_english(text.replace(",", ""))


def _unit(prose: str, match: re.Match[str]) -> Unit | None:
    if symbol := _CURRENCY.search(prose[: match.start()]):
        return _UNITS[symbol[1]]
    found = _UNIT.match(prose, match.end())
    if found is None or prose.startswith("s", match.end()):  # the 1990s
        return None
    dimension, factor = _UNITS[found[1] or found[2]]
    rate = _RATE_BEFORE.search(prose[: match.start()]) or _RATE_AFTER.match(prose, found.end())
    if rate is None or dimension == "speed":
        return dimension, factor
    per = _SECONDS[next(group for group in rate.groups() if group)]
    return "speed" if dimension == "length" else f"{dimension} in time", factor / per


def _read_digits(prose: str, numbers: Numbers) -> str:
    """Take the numbers in digits out of a text; gives the rest."""

    def take(match: re.Match[str]) -> str:
        value = _value(match[0].strip())
        if value is None:  # a scale that does not fit: the digits alone
            plain = match[0][: match.start("scale") - match.start()]
            value = Fraction(plain.replace(",", ""))
        if _NEGATIVE.search(prose[: match.start()]):
            value = -value
        numbers.digits.append(value)
        if unit := _unit(prose, match):
            numbers.units.setdefault(value, []).append(unit)
        return " "

    return _NUMBER.sub(take, prose)


def read_numbers(prose: str) -> Numbers:
    """The numbers of a text without code and mathematics."""
    numbers = Numbers()
    rest = _read_digits(prose, numbers)
    for match in _ENGLISH.finditer(rest):
        value = read_english(match[0])
        if value is not None and value > 1:
            numbers.words.append(value)
        else:  # several in a row: two three-digit numbers
            parts = [read_english(word) for word in re.findall(r"[A-Za-z]+", match[0])]
            numbers.words += [part for part in parts if part is not None and part > 1]
    for pattern, values in ((_LOOSE_WORD, _LOOSE), (_KOREAN_LOOSE_WORD, _KOREAN_LOOSE)):
        for match in pattern.finditer(rest):
            numbers.loose.append({Fraction(v) for v in values[match[0].lower()]})
    for match in _SINO.finditer(rest):
        # 사십일 is 41, and 40 days.
        readings = (read_korean(match[0][:end], False) for end in range(1, len(match[0]) + 1))
        numbers.loose.append({value for value in readings if value is not None})
    for pattern in (_SINO_COUNTED, _NATIVE):
        for match in pattern.finditer(rest):
            word = match[1] if pattern is _SINO_COUNTED else match[0]
            value = read_korean(word, counted=True)
            numbers.loose.append(set() if value is None else {value})
    for match in _FRACTION.finditer(rest):
        parts = [read_korean(part, counted=True) for part in match.groups()]
        numbers.loose += [{part} for part in parts if part is not None]
    return numbers
