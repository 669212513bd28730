"""Quantities: a number, and what it counts or measures, in Korean and English units."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from .mathematics import Number, equal
from .numbers import read_number

# dimension -> {names: factor to the dimension's base}
_TABLE: dict[str, dict[str, Fraction | int]] = {
    "length": {
        "mm 밀리미터 millimeter millimeters millimetre millimetres": Fraction(1, 1000),
        "cm CM Cm 센티미터 센티 centimeter centimeters centimetre centimetres": Fraction(1, 100),
        "m 미터 meter meters metre metres": 1,
        "km KM Km 킬로미터 kilometer kilometers kilometre kilometres": 1000,
        "inch inches": Fraction(254, 10_000),
        "ft foot feet": Fraction(3048, 10_000),
        "mi mile miles": Fraction(1_609_344, 1000),
    },
    "mass": {
        "mg 밀리그램 milligram milligrams": Fraction(1, 1000),
        "g 그램 gram grams": 1,
        "kg KG Kg 킬로그램 킬로 kilogram kilograms": 1000,
        "t 톤 ton tons tonne tonnes": 1_000_000,
    },
    "volume": {
        "ml mL ML cc 밀리리터 milliliter milliliters millilitre millilitres": Fraction(1, 1000),
        "dL dl 데시리터": Fraction(1, 10),
        "l L 리터 liter liters litre litres": 1,
        "cm^3 cm3 세제곱센티미터": Fraction(1, 1000),
        "m^3 m3 세제곱미터": 1000,
    },
    "area": {
        "cm^2 cm2 제곱센티미터": Fraction(1, 10_000),
        "m^2 m2 제곱미터": 1,
        "km^2 km2 제곱킬로미터": 1_000_000,
    },
    "time": {
        "초 초간 s sec second seconds": 1,
        "분 분간 min mins minute minutes": 60,
        "시간 h hr hrs hour hours": 3600,
        "일 일간 day days": 86_400,
        "주 주일 주간 week weeks": 604_800,
    },
    # Months and years have no fixed number of days.
    "calendar": {"개월 달 month months": 1, "년 년간 year years": 12},
    "speed": {
        "km/h KM/H Km/h km/시 킬로미터/시 kph": Fraction(1000, 3600),
        "m/min m/분 미터/분": Fraction(1, 60),
        "m/s m/초 미터/초": 1,
    },
    "acceleration": {"m/s^2": 1},
    "force": {"N newton newtons 뉴턴": 1, "kN": 1000},
    "energy": {"J joule joules": 1, "kJ": 1000},
    "power": {"W watt watts 와트": 1, "kW 킬로와트": 1000},
    "amount": {"mol 몰 mole moles": 1},
    "won": {"원 ₩ KRW won": 1},
    "dollar": {"달러 불 $ USD dollar dollars": 1, "센트 cent cents": Fraction(1, 100)},
    "euro": {"유로 € EUR euro euros": 1},
    # 도 is both an angle and a temperature; the question says which.
    "degree": {"° 도 °C 섭씨도 degree degrees": 1},
    "fahrenheit": {"°F": 1},
    "percent": {"% 퍼센트 프로 percent": Fraction(1, 100)},
    # Names on one line count the same things.
    "count:people": {"명 사람 인 people person persons": 1},
    "count:times": {"번 회 차례 time times": 1},
    "count:pages": {"쪽 페이지 page pages": 1},
    "count:ordinal": {"번째 째": 1},
    "count:age": {"살 세": 1},
    **{
        f"count:{name}": {name: 1}
        for name in "개 마리 권 대 장 송이 자루 병 잔 그루 켤레 채 가지 층 점 등 위 호 칸 줄 벌 "
        "봉지 상자 조각 컵 판 팀 곳 방울 다발 묶음 통 학년 반 문제 과목 쌍 바퀴 걸음 층계 배 "
        "번지 호선 모둠 포기 알 톨 편 곡 척 팩 세트 접시 그릇".split()
    },
}

# name -> (dimension, factor)
UNITS: dict[str, tuple[str, Fraction]] = {
    name: (dimension, Fraction(factor))
    for dimension, lines in _TABLE.items()
    for names, factor in lines.items()
    for name in names.split()
}
# Longest first, so that 시간 is not read as 시 and 간, nor km as m.
NAMES = sorted(UNITS, key=len, reverse=True)
# Native words for a number of days.
DAYS = {
    **{"하루": 1, "이틀": 2, "사흘": 3, "나흘": 4, "닷새": 5, "엿새": 6, "이레": 7, "여드레": 8},
    **{"아흐레": 9, "열흘": 10, "보름": 15},
}
# What may stand between a number and a noun, but makes it another statement than "so many of it".
NOT_NOUNS = frozenset(
    "or and to than times plus minus over of is are not but by per if then hundred thousand "
    "million billion trillion dozen half approximately about remainder mod squared cubed".split()
)


def noun_dimension(noun: str) -> str | None:
    """Dimension of an English noun that is counted; `None` if the words are no noun."""
    # MW and mW are no words.
    words = [word.casefold() if len(word) > 2 else word for word in noun.split()]
    if not 1 <= len(words) <= 3 or NOT_NOUNS & set(words) or any(len(w) < 2 for w in words):
        return None
    last = words[-1]
    return f"count:{' '.join([*words[:-1], last[:-1] if last.endswith('s') else last])}"


_PART = re.compile(
    r"(\d[\d,]*(?:\.\d+)?|[가-힣]{1,4}?)\s*("
    + "|".join(re.escape(n) for n in NAMES if not n.startswith("°"))
    + r")(?![A-Za-z])\s*"
)
_MULTIPLE = re.compile(r"\d[\d,.]*\s*[^\d\s,.]+\s*\d")
_PREFIXED = re.compile(r"(-?)\s*(?:US)?([$₩€])\s*(-?[\d.].*)")
_NOUN = re.compile(r"(.*?[\w)}])\s+([A-Za-z]{2,20}(?: [A-Za-z]{2,20}){0,2})")
_PER = re.compile(r"([시분초])속\s*(.+)")
_AND_A_HALF = re.compile(r"(.+(?:시간|분|주|달|년))\s*반")
_BELOW_ZERO = re.compile(r"영하\s*(\d.*)")
_ORDINAL = re.compile(r"(\d{1,20})(?:st|nd|rd|th)")


@dataclass(frozen=True)
class Quantity:
    """A number with an optional unit.

    Attributes:
        numeral: the number as written, in its own unit; `None` if several units are combined.
        base: the number in the base unit of its dimension.
        dimension: what is measured or counted; `None` for a bare number.
        korean: the unit is written in Korean.
    """

    numeral: Number | None
    base: Number
    dimension: str | None
    korean: bool = False


def _is_korean(unit: str) -> bool:
    return "가" <= unit[-1] <= "힣"


def _measured(number: str, unit: str) -> Quantity | None:
    dimension, factor = UNITS[unit] if unit in UNITS else (noun_dimension(unit), Fraction(1))
    numeral = read_number(number, counted=True)
    if numeral is None or dimension is None:
        return None
    return Quantity(numeral, numeral * factor, dimension, _is_korean(unit))


def _combined(text: str) -> Quantity | None:
    """`1시간 30분`, `2 m 30 cm`: parts of one dimension, from large to small."""
    position, parts, total = 0, [], Fraction(0)
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or len(parts) == 4:
            return None
        dimension, factor = UNITS[match[2]]
        numeral = read_number(match[1], counted=True)
        if numeral is None or (parts and (dimension != parts[-1][0] or factor >= parts[-1][1])):
            return None
        parts.append((dimension, factor))
        total += numeral * factor
        position = match.end()
    return Quantity(None, total, parts[0][0]) if len(parts) > 1 else None


def _and_a_half(text: str) -> Quantity | None:
    """`1시간 반`: the half is of the unit."""
    quantity = read_quantity(text)
    if quantity is None or quantity.numeral is None or not quantity.dimension:
        return None
    unit = next(name for name in NAMES if text.endswith(name))
    half = UNITS[unit][1] / 2
    return Quantity(None, quantity.base + half, quantity.dimension)


def read_quantity(text: str) -> Quantity | None:
    """A number with its unit, currency or counted noun; `None` if the text is none."""
    number = read_number(text)
    if number is not None:
        return Quantity(number, number, None)
    if text in DAYS:
        return _measured(str(DAYS[text]), "일")
    if (below := _BELOW_ZERO.fullmatch(text)) and (degrees := read_quantity(below[1])):
        if degrees.dimension in ("degree", "fahrenheit") and degrees.numeral is not None:
            return replace(degrees, numeral=-degrees.numeral, base=-degrees.base)
    if match := _PER.fullmatch(text):
        return read_quantity(f"{match[2]}/{match[1]}")
    if match := _AND_A_HALF.fullmatch(text):
        return _and_a_half(match[1])
    if match := _PREFIXED.fullmatch(text):
        return _measured(match[1] + match[3], match[2])
    if _MULTIPLE.search(text) and (combined := _combined(text)):
        return combined
    if match := _ORDINAL.fullmatch(text):
        return _measured(match[1], "번째")
    for name in NAMES:
        head = text.removesuffix(name)
        # A Latin unit must not be the end of a longer word.
        if (
            head == text
            or not head
            or (name.isascii() and head[-1].isascii() and head[-1].isalpha())
        ):
            continue
        if (quantity := _measured(head, name)) is not None:
            return quantity
    if match := _NOUN.fullmatch(text):
        return _measured(match[1], match[2])
    return None


def same_quantity(given: Quantity, wanted: Quantity) -> bool:
    """Equal by value; a bare number fits the same number with a unit."""
    if given.dimension is None or wanted.dimension is None:
        if given.dimension == wanted.dimension:
            return equal(given.base, wanted.base)
        unit = given.dimension or wanted.dimension
        measured, bare = (given, wanted) if wanted.dimension is None else (wanted, given)
        if unit != "percent":
            return measured.numeral is not None and equal(measured.numeral, bare.base)
        if equal(measured.base, bare.base):
            return True  # 50 % is a half
        # A bare 50 was asked in percent; a bare 0.5 was asked as a share, and is not 0.5 %.
        asked_in_percent = measured is wanted or abs(bare.base) > 1
        return bool(asked_in_percent) and equal(measured.numeral, bare.base)
    if given.dimension == wanted.dimension:
        return equal(given.base, wanted.base)
    if all(d.startswith("count:") for d in (given.dimension, wanted.dimension)):
        # Counters of one language differ (개, 명); those of two (명, students) cannot be matched.
        return given.korean != wanted.korean and equal(given.base, wanted.base)
    return False
