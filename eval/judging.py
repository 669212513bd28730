"""Judges a generated answer: right by value, thought to the end, in the language of the question.

What a model wrote arrives as a turn that says whether thinking was asked for (`as_turn`), so that
an answer in a think block that never closed is not taken for an answer.
"""

import re
from dataclasses import dataclass

from data_recipes.answers import extract_answer, same_answer
from data_recipes.common.errors import RecipeError
from modeling_kormo.chat_config import END_OF_THINKING, THINK

_ASKED = f"{THINK}\n"
_NOT_ASKED = f"{THINK}{END_OF_THINKING}"

_MATHS = re.compile(
    r"\$\$.*?\$\$|\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\boxed\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
    r"|\\[A-Za-z]+",
    re.DOTALL,
)
_LETTER = re.compile(r"[^\W\d_]")
_OF = {"ko": re.compile(r"[가-힣]"), "en": re.compile(r"[A-Za-z]")}
# Our choice: "\boxed{B}", "17 km" or "x = 3" is no language, "The answer is 17." is English.
_FEWEST_LETTERS = 10
# Our choice: below half; a Korean answer keeps some English terms and variables.
_LOWEST_SHARE = 0.5


@dataclass(frozen=True)
class Verdict:
    """What a generated answer is worth.

    Attributes:
        right: the answer has the wanted value, and came after thinking if that was asked for, or
            without if not.
        truncated_thinking: thinking was asked for, and did not end.
        other_language: the answer, without its formulas, is not in the language of the question.
        as_asked: a think block with content if thinking was asked for, none if not.
    """

    right: bool
    truncated_thinking: bool
    other_language: bool
    as_asked: bool


def as_turn(completion: str, thinking: bool) -> str:
    """A completion with how it was asked for, in the form that `judge_turn` reads.

    Args:
        completion: what the model wrote after a prompt that opened the think block (thinking) or
            closed an empty one (not thinking).
        thinking: whether it was asked to think.
    """
    return (_ASKED if thinking else _NOT_ASKED) + completion


def judge(completion: str, wanted: str, thinking: bool, language: str) -> Verdict:
    """Judge what followed the prompt.

    Args:
        completion: as for `as_turn`.
        wanted: the right answer.
        thinking: whether it was asked to think.
        language: of the question, ``ko`` or ``en``.
    """
    reasoning, closed, answer = completion.rpartition(END_OF_THINKING)
    if thinking:
        as_asked = bool(closed) and bool(reasoning.strip())
    else:
        as_asked = not closed and THINK not in completion
    answered = bool(closed) == thinking
    given = extract_answer(answer) if answered else None
    return Verdict(
        right=given is not None and same_answer(given, wanted),
        truncated_thinking=thinking and not closed,
        other_language=answered and _in_other_language(answer, language),
        as_asked=as_asked,
    )


def judge_turn(turn: str, wanted: str, language: str) -> Verdict:
    """Judge a turn that `as_turn` made.

    Raises:
        RecipeError: it comes from a backend that throws the think block away.
    """
    for mark, thinking in ((_NOT_ASKED, False), (_ASKED, True)):
        if turn.startswith(mark):
            return judge(turn[len(mark) :], wanted, thinking, language)
    raise RecipeError(
        "these answers came without their think block, so a truncated one would count as an "
        "answer; evaluate with eval.backend (KORMoLM), not with lm-eval's own model class"
    )


def _in_other_language(answer: str, language: str) -> bool:
    text = _MATHS.sub(" ", answer)
    letters = len(_LETTER.findall(text))
    own = len(_OF[language].findall(text))
    return letters >= _FEWEST_LETTERS and own < _LOWEST_SHARE * letters
