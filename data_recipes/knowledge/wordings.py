"""Sentences about facts in Korean and English: questions in several wordings, and statements."""

from collections.abc import Callable
from dataclasses import dataclass

from ..toy.korean import realise
from .triples import Graph

# `{subject}` is what is asked about; marks as `[은]` become the particle that fits (toy/korean.py).
_Wordings = dict[str, tuple[str, str, str]]


@dataclass(frozen=True)
class Relation:
    """How a relation is spoken of.

    Attributes:
        questions: by language; the last of the wordings is never trained on, to tell a fact that
            was learned from a sentence that was.
        statement: by language, with `{head}` and `{tail}`.
        symmetric: it also holds from tail to head. Such a fact is told, but never asked for: its
            other direction would give the answer away between training and test.
    """

    questions: _Wordings
    statement: dict[str, str]
    symmetric: bool = False


def _relation(ko: tuple[str, str, str], en: tuple[str, str, str], say_ko: str, say_en: str):
    return Relation({"ko": ko, "en": en}, {"ko": say_ko, "en": say_en})


RELATIONS: dict[str, Relation] = {
    "capital": _relation(
        (
            "{subject}의 수도는 어디인가?",
            "{subject}의 수도를 말하라.",
            "{subject}[은] 어느 도시를 수도로 삼는가?",
        ),
        (
            "What is the capital of {subject}?",
            "Name the capital of {subject}.",
            "Which city is the capital of {subject}?",
        ),
        "{head}의 수도는 {tail}[이다].",
        "The capital of {head} is {tail}.",
    ),
    "continent": _relation(
        (
            "{subject}[은] 어느 대륙에 있는가?",
            "{subject}[이] 있는 대륙을 말하라.",
            "{subject}[이] 속한 대륙은 어디인가?",
        ),
        (
            "On which continent is {subject}?",
            "Name the continent of {subject}.",
            "Which continent does {subject} belong to?",
        ),
        "{head}[은] {tail}에 있다.",
        "{head} is in {tail}.",
    ),
    "region": _relation(
        (
            "{subject}[은] 어느 지역에 있는가?",
            "{subject}[이] 있는 지역을 말하라.",
            "{subject}[이] 속한 지역은 어디인가?",
        ),
        (
            "In which region is {subject}?",
            "Name the region of {subject}.",
            "Which region does {subject} belong to?",
        ),
        "{head}[은] {tail} 지역에 있다.",
        "{head} is in the region {tail}.",
    ),
    "currency": _relation(
        (
            "{subject}에서 쓰는 돈은 무엇인가?",
            "{subject}의 통화를 말하라.",
            "{subject}에서는 어떤 통화로 값을 치르는가?",
        ),
        (
            "What money is used in {subject}?",
            "Name the currency of {subject}.",
            "Which currency does one pay with in {subject}?",
        ),
        "{head}의 통화는 {tail}[이다].",
        "The currency of {head} is the {tail}.",
    ),
    "language": _relation(
        (
            "{subject}의 공용어는 무엇인가?",
            "{subject}의 공용어를 말하라.",
            "{subject}[은] 어떤 언어를 공용어로 쓰는가?",
        ),
        (
            "What is an official language of {subject}?",
            "Name an official language of {subject}.",
            "Which language is official in {subject}?",
        ),
        "{head}의 공용어는 {tail}[이다].",
        "An official language of {head} is {tail}.",
    ),
    "drives_on": _relation(
        (
            "{subject}에서는 길의 어느 쪽으로 차를 모는가?",
            "{subject}에서 차가 다니는 쪽을 말하라.",
            "{subject}의 차는 도로 어느 편으로 달리는가?",
        ),
        (
            "On which side of the road does one drive in {subject}?",
            "Name the side of the road that cars keep to in {subject}.",
            "Which side do drivers keep to in {subject}?",
        ),
        "{head}에서는 길의 {tail}[으로] 차를 몬다.",
        "In {head} one drives on the {tail}.",
    ),
    "family": _relation(
        (
            "{subject}[은] 어느 어족이나 어파에 속하는가?",
            "{subject}의 어족이나 어파를 말하라.",
            "{subject}의 계통은 무엇인가?",
        ),
        (
            "Which language family does {subject} belong to?",
            "Name the language family of {subject}.",
            "What family is {subject} part of?",
        ),
        "{head}[은] {tail}에 속한다.",
        "{head} is one of the {tail} languages.",
    ),
    "script": _relation(
        (
            "{subject}[은] 어떤 문자로 적는가?",
            "{subject}[을] 적는 문자를 말하라.",
            "{subject}의 글은 무슨 문자로 쓰이는가?",
        ),
        (
            "In which script is {subject} written?",
            "Name the script of {subject}.",
            "What script does {subject} use?",
        ),
        "{head}[은] {tail}[으로] 적는다.",
        "{head} is written in the {tail} script.",
    ),
    "kind": _relation(
        (
            "{subject}[은] 어떤 종류인가?",
            "{subject}의 종류를 말하라.",
            "{subject}[은] 무엇의 하나인가?",
        ),
        (
            "What kind of thing is {subject}?",
            "Name the kind of {subject}.",
            "What is {subject} one of?",
        ),
        "{head}[은] {tail}의 하나이다.",
        "{head} is a kind of {tail}.",
    ),
    "group": _relation(
        (
            "{subject}[은] 크게 보아 무엇인가?",
            "{subject}[이] 드는 큰 갈래를 말하라.",
            "{subject}[은] 어느 갈래에 드는가?",
        ),
        (
            "What is {subject}, broadly?",
            "Name the group that {subject} falls into.",
            "Which broad group has {subject} in it?",
        ),
        "{head}[은] {tail}에 든다.",
        "{head} falls under {tail}.",
    ),
    "neighbour": Relation(
        {},
        {"ko": "{head}[은] {tail}[과] 맞닿아 있다.", "en": "{head} borders {tail}."},
        symmetric=True,
    ),
    "spoken": Relation(
        {}, {"ko": "{head}에서는 {tail}도 쓴다.", "en": "{tail} is spoken in {head}."}
    ),
}
# Two facts in a row: the tail of the first is the head of the second.
TWO_HOPS: dict[tuple[str, str], dict[str, str]] = {
    ("language", "family"): {"ko": "{subject}의 공용어", "en": "an official language of {subject}"},
    ("language", "script"): {"ko": "{subject}의 공용어", "en": "an official language of {subject}"},
    ("region", "continent"): {"ko": "{subject}[이] 속한 지역", "en": "the region of {subject}"},
    ("kind", "group"): {"ko": "{subject}[이] 드는 종류", "en": "the kind of {subject}"},
}
# What stands for an entity whose picture is shown, by its kind.
PICTURED = {
    "country": {"ko": "이 국기를 쓰는 나라", "en": "the country with this flag"},
    "emoji": {"ko": "그림 속의 것", "en": "the thing in this picture"},
}
# A question for the name of what is shown, which needs no fact.
NAMING = {
    "country": {"ko": "이 국기를 쓰는 나라는 어디인가?", "en": "Which country has this flag?"},
    "emoji": {"ko": "그림 속의 것은 무엇인가?", "en": "What is the thing in this picture?"},
}


