"""Documents of 8,000 to 16,000 characters in which planted facts are recalled word for word."""

import random

from .grammar import PROSE, grammar_of
from .items.types import between, choose, distinct
from .korean import josa

_COLOURS = {
    "en": "red blue green yellow white black brown grey pink golden".split(),
    "ko": "빨간 파란 초록 노란 하얀 검은 갈색 회색 분홍 금빛".split(),
}
_HOLDERS = {
    "en": "box bag door drawer chest case locker jar".split(),
    "ko": "상자 가방 문 서랍 궤짝 통 사물함 항아리".split(),
}


def document(rng: random.Random, language: str) -> str:
    """Prose with 5 to 8 facts, 60 to 90 recalls between its paragraphs, and all facts at the end.

    The facts are told in the first half. One is told at the beginning and not again before the end;
    the others are recalled at any distance.
    """
    paragraphs = write_paragraphs(rng, language, between(rng, 5_500, 8_000))
    facts = write_facts(rng, language, between(rng, 5, 8))
    half = len(paragraphs) // 2
    # Two facts to recall from the start, so that recalls can alternate.
    planted = [0, 0, 0, *sorted(between(rng, 0, half) for _ in facts[3:])]
    inserted: list[list[str]] = [[] for _ in paragraphs]
    for (_, fact), place in zip(facts, planted):
        inserted[place].append(fact)
    recalled = None
    for place in sorted(between(rng, 1, len(paragraphs) - 1) for _ in range(between(rng, 60, 90))):
        known = [pair for pair, at in zip(facts[1:], planted[1:]) if at < place]
        # The same fact twice in a row would be copied, not looked up.
        recalled = choose(rng, [pair for pair in known if pair != recalled])
        inserted[place].append(" ".join(recalled))
    lines = [
        line
        for paragraph, added in zip(paragraphs, inserted)
        for line in ([*added, paragraph] if added else [paragraph])
    ]
    return "\n\n".join(
        [*lines, *(" ".join(facts[i]) for i in distinct(rng, len(facts), len(facts)))]
    )


def write_paragraphs(rng: random.Random, language: str, size: int) -> list[str]:
    """Paragraphs of prose of all genres, `size` characters or a little more."""
    paragraphs: list[str] = []
    written = 0
    while written < size:
        text = grammar_of(choose(rng, PROSE), language).write(rng, "{doc}")
        for paragraph in text.split("\n\n"):
            paragraphs.append(paragraph)
            written += len(paragraph)
            if written >= size:
                break
    return paragraphs


def write_facts(rng: random.Random, language: str, number: int) -> list[tuple[str, str]]:
    """Pairs of question and fact; holders and codes all differ."""
    colours, holders = _COLOURS[language], _HOLDERS[language]
    pairs = distinct(rng, len(colours) * len(holders), number)
    codes: list[str] = []
    while len(codes) < number:
        if (code := str(between(rng, 1000, 9999))) not in codes:
            codes.append(code)
    return [
        _fact(colours[pair % len(colours)], holders[pair // len(colours)], code, language)
        for pair, code in zip(pairs, codes)
    ]


def _fact(colour: str, holder: str, code: str, language: str) -> tuple[str, str]:
    if language == "ko":
        subject = f"{colour} {holder}의 암호는"
        return f"{subject} 무엇인가?", f"{subject} {code}{josa(code, '이다')}."
    subject = f"the code of the {colour} {holder}"
    return f"What is {subject}?", f"{subject.capitalize()} is {code}."
