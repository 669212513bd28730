"""Orders walked along name by name, and things that pass from hand to hand."""

import random

from ..korean import josa
from .types import Operands, Task, WrittenItem, alike, between, choose, distinct
from .words import NAMES, THINGS

# (comparative, superlative) of both directions, the greater first
_ENGLISH = (
    (("taller", "tallest"), ("shorter", "shortest")),
    (("older", "oldest"), ("younger", "youngest")),
    (("faster", "fastest"), ("slower", "slowest")),
)
# (what is compared, polite predicate, plain predicate, attribute)
_KOREAN = (
    (("키가 ", "큽니다", "크다", "큰"), ("키가 ", "작습니다", "작다", "작은")),
    (("나이가 ", "많습니다", "많다", "많은"), ("나이가 ", "적습니다", "적다", "적은")),
    (("", "빠릅니다", "빠르다", "빠른"), ("", "느립니다", "느리다", "느린")),
)


def _draw_order(rng: random.Random, level: int) -> Operands:
    """`level + 2` name indices, the greatest first."""
    return tuple(distinct(rng, len(NAMES["en"]), level + 2))


def _write_order(rng: random.Random, operands: Operands, language: str, trace: str) -> WrittenItem:
    names = [NAMES[language][i] for i in operands]
    relation, stated, asked = between(rng, 0, 2), between(rng, 0, 1), between(rng, 0, 1)
    pairs = [(a, b) if stated == 0 else (b, a) for a, b in zip(names, names[1:])]
    pairs = [pairs[i] for i in distinct(rng, len(pairs), len(pairs))]
    if language == "en":
        than, most = _ENGLISH[relation][stated][0], _ENGLISH[relation][asked][1]
        statements = [f"{a} is {than} than {b}." for a, b in pairs]
        question = f"Who is the {most}?"
    else:
        what, predicate = _KOREAN[relation][stated][:2]
        statements = [f"{a}{josa(a, '은')} {b}보다 {what}{predicate}." for a, b in pairs]
        what, _, _, attribute = _KOREAN[relation][asked]
        question = f"{what}가장 {attribute} 사람은 누구입니까?"
    if asked == 1:
        names.reverse()
    # The walk starts at the first name of the question, as a reader would.
    at, steps = names.index(pairs[0][0]), []
    more = _ENGLISH[relation][asked][0]
    _, _, plain, attribute = _KOREAN[relation][asked]
    for here, above in zip(names[at::-1], names[:at][::-1]):
        step = f"{above}{josa(above, '이')} 더 {plain}" if trace == "ko" else f"{above} is {more}"
        steps.append(f"{here}: {step}.")
    end = f"더 {attribute} 사람이 없다" if trace == "ko" else f"nobody is {more}"
    steps.append(f"{names[0]}: {end}.")
    told = " ".join([*statements, question])
    return WrittenItem(told, steps, alike(names[0]), alike(choose(rng, names[1:])))


def _draw_pass(rng: random.Random, level: int) -> Operands:
    """The hands through which the asked thing and another one go, as two tuples of indices."""
    other = between(rng, 1, 2) if level < 3 else 1  # more would make the question too long
    return tuple(
        tuple(distinct(rng, len(NAMES["en"]), passes + 1)) for passes in (level + 1, other)
    )


def _handover(giver: str, taker: str, thing: str, language: str, style: int) -> str:
    if language == "en":
        return f"{giver} {('gives', 'hands')[style]} the {thing} to {taker}."
    verb = ("줍니다", "건넵니다")[style]
    return f"{giver}{josa(giver, '이')} {taker}에게 {thing}{josa(thing, '을')} {verb}."


def _write_pass(rng: random.Random, operands: Operands, language: str, trace: str) -> WrittenItem:
    things, style = distinct(rng, len(THINGS["en"]), 2), between(rng, 0, 1)
    hands = [[NAMES[language][i] for i in indices] for indices in operands]
    waiting = [
        [_handover(a, b, THINGS[language][thing], language, style) for a, b in zip(way, way[1:])]
        for way, thing in zip(hands, things)
    ]
    told = []
    while any(waiting):
        told.append(choose(rng, [queue for queue in waiting if queue]).pop(0))
    thing = THINGS[language][things[0]]
    question = (
        f"Who has the {thing} at the end?"
        if language == "en"
        else f"마지막에 {thing}{josa(thing, '을')} 가진 사람은 누구입니까?"
    )
    name = THINGS[trace][things[0]]
    steps = [
        f"{name}{josa(name, '은')} {a}에게서 {b}에게 간다."
        if trace == "ko"
        else f"The {name} goes from {a} to {b}."
        for a, b in zip(hands[0], hands[0][1:])
    ]
    wrong = choose(rng, hands[0][:-1])
    return WrittenItem(" ".join([*told, question]), steps, alike(hands[0][-1]), alike(wrong))


TASKS = (
    Task("logic", "order", _draw_order, _write_order),
    Task("logic", "pass", _draw_pass, _write_pass),
)
