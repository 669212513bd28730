"""Units: a large number of small units split up, and two units written as one number."""

import random

from ..korean import josa
from .types import Operands, Task, WrittenItem, alike, between, choose

# (small units in a large one, English small and large, Korean small and large)
_SPLITS = (
    (60, "minute", "hour", "분", "시간"),
    (60, "second", "minute", "초", "분"),
    (24, "hour", "day", "시간", "일"),
    (7, "day", "week", "일", "주"),
    (12, "month", "year", "개월", "년"),
)
# (digits of the small unit, large unit, small unit)
_JOINS = ((2, "m", "cm"), (3, "km", "m"), (3, "kg", "g"), (3, "L", "mL"))


def _draw_split(rng: random.Random, level: int) -> Operands:
    """Index of the units and the number of small units: `level` large ones or one more."""
    units = between(rng, 0, len(_SPLITS) - 1)
    size = _SPLITS[units][0]
    return units, size * between(rng, level, level + 1) + between(rng, 1, size - 1)


def _split_key(operands: Operands) -> Operands:
    # Minutes in hours and seconds in minutes are the same sum.
    return _SPLITS[operands[0]][0], operands[1]


def _english_units(number: int, unit: str) -> str:
    return f"{number} {unit}" + ("s" if number > 1 else "")


def _write_split(rng: random.Random, operands: Operands, language: str, trace: str) -> WrittenItem:
    size, small, large, korean_small, korean_large = _SPLITS[operands[0]]
    total, style = operands[1], between(rng, 0, 1)

    def written(many: int, rest: int) -> dict[str, str]:
        return {
            "en": f"{_english_units(many, large)} {_english_units(rest, small)}",
            "ko": f"{many}{korean_large} {rest}{korean_small}",
        }

    if language == "en":
        question = (
            f"How many {large}s and {small}s are {total} {small}s?"
            if style
            else f"Write {total} {small}s in {large}s and {small}s."
        )
    else:
        amount = f"{total}{korean_small}"
        many_large = "며칠" if korean_large == "일" else f"몇 {korean_large}"
        units = f"{korean_large}{josa(korean_large, '과')} {korean_small}"
        question = (
            f"{amount}{josa(amount, '은')} {many_large} 몇 {korean_small}입니까?"
            if style
            else f"{amount}{josa(amount, '을')} {units}{josa(korean_small, '으로')} 나타내세요."
        )
    rest, steps = total, []
    for many in range(1, total // size + 1):
        unit = f"{many}{korean_large}" if trace == "ko" else _english_units(many, large)
        steps.append(f"{rest} - {size} = {rest - size}, {unit}")
        rest -= size
    many = total // size
    return WrittenItem(question, steps, written(many, rest), written(many + 1, rest))


def _draw_join(rng: random.Random, level: int) -> Operands:
    """Digits of the small unit, number of large and of small units.

    Short small parts, which need zeros in front, come at levels 2 and 3; level 3 has no two-digit
    units.
    """
    digits = choose(rng, [2, 3]) if level < 3 else 3
    low = 10 ** (digits - 1) if level == 1 else 1
    high = 10**digits - 1 if level == 1 else 10 ** (digits - 1) - 1
    return digits, between(rng, 1, 9 if level == 1 else 99), between(rng, low, high)


def _write_join(rng: random.Random, operands: Operands, language: str, trace: str) -> WrittenItem:
    digits, many, rest = operands
    _, large, small = choose(rng, [units for units in _JOINS if units[0] == digits])
    space = "" if language == "ko" else " "
    front, back = f"{many}{space}{large}", f"{rest}{space}{small}"
    style = between(rng, 0, 1)
    if language == "en":
        question = (
            f"How many {small} are {front} {back}?"
            if style
            else f"Write {front} {back} in {small}."
        )
    elif style:
        question = f"{front} {back}{josa(back, '은')} 몇 {small}입니까?"
    else:
        question = f"{front} {back}{josa(back, '을')} {small} 단위로 나타내세요."
    padded = f"{rest:0{digits}d}"
    steps = (
        [f"{front}: 앞은 {many}", f"{back}: 뒤의 {digits}자리는 {padded}"]
        if trace == "ko"
        else [f"{front}: in front {many}", f"{back}: {digits} digits behind, {padded}"]
    )
    # Leaving out the zeros is the usual mistake; where there are none, a digit is off.
    wrong = f"{many}{rest}" if len(str(rest)) < digits else f"{many + 1}{padded}"
    value = f"{many}{padded}"
    return WrittenItem(question, steps, alike(value), alike(wrong))


TASKS = (
    Task("units", "split", _draw_split, _write_split, _split_key),
    Task("units", "join", _draw_join, _write_join),
)
