"""Question, working and answer items whose numbers are computed, not written by hand."""

import random
from collections.abc import Callable

from .grammar import grammar_of
from .items.types import between
from .items.words import WEEKDAYS

Values = dict[str, object]

_PARITY = {"ko": ("짝수", "홀수"), "en": ("Even", "Odd")}


def document(rng: random.Random, language: str) -> str:
    """A sheet of several problems, each with working and answer."""
    grammar = grammar_of("reasoning", language)
    parts = [grammar.write(rng, "{heading}\\n\\n{remark?} {remark}")]
    remaining = list(_PROBLEMS)
    for _ in range(between(rng, 3, 7)):
        rule, compute = remaining.pop(between(rng, 0, len(remaining) - 1))
        values = {name: str(value) for name, value in compute(rng, language).items()}
        parts.append(grammar.write(rng, f"{{{rule}}}", values))
    return "\n\n".join(parts)


def _sum(rng: random.Random, language: str) -> Values:
    a, b = between(rng, 3, 90), between(rng, 3, 90)
    return {"a": a, "b": b, "c": a + b}


def _product(rng: random.Random, language: str) -> Values:
    a, b = between(rng, 3, 25), between(rng, 2, 12)
    return {"a": a, "b": b, "c": a * b}


def _change(rng: random.Random, language: str) -> Values:
    price, n = between(rng, 2, 19) * (100 if language == "ko" else 5), between(rng, 2, 9)
    note = 1000 if language == "ko" else 100
    cost = price * n
    paid = (cost // note + 1) * note
    return {"price": price, "n": n, "cost": cost, "paid": paid, "rest": paid - cost}


def _heights(rng: random.Random, language: str) -> Values:
    x = between(rng, 110, 180)
    y, z = x + between(rng, 2, 9), x - between(rng, 1, 9)
    if rng.random() < 0.5:
        x, y = y, x
    high, low = max(x, y, z), min(x, y, z)
    return {"x": x, "y": y, "z": z, "high": high, "low": low, "gap": high - low}


def _day_later(rng: random.Random, language: str) -> Values:
    names = WEEKDAYS[language]
    start, weeks, r = between(rng, 0, 6), between(rng, 1, 8), between(rng, 1, 6)
    n = 7 * weeks + r
    return {"day": names[start], "n": n, "weeks": weeks, "r": r, "later": names[(start + n) % 7]}


def _metres(rng: random.Random, language: str) -> Values:
    km, m = between(rng, 1, 9), between(rng, 2, 99) * 10
    return {"km": km, "m": m, "base": km * 1000, "c": km * 1000 + m}


def _minutes(rng: random.Random, language: str) -> Values:
    h, m = between(rng, 2, 6), between(rng, 5, 55)
    return {"h": h, "m": m, "base": h * 60, "c": h * 60 + m}


def _arrival(rng: random.Random, language: str) -> Values:
    h, m = between(rng, 1, 10), between(rng, 30, 49)
    n = between(rng, 70 - m, 59)
    return {"h": h, "m": m, "n": n, "sum": m + n, "h2": h + 1, "m2": m + n - 60}


def _average(rng: random.Random, language: str) -> Values:
    mean, up, down = between(rng, 70, 90), between(rng, 1, 9), between(rng, 1, 9)
    x, y, z = mean + up, mean - down, mean - up + down
    return {"x": x, "y": y, "z": z, "sum": x + y + z, "mean": mean}


def _discount(rng: random.Random, language: str) -> Values:
    price, rate = between(rng, 4, 90) * 100, between(rng, 1, 8) * 5
    off = price * rate // 100
    return {"price": price, "rate": rate, "off": off, "pay": price - off}


def _sequence(rng: random.Random, language: str) -> Values:
    start, step = between(rng, 1, 60), between(rng, 2, 25)
    return {"step": step} | {f"s{i}": start + (i - 1) * step for i in range(1, 6)}


def _age(rng: random.Random, language: str) -> Values:
    a, gap, n = between(rng, 11, 30), between(rng, 2, 7), between(rng, 2, 15)
    return {"a": a, "gap": gap, "n": n, "young": a - gap, "c": a - gap + n}


def _parity(rng: random.Random, language: str) -> Values:
    a = between(rng, 11, 999)
    return {"a": a, "half": a // 2, "r": a % 2, "answer": _PARITY[language][a % 2]}


def _no_numbers(rng: random.Random, language: str) -> Values:
    return {}


_PROBLEMS: tuple[tuple[str, Callable[[random.Random, str], Values]], ...] = (
    ("total", _sum),
    ("left", _sum),
    ("groups", _product),
    ("share", _product),
    ("change", _change),
    ("tallest", _heights),
    ("day_later", _day_later),
    ("metres", _metres),
    ("minutes", _minutes),
    ("arrival", _arrival),
    ("rectangle", _product),
    ("average", _average),
    ("discount", _discount),
    ("order", _no_numbers),
    ("kind", _no_numbers),
    ("sequence", _sequence),
    ("age", _age),
    ("speed", _product),
    ("parity", _parity),
)
