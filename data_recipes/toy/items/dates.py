"""Weekdays and months some days or months before or after, listed one by one."""

import random
from functools import partial

from ..korean import josa
from .types import Operands, Task, WrittenItem, between, distinct
from .words import EVENTS, MONTHS, WEEKDAYS

_LONGEST = (9, 5, 4)  # of one span, by level: the more spans, the shorter


def _draw(rng: random.Random, level: int, length: int) -> Operands:
    """Position in the cycle and `level` spans, negative ones backwards."""
    spans = [between(rng, 1, _LONGEST[level - 1]) for _ in range(level)]
    return (
        between(rng, 0, length - 1),
        *(-span if rng.random() < 0.4 else span for span in spans),
    )


def _english(rng: random.Random, start: str, spans: list[int], unit: str) -> str:
    when = f"{'on' if unit == 'day' else 'in'} {start}"
    lengths = [f"{abs(span)} {unit}{'s' if abs(span) > 1 else ''}" for span in spans]
    if rng.random() < 0.5:
        moves = [f"Go {'on' if s > 0 else 'back'} {n}." for s, n in zip(spans, lengths)]
        return " ".join([f"Start {when}.", *moves, f"Which {unit} is it?"])
    events = [EVENTS["en"][i] for i in distinct(rng, len(EVENTS["en"]), len(spans) + 1)]
    moves = [
        f"The {new} is {length} {'after' if span > 0 else 'before'} the {old}."
        for old, new, span, length in zip(events, events[1:], spans, lengths)
    ]
    first = f"The {events[0]} is {when}."
    return " ".join([first, *moves, f"Which {unit} is the {events[-1]}?"])


def _korean(rng: random.Random, start: str, spans: list[int], unit: str) -> str:
    lengths = [f"{abs(span)}{'일' if unit == 'day' else '개월'}" for span in spans]
    asked = "무슨 요일" if unit == "day" else "몇 월"
    if rng.random() < 0.5:
        moves = [
            f"{n}{josa(n, '이')} 지납니다." if s > 0 else f"{n}{josa(n, '을')} 거슬러 올라갑니다."
            for s, n in zip(spans, lengths)
        ]
        return " ".join([f"{start}에서 시작합니다.", *moves, f"{asked}입니까?"])
    events = [EVENTS["ko"][i] for i in distinct(rng, len(EVENTS["ko"]), len(spans) + 1)]
    moves = [
        f"{new}{josa(new, '은')} {old} {length} {'뒤' if span > 0 else '전'}입니다."
        for old, new, span, length in zip(events, events[1:], spans, lengths)
    ]
    first, last = (f"{event}{josa(event, '은')}" for event in (events[0], events[-1]))
    return " ".join([f"{first} {start}입니다.", *moves, f"{last} {asked}입니까?"])


def _write(
    rng: random.Random,
    operands: Operands,
    language: str,
    trace: str,
    cycle: dict[str, list[str]],
    unit: str,
) -> WrittenItem:
    at, *spans = operands
    names, length = cycle[trace], len(cycle[trace])
    phrase = _korean if language == "ko" else _english
    question = phrase(rng, cycle[language][at], spans, unit)
    steps = [] if trace == language else [f"{cycle[language][at]} is {names[at]}."]
    for span in spans:
        sign = 1 if span > 0 else -1
        passed = [f"{n}: {names[(at + sign * n) % length]}" for n in range(1, abs(span) + 1)]
        steps.append(f"{names[at]} {'+' if sign > 0 else '-'} {abs(span)} -> {', '.join(passed)}")
        at = (at + span) % length
    values = {key: names[at] for key, names in cycle.items()}
    wrong = {key: names[(at + 1) % length] for key, names in cycle.items()}
    return WrittenItem(question, steps, values, wrong)


TASKS = (
    Task("dates", "weekday", partial(_draw, length=7), partial(_write, cycle=WEEKDAYS, unit="day")),
    Task("dates", "month", partial(_draw, length=12), partial(_write, cycle=MONTHS, unit="month")),
)