def ask(path: tuple[str, ...], subject: str, language: str, wording: int) -> str:
    """Write a question.

    Args:
        path: one relation, or two of `TWO_HOPS`.
        subject: a name, or a phrase of `PICTURED`.
        language: code.
        wording: 0 to 2; the last is kept out of training.
    """
    if len(path) == 2:
        subject = TWO_HOPS[path][language].replace("{subject}", subject)
    text = RELATIONS[path[-1]].questions[language][wording].replace("{subject}", subject)
    return realise(text) if language == "ko" else text


def state(graph: Graph, fact: tuple[str, str, str], language: str) -> str:
    """Write a fact as a sentence."""
    head, relation, tail = fact
    if relation not in RELATIONS:  # of a graph of others, such as BOK-VQA's
        return f"{graph.name(head, language)}, {relation}: {graph.name(tail, language)}."
    text = RELATIONS[relation].statement[language]
    text = text.replace("{head}", graph.name(head, language))
    text = text.replace("{tail}", graph.name(tail, language))
    return realise(text) if language == "ko" else text[0].upper() + text[1:]


def teller(graph: Graph) -> Callable[[str, str, str], str]:
    """Return what puts the facts on a path into words: `(head, path, language) -> text`.

    The path is one of `Graph.way`, or `name`, which tells what the head is called. Empty if the
    graph leads nowhere.
    """

    def tell(head: str, path: str, language: str) -> str:
        if path == "name":
            return graph.name(head, language)
        return " ".join(state(graph, fact, language) for fact in graph.way(head, path))

    return tell
