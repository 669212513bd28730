"""What a reasoning item is, and what a task has to provide to make items."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Operands = tuple[Any, ...]

_RESULT = {"en": "Result: ", "ko": "결과: "}


@dataclass(frozen=True)
class ReasoningItem:
    """A question whose answer was computed.

    Attributes:
        id: unique within one stream.
        kind: one of ``KINDS``.
        language: of question and answer, ``en`` or ``ko``.
        level: 1 to 3; more steps at higher levels.
        question: at most 40 words.
        reasoning: one small step a line; the last line ends in `value`.
        answer: a sentence that ends with `value` and a full stop.
        value: the bare answer.
        wrong: a plausible value that is not the answer, in the same language.
        wrong_reasoning: `reasoning` but for its last line, which ends in `wrong`.
        foreign: `value` as the other language writes it; the same where it has no other form.
    """

    id: str
    kind: str
    language: str
    level: int
    question: str
    reasoning: str
    answer: str
    value: str
    wrong: str
    wrong_reasoning: str
    foreign: str


@dataclass(frozen=True)
class WrittenItem:
    """Operands put into words.

    Attributes:
        question: as in `ReasoningItem`.
        steps: the lines of the trace without its last.
        values: the answer by language.
        wrong: a plausible wrong answer by language.
    """

    question: str
    steps: list[str]
    values: dict[str, str]
    wrong: dict[str, str]


@dataclass(frozen=True)
class Task:
    """One way to make questions of a kind.

    Attributes:
        kind: one of ``KINDS``.
        name: unique over all tasks.
        draw: operands for a level, free of language and wording.
        write: puts operands into words: random source (for the wording), operands, language of
            the question, language of the trace.
        key: what two problems with the same solution share; decides the split.
    """

    kind: str
    name: str
    draw: Callable[[random.Random, int], Operands]
    write: Callable[[random.Random, Operands, str, str], WrittenItem]
    key: Callable[[Operands], Operands] = lambda operands: operands


def sentence(value: str, language: str) -> str:
    """The answer as a sentence."""
    return f"답은 {value}입니다." if language == "ko" else f"The answer is {value}."


def alike(value: object) -> dict[str, str]:
    """A value that both languages write alike, by language."""
    return {"en": str(value), "ko": str(value)}


def last_line(values: dict[str, str], language: str, trace: str) -> str:
    """Last line of a trace. An English trace of a Korean question ends by naming both forms."""
    value = values[language]
    translated = "" if values[trace] == value else f"{values[trace]}, "
    return f"{_RESULT[trace]}{translated}{value}"


def between(rng: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    # Unlike randint, random() gives the same numbers in every Python version.
    return low + int(rng.random() * (high - low + 1))


def choose(rng: random.Random, choices: list[Any] | tuple[Any, ...]) -> Any:
    """One of the choices."""
    return choices[between(rng, 0, len(choices) - 1)]


def distinct(rng: random.Random, size: int, number: int) -> list[int]:
    """`number` different indices below `size`, in random order."""
    left = list(range(size))
    return [left.pop(between(rng, 0, len(left) - 1)) for _ in range(number)]
