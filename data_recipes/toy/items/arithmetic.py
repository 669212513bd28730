"""Running totals and counting."""

import random

from ..korean import josa
from .types import Operands, Task, WrittenItem, alike, between, choose
from .words import FRUITS, NAMES


def _draw_total(rng: random.Random, level: int) -> Operands:
    """A start and `level + 1` signed steps; the running total stays positive."""
    numbers = [between(rng, 2, 9)]
    for _ in range(level + 1):
        change = between(rng, 1, 9)
        lower = rng.random() < 0.4 and sum(numbers) > change
        numbers.append(-change if lower else change)
    return tuple(numbers)


def _total_key(numbers: Operands) -> Operands:
    # The order of the terms does not change the result: 3 + 4 + 5 tells what 5 + 3 + 4 is.
    return tuple(sorted(numbers))


def _sum_as_expression(numbers: Operands) -> str:
    return str(numbers[0]) + "".join(f" {'-+'[n > 0]} {abs(n)}" for n in numbers[1:])


def _english_total(rng: random.Random, numbers: Operands) -> str:
    style, name, fruit = between(rng, 0, 2), choose(rng, NAMES["en"]), choose(rng, FRUITS["en"])
    if style == 0:
        return f"What is {_sum_as_expression(numbers)}?"
    if style == 1:
        steps = [f"{'Add' if n > 0 else 'Take away'} {abs(n)}." for n in numbers[1:]]
        return " ".join([f"Start with {numbers[0]}.", *steps, "What is the result?"])
    things = fruit + ("es" if fruit.endswith("ch") else "s")
    steps = [f"{name} {'gets' if n > 0 else 'gives away'} {abs(n)}." for n in numbers[1:]]
    question = f"How many {things} does {name} have now?"
    return " ".join([f"{name} has {numbers[0]} {things}.", *steps, question])


def _korean_total(rng: random.Random, numbers: Operands) -> str:
    style, name, fruit = between(rng, 0, 2), choose(rng, NAMES["ko"]), choose(rng, FRUITS["ko"])
    if style == 0:
        expression = _sum_as_expression(numbers)
        return f"{expression}{josa(expression, '은')} 얼마입니까?"
    if style == 1:
        steps = [
            f"{abs(n)}{josa(str(abs(n)), '을')} {'더합니다' if n > 0 else '뺍니다'}."
            for n in numbers[1:]
        ]
        return " ".join([f"{numbers[0]}에서 시작합니다.", *steps, "결과는 얼마입니까?"])
    steps = [f"{abs(n)}개를 {'더 받습니다' if n > 0 else '남에게 줍니다'}." for n in numbers[1:]]
    start = f"{name}에게 {fruit}{josa(fruit, '이')} {numbers[0]}개 있습니다."
    return " ".join([start, *steps, f"이제 {fruit}{josa(fruit, '은')} 몇 개입니까?"])


def _write_total(rng: random.Random, numbers: Operands, language: str, trace: str) -> WrittenItem:
    question = (_korean_total if language == "ko" else _english_total)(rng, numbers)
    total = numbers[0]
    first = (
        f"처음은 {total}{josa(str(total), '이다')}." if trace == "ko" else f"Start with {total}."
    )
    steps = [first]
    for n in numbers[1:]:
        steps.append(f"{total} {'-+'[n > 0]} {abs(n)} = {total + n}")
        total += n
    wrong = total + choose(rng, [1, 2, 10])
    return WrittenItem(question, steps, alike(total), alike(wrong))


def _draw_count(rng: random.Random, level: int) -> Operands:
    """Fruit indices in the order of the list, the counted one first."""
    size = between(rng, *((4, 5), (6, 7), (8, 9))[level - 1])
    choices = [between(rng, 0, len(FRUITS["en"]) - 1) for _ in range(3)]
    listed = [choose(rng, choices) for _ in range(size)]
    return (choose(rng, listed), *listed)


def _write_count(rng: random.Random, operands: Operands, language: str, trace: str) -> WrittenItem:
    target, *listed = (FRUITS[language][i] for i in operands)
    style, written = between(rng, 0, 1), ", ".join(listed)
    if language == "en":
        question = (
            f"How many times is {target} in this list: {written}?"
            if style
            else f"Here is a list: {written}. How many times does it say {target}?"
        )
    elif style:
        question = f"다음 목록에 {target}{josa(target, '은')} 몇 번 나옵니까? {written}"
    else:
        question = f"목록은 {written}입니다. {target}{josa(target, '이')} 몇 번 나옵니까?"
    count, marks = 0, []
    for fruit in listed:
        count += fruit == target
        marks.append(f"{fruit} {count}" if fruit == target else fruit)
    first = f"{target}{josa(target, '을')} 센다." if trace == "ko" else f"Count {target}."
    wrong = count - 1 if count > 1 and rng.random() < 0.5 else count + 1
    return WrittenItem(question, [first, ", ".join(marks)], alike(count), alike(wrong))


TASKS = (
    Task("arithmetic", "total", _draw_total, _write_total, _total_key),
    Task("arithmetic", "count", _draw_count, _write_count),
)
