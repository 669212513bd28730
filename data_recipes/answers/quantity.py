"""Quantities: a number, and what it counts or measures."""

import re
from dataclasses import dataclass
from fractions import Fraction

from .expression import read_expression
from .number_words import read_decimal, read_english, read_fraction, read_korean
from .surd import Number, add, as_fraction, multiply, negate, rational
from .units import DAYS, NAMES, UNITS, noun_dimension

_PART = re.compile(
    r"(\d[\d,]*(?:\.\d+)?|[가-힣]{1,4}?)\s*("
    + "|".join(re.escape(n) for n in NAMES if not n.startswith("°"))
    + r")(?![A-Za-z])\s*"
)
_MULTIPLE = re.compile(r"\d[\d,.]*\s*[^\d\s,.]+\s*\d")
_PREFIXED = re.compile(r"(-?)\s*(?:US)?([$₩€])\s*(-?[\d.].*)")
_NOUN = re.compile(r"(.*?[\w)}])\s+([A-Za-z]{2,20}(?: [A-Za-z]{2,20}){0,2})")
_NEGATIVE = re.compile(r"(?:마이너스|음수|minus|negative)\s+(.+)", re.IGNORECASE)
_PER = re.compile(r"([시분초])속\s*(.+)")
_AND_A_HALF = re.compile(r"(.+(?:시간|분|주|달|년))\s*반")
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


def read_number(text: str, counted: bool = False) -> Number | None:
    """A number in digits, LaTeX, Korean or English; `None` if the text is none."""
    text = text.strip()
    if (value := read_expression(text)) is not None:
        return value
    if match := _NEGATIVE.fullmatch(text):
        value = read_number(match[1])
        return None if value is None or _NEGATIVE.fullmatch(match[1]) else negate(value)
    below, fraction, above = text.partition("분의")
    if fraction:
        whole, mixed, below = below.rpartition("와 ")
        parts = [read_korean(part.strip(), counted=False) for part in (above, below)]
        if parts[0] is None or not parts[1]:
            return None
        value = rational(parts[0] / parts[1])
        begin = read_number(whole) if mixed else rational(0)
        return None if begin is None else add(begin, value)
    for words in (
        read_korean(text, counted),
        read_decimal(text),
        read_english(text),
        read_fraction(text),
    ):
        if words is not None:
            return rational(words)
    return None


def _is_korean(unit: str) -> bool:
    return "가" <= unit[-1] <= "힣"


def _measured(number: str, unit: str) -> Quantity | None:
    dimension, factor = UNITS[unit] if unit in UNITS else (noun_dimension(unit), Fraction(1))
    numeral = read_number(number, counted=True)
    if numeral is None or dimension is None:
        return None
    return Quantity(numeral, multiply(numeral, rational(factor)), dimension, _is_korean(unit))


def _combined(text: str) -> Quantity | None:
    """`1시간 30분`, `2 m 30 cm`: parts of one dimension, from large to small."""
    position, parts, total = 0, [], rational(0)
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or len(parts) == 4:
            return None
        dimension, factor = UNITS[match[2]]
        numeral = read_number(match[1], counted=True)
        if numeral is None or (parts and (dimension != parts[-1][0] or factor >= parts[-1][1])):
            return None
        parts.append((dimension, factor))
        total = add(total, multiply(numeral, rational(factor)))
        position = match.end()
    return Quantity(None, total, parts[0][0]) if len(parts) > 1 else None


def _and_a_half(text: str) -> Quantity | None:
    """`1시간 반`: the half is of the unit."""
    quantity = read_quantity(text)
    if quantity is None or quantity.numeral is None or not quantity.dimension:
        return None
    unit = next(name for name in NAMES if text.endswith(name))
    half = multiply(rational(UNITS[unit][1]), rational(Fraction(1, 2)))
    return Quantity(None, add(quantity.base, half), quantity.dimension)


def read_quantity(text: str) -> Quantity | None:
    """A number with its unit, currency or counted noun; `None` if the text is none."""
    number = read_number(text)
    if number is not None:
        return Quantity(number, number, None)
    if text in DAYS:
        return _measured(str(DAYS[text]), "일")
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
            return given.base == wanted.base
        unit = given.dimension or wanted.dimension
        measured, bare = (given, wanted) if wanted.dimension is None else (wanted, given)
        if unit != "percent":
            return measured.numeral == bare.base
        if measured.base == bare.base:
            return True  # 50 % is a half
        # A bare 50 was asked in percent; a bare 0.5 was asked as a share, and is not 0.5 %.
        share = as_fraction(bare.base)
        asked_in_percent = measured is wanted or (share is not None and abs(share) > 1)
        return asked_in_percent and measured.numeral == bare.base
    if given.dimension == wanted.dimension:
        return given.base == wanted.base
    if all(d.startswith("count:") for d in (given.dimension, wanted.dimension)):
        # Counters of one language differ (개, 명); those of two (명, students) cannot be matched.
        return given.korean != wanted.korean and given.base == wanted.base
    return False
