"""Verifiable rewards in TRL's signature: lists of completions and columns in, one number each out.

KORMo leaves reinforcement learning on Korean reasoning to future work, so all three are our choice.
Right answers are what is learned. Language and form keep the answer readable, as DeepSeek-R1's
rewards for language consistency and format do (arXiv 2501.12948, section 2.3).

A completion begins after the generation prompt: with thinking, inside the `<think>` block that the
prompt opened; without, after the empty block.
"""

import re
from typing import Any

from data_recipes.answers import extract_answer, same_answer
from data_recipes.answers.text import letters_of

THINK, END_THINK = "<think>", "</think>"
LANGUAGES = ("ko", "en")

# Has no language: code, formulas, LaTeX commands, addresses, units after a number.
_NO_LANGUAGE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\(.*?\\\)|\\\[.*?\\\]|\\[A-Za-z]+"
    r"|https?://\S+|\d\s*(?:[kcm]?m|k?g|m[lL]|L|s|h)(?![A-Za-z])",
    re.DOTALL,
)


def answer_part(completion: str, thinking: bool) -> str:
    """What the user sees: the text after the reasoning; nothing while the reasoning goes on."""
    _, end, answer = completion.rpartition(END_THINK)
    return answer.strip() if end or not thinking else ""


def answer_reward(
    completions: list[str], answer: list[str], thinking: list[bool], **_: Any
) -> list[float]:
    """1 if the value that the visible answer ends with is the wanted one, else 0.

    The reasoning is not searched, and of several answers only the last counts, so neither naming
    many candidates nor answering in the reasoning pays.
    """
    rewards = []
    for completion, wanted, thinks in zip(completions, answer, thinking, strict=True):
        given = extract_answer(answer_part(completion, thinks))
        rewards.append(float(given is not None and same_answer(given, wanted)))
    return rewards


def _share(text: str, language: str) -> float:
    letters = letters_of(_NO_LANGUAGE.sub(" ", text))
    # A bare number is as right in one language as in the other.
    return letters[language] / total if (total := letters.total()) else 1.0


def language_reward(
    completions: list[str], language: list[str], thinking: list[bool], **_: Any
) -> list[float]:
    """Share of the visible answer's letters that are of the row's language; 0 without an answer.

    A share and not a threshold, so that a single foreign name costs little.
    """
    rewards = []
    for completion, code, thinks in zip(completions, language, thinking, strict=True):
        answer = answer_part(completion, thinks)
        rewards.append(_share(answer, code) if answer else 0.0)
    return rewards


def _well_formed(completion: str, thinking: bool) -> bool:
    if THINK in completion:
        return False  # the prompt has opened the block already
    if not thinking:
        return END_THINK not in completion and bool(completion.strip())
    reasoning, _, answer = completion.partition(END_THINK)
    return completion.count(END_THINK) == 1 and bool(reasoning.strip() and answer.strip())


def format_reward(
    completions: list[str],
    completion_ids: list[list[int]],
    thinking: list[bool],
    *,
    end_id: int,
    **_: Any,
) -> list[float]:
    """1 for reasoning where it was asked for and only there, an answer after it, and an end.

    Args:
        completions: decoded without special tokens, so the end does not show in them.
        completion_ids: the same as ids.
        thinking: whether reasoning was asked for.
        end_id: id of `<|EOT|>`; a completion without it was cut off.
    """
    return [
        float(_well_formed(completion, thinks) and bool(ids) and ids[-1] == end_id)
        for completion, ids, thinks in zip(completions, completion_ids, thinking, strict=True)
    ]
