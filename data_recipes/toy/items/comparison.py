"""The larger or smaller of two to four numbers, compared digit by digit."""

import random

from ..korean import josa
from .types import Operands, Task, WrittenItem, alike, between, choose


def _draw(rng: random.Random, level: int) -> Operands:
    """`level + 1` different numbers of three digits; many share their first digits."""
    numbers = [between(rng, 100, 999)]
    while len(numbers) < level + 1:
        shared = choose(rng, [0, 1, 1, 2])
        unit = 10 ** (3 - shared)
        near = numbers[-1] // unit * unit + between(rng, 0, unit - 1)
        if near >= 100 and near not in numbers:
            numbers.append(near)
    return tuple(numbers)


def _key(numbers: Operands) -> Operands:
    return tuple(sorted(numbers))


def _digits(a: int, b: int) -> tuple[str, int]:
    """How the first digits compare up to the first difference, and the sign of `a - b`."""
    written = []
    for x, y in zip(str(a), str(b)):
        written.append(f"{x} {'=' if x == y else '>' if x > y else '<'} {y}")
        if x != y:
            break
    return ", ".join(written), 1 if a > b else -1


def _question(rng: random.Random, numbers: Operands, language: str, largest: bool) -> str:
    *front, last = numbers
    style, two = between(rng, 0, 1), len(numbers) == 2
    if language == "en":
        form = {True: ("larger", "largest"), False: ("smaller", "smallest")}[largest][not two]
        listed = ", ".join(map(str, front))
        if style:
            return f"Which number is the {form}: {listed} or {last}?"
        return f"Find the {form} of {listed} and {last}."
    form = ("더 " if two else "가장 ") + ("큰" if largest else "작은")
    first = str(numbers[0])
    listed = f"{first}{josa(first, '과')} {last}" if two else ", ".join(map(str, numbers))
    if style:
        return f"{listed} 중에서 {form} 수는 무엇입니까?"
    return f"{listed} 중에서 {form} 수를 고르세요."


def _write(rng: random.Random, numbers: Operands, language: str, trace: str) -> WrittenItem:
    largest = rng.random() < 0.5
    best, steps = numbers[0], []
    for other in numbers[1:]:
        compared, sign = _digits(best, other)
        kept = best if (sign > 0) == largest else other
        if trace == "ko":
            steps.append(f"{best}{josa(str(best), '과')} {other}: {compared}, 그래서 {kept}")
        else:
            steps.append(f"{best} and {other}: {compared}, so {kept}")
        best = kept
    wrong = choose(rng, [n for n in numbers if n != best])
    question = _question(rng, numbers, language, largest)
    return WrittenItem(question, steps, alike(best), alike(wrong))


TASKS = (Task("comparison", "digits", _draw, _write, _key),)
