"""Facts to hide in a text, and the questions that ask for them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from data_recipes.common.errors import RecipeError
from data_recipes.toy.long_documents import write_facts

# Parallel in both languages. None of these facts is in the embedded corpus.
_PLACES = {
    "en": "Busan Daegu Incheon Gwangju Daejeon Ulsan Suwon Jeonju Cheongju Gangneung Sokcho Mokpo "
    "Yeosu Pohang Gyeongju Andong Jinju Tongyeong Geoje Jeju".split(),
    "ko": "부산 대구 인천 광주 대전 울산 수원 전주 청주 강릉 속초 목포 여수 포항 경주 안동 진주 "
    "통영 거제 제주".split(),
}
_FACILITIES = {
    "en": "library|museum|city hall|post office|fire station|theatre|sports hall|harbour office|"
    "botanical garden|observatory|fish market|art gallery".split("|"),
    "ko": "도서관|박물관|시청|우체국|소방서|극장|체육관|항만 사무소|식물원|천문대|수산 시장|"
    "미술관".split("|"),
}
_DIGITS = 7  # one in ten million is guessed


@dataclass(frozen=True)
class Fact:
    """A sentence to hide.

    Attributes:
        key: what the value belongs to, as the question names it.
        text: the sentence.
        value: its digits.
    """

    key: str
    text: str
    value: str


@dataclass(frozen=True)
class NeedleStyle:
    """A way to write facts and questions.

    Attributes:
        name: on the command line.
        separator: what comes before a fact in the text; a blank line puts it between paragraphs.
        most_facts: different keys that there are for one question.
        write: random generator, language, needles, distractors -> facts, needles first.
        ask: facts, language -> the question, and the beginning of its answer.
        completion: what a base model reads after the text, by language.
    """

    name: str
    separator: str
    most_facts: int
    write: Callable[[random.Random, str, int, int], list[Fact]]
    ask: Callable[[list[Fact], str], tuple[str, str]]
    completion: dict[str, str]


def _values(rng: random.Random, number: int) -> list[str]:
    first = 10 ** (_DIGITS - 1)
    return [str(value) for value in rng.sample(range(first, 10 * first), number)]


def _general_facts(rng: random.Random, language: str, needles: int, others: int) -> list[Fact]:
    places, facilities = _PLACES[language], _FACILITIES[language]
    pairs = [(p, f) for p in range(len(places)) for f in range(len(facilities))]
    chosen = rng.sample(pairs, needles)
    # Near-identical: the same place or the same kind of house as one that is asked for.
    for number in range(others):
        place, facility = chosen[number % needles]
        near = [
            pair
            for pair in pairs
            if pair not in chosen and (pair[0] == place if number % 2 else pair[1] == facility)
        ]
        chosen.append(rng.choice(near))
    facts = []
    for (place, facility), value in zip(chosen, _values(rng, len(chosen))):
        if language == "ko":
            key = f"{places[place]} {facilities[facility]}"
            facts.append(Fact(key, f"{key}의 배송 번호는 {value}번이다.", value))
        else:
            key = f"the {places[place]} {facilities[facility]}"
            facts.append(Fact(key, f"The delivery number of {key} is {value}.", value))
    return facts


def _general_question(facts: list[Fact], language: str) -> tuple[str, str]:
    keys = [fact.key for fact in facts]
    if language == "ko":
        subject = f"{', '.join(keys)}의 배송 번호는{' 차례대로' if len(keys) > 1 else ''}"
        return f"{subject} 무엇인가?", subject
    if len(keys) == 1:
        return f"What is the delivery number of {keys[0]}?", f"The delivery number of {keys[0]} is"
    subject = f"delivery numbers of {', '.join(keys[:-1])} and {keys[-1]}"
    return f"What are the {subject}, in this order?", f"The {subject} are, in this order,"


def _recall_facts(rng: random.Random, language: str, needles: int, others: int) -> list[Fact]:
    facts = write_facts(rng, language, needles + others)
    # The question is the key: the corpus asks for one fact at a time.
    return [Fact(question, text, re.findall(r"\d+", text)[0]) for question, text in facts]


def _recall_question(facts: list[Fact], language: str) -> tuple[str, str]:
    (fact,) = facts
    return fact.key, fact.text.partition(fact.value)[0].rstrip()


STYLES = {
    "general": NeedleStyle(
        name="general",
        separator=" ",
        # One asked for, and those that share its place or its kind of house.
        most_facts=len(_FACILITIES["en"]),
        write=_general_facts,
        ask=_general_question,
        completion={
            "en": "\n\nQuestion: {question}\nAnswer: {beginning}",
            "ko": "\n\n질문: {question}\n답: {beginning}",
        },
    ),
    "recall": NeedleStyle(
        name="recall",
        separator="\n\n",
        most_facts=40,
        write=_recall_facts,
        ask=_recall_question,
        completion=dict.fromkeys(("en", "ko"), "\n\n{question} {beginning}"),
    ),
}
LANGUAGES = tuple(_PLACES)

# What a chat model reads before and after the text.
CHAT = {
    "en": (
        "Read the text, then answer the question that follows it.\n\n",
        "\n\n{question} Answer in one sentence.",
    ),
    "ko": (
        "다음 글을 읽고 그 뒤에 나오는 질문에 답하라.\n\n",
        "\n\n{question} 한 문장으로 답하라.",
    ),
}


def check_facts(style: NeedleStyle, needles: int, distractors: int) -> None:
    """Refuse numbers of facts that a style cannot write.

    Raises:
        RecipeError: too many, none, or several to find in a style that asks for one.
    """
    if needles < 1 or distractors < 0:
        raise RecipeError("--needles is at least 1, --distractors at least 0")
    if needles > 1 and style.name == "recall":
        raise RecipeError(
            "--needles: the recall style asks for one fact at a time, as the long documents of the "
            "corpus do; take --style general, or --distractors for more facts in the text"
        )
    if needles + distractors > style.most_facts:
        raise RecipeError(
            f"--needles and --distractors: at most {style.most_facts} facts together in style "
            f"{style.name}"
        )
