"""Solves reasoning items from the text of their questions alone, for `test_corpus_items`.

It shares no code with the generator, so that a fault in one of them shows.
"""

from __future__ import annotations

import re
from typing import Any

Problem = tuple[Any, ...]

_WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "ko": [f"{day}요일" for day in "월화수목금토일"],
}
_MONTHS = {
    "en": "January February March April May June July August September October November "
    "December".split(),
    "ko": [f"{n}월" for n in range(1, 13)],
}
_FRUITS = {
    "en": "apple pear peach plum lemon melon".split(),
    "ko": "사과 배 복숭아 자두 레몬 참외".split(),
}
_NAMES = {
    "en": "Emma Leo Grace Daniel Lucy Henry Nora Adam Ruby Alice Peter Mina".split(),
    "ko": "지훈 서연 민준 하은 도윤 지우 현우 수빈 준서 예린 유진 민서".split(),
}
# How many of the second unit make one of the first.
_SIZES = {"minute second": 60, "hour minute": 60, "day hour": 24, "week day": 7, "year month": 12}
_SIZES |= {"분 초": 60, "시간 분": 60, "일 시간": 24, "며칠 시간": 24, "주 일": 7, "년 개월": 12}
_SIZES |= {"m cm": 100, "km m": 1000, "kg g": 1000, "L mL": 1000}


def solve(kind: str, language: str, question: str) -> tuple[Problem, str]:
    """The problem, free of language and wording, and its answer."""
    solver = {
        "arithmetic": _arithmetic,
        "comparison": _comparison,
        "dates": _dates,
        "units": _units,
        "logic": _logic,
    }[kind]
    problem, answer = solver(question, language)
    return (kind, *problem), answer


def _groups(pattern: str, text: str) -> list[str]:
    """What the groups of a pattern caught, without those that took no part."""
    found = re.search(pattern, text)
    assert found is not None, text
    return [group for group in found.groups() if group]


def _arithmetic(question: str, language: str) -> tuple[Problem, str]:
    if re.search("list|목록", question):
        fruits = _FRUITS[language]
        listed = r"(?:list: |목록은 |나옵니까\? )((?:%s)(?:, (?:%s))*)" % (("|".join(fruits),) * 2)
        words = _groups(listed, question)[0].split(", ")
        (target,) = _groups(r"times is (\w+)|say (\w+)|(\w+)[은는이가] 몇", question)
        return (
            "count",
            *(fruits.index(word) for word in [target, *words]),
        ), str(words.count(target))
    terms = re.findall(r"(- |gives away |Take away )?(\d+)(개를 남에게|[을를] 뺍)?", question)
    numbers = [-int(n) if before or after else int(n) for before, n, after in terms]
    return ("total", *sorted(numbers)), str(sum(numbers))


def _comparison(question: str, language: str) -> tuple[Problem, str]:
    numbers = sorted(map(int, re.findall(r"\d+", question)))
    largest = re.search("large|큰", question)
    return tuple(numbers), str(numbers[-1 if largest else 0])


def _dates(question: str, language: str) -> tuple[Problem, str]:
    day = bool(re.search("Which day|무슨 요일", question))
    names = (_WEEKDAYS if day else _MONTHS)[language]
    (first,) = _groups(r"(\d+월|.요일)(?:에서|입니다)|(?:on|in) ([A-Z]\w+)\.", question)
    moves = re.findall(
        r"(Go back )?(\d+) ?(?:days?|months?|일|개월)( before|을 거슬| 전)?", question
    )
    spans = [-int(n) if back or before else int(n) for back, n, before in moves]
    start = names.index(first)
    return (day, start, *spans), names[(start + sum(spans)) % len(names)]


def _units(question: str, language: str) -> tuple[Problem, str]:
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    if len(numbers) == 2:
        large, small = _groups(r"\d ?(km|kg|m|L) \d+ ?(cm|mL|m|g)", question)
        size = _SIZES[f"{large} {small}"]
        return ("join", size, *numbers), str(numbers[0] * size + numbers[1])
    (total,) = numbers
    if language == "en":
        large, small = _groups(r"(\w+)s and (\w+)s", question)
    else:
        large, small = _groups(
            r"(며칠|(?<=몇 )\w+) 몇 (\w+)입니까|[을를] (\w+)[과와] (\w+?)(?:으로|로) ", question
        )
    size = _SIZES[f"{large} {small}"]
    many, rest = divmod(total, size)
    if language == "en":
        plural = [f"{n} {unit}{'s' * (n > 1)}" for n, unit in ((many, large), (rest, small))]
        return ("split", size, total), " ".join(plural)
    return ("split", size, total), f"{many}{large.replace('며칠', '일')} {rest}{small}"


def _logic(question: str, language: str) -> tuple[Problem, str]:
    return (_passed if re.search("at the end|마지막", question) else _order)(question, language)


def _passed(question: str, language: str) -> tuple[Problem, str]:
    if language == "en":
        moves = re.findall(r"(\w+) (?:gives|hands) the (\w+) to (\w+)\.", question)
    else:
        found = re.findall(r"(\w+)[이가] (\w+)에게 (\w+)[을를] \w+니다\.", question)
        moves = [(giver, thing, taker) for giver, taker, thing in found]
    (asked,) = _groups(r"has the (\w+)|마지막에 (\w+)[을를] ", question)
    ways: dict[bool, list[str]] = {}
    for giver, thing, taker in moves:
        way = ways.setdefault(thing == asked, [giver])
        assert way[-1] == giver, question
        way.append(taker)
    chains = [tuple(map(_NAMES[language].index, ways[side])) for side in (True, False)]
    return ("pass", *chains), ways[True][-1]


def _order(question: str, language: str) -> tuple[Problem, str]:
    if language == "en":
        stated = re.findall(r"(\w+) is (\w+) than (\w+)\.", question)
    else:
        found = re.findall(r"(\w+)[은는] (\w+)보다 (?:\w+가 )?(\w+)니다\.", question)
        stated = [(a, how, b) for a, b, how in found]
    below: dict[str, str] = {}
    for a, how, b in stated:
        upper, lower = (a, b) if re.match("taller|older|faster|큽|많습|빠릅", how) else (b, a)
        below[upper] = lower
    (top,) = set(below) - set(below.values())
    order = [top]
    while order[-1] in below:
        order.append(below[order[-1]])
    assert len(order) == len(stated) + 1, question
    most = re.search("tallest|oldest|fastest|가장 (?:큰|많은|빠른)", question)
    return ("order", *map(_NAMES[language].index, order)), order[0 if most else -1]
