"""What a model's answer says: a value, a choice, a program, a grade, a label."""

import re

from ..answers import extract_answer, same_answer
from ..ask import Answer
from ..synthesize.validation import split_thoughts
from .items import Item
from .verdicts import LABELS, NO_ANSWER, RIGHT, TRUNCATED, UNREADABLE, WRONG, Verdict

_FENCE = re.compile(r"^```[ \t]*(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_PYTHON = ("python", "py", "python3", "")
_LABEL = re.compile(rf"(?<![A-Za-z])({'|'.join(LABELS)})(?![A-Za-z])", re.IGNORECASE)
_GRADE = re.compile(r"(?<![A-Za-z])(incorrect|correct)(?![A-Za-z])", re.IGNORECASE)
_MARKS = " \t*_`#>\"'.:"
# The line of a label or a grade may lead up to it, but not hold a discussion. Our choice.
_LONGEST_LINE = 40


def delivered(answer: Answer) -> tuple[str, Verdict | None]:
    """The text of an answer without thoughts, or why there is none."""
    if answer.finish_reason == "length":
        return "", TRUNCATED
    if answer.status != "answered" or answer.finish_reason != "stop":
        return "", NO_ANSWER
    text = split_thoughts(answer)[1]
    # Thoughts without an end are no answer, even if a value stands in their last line.
    return (text, None) if text and "<think>" not in text else ("", UNREADABLE)


def program(text: str) -> str | None:
    """The last block of Python; `None` without one."""
    blocks = [code for language, code in _FENCE.findall(text) if language.lower() in _PYTHON]
    return blocks[-1] if blocks else None


def judge_value(item: Item, text: str) -> tuple[Verdict, str]:
    """Whether the value in an answer is that of the item, and the value."""
    given = extract_answer(text)
    if given is None:
        return UNREADABLE, ""
    return (RIGHT if same_answer(given, item.answer) else WRONG), given


def judge_choice(item: Item, text: str) -> tuple[Verdict, str]:
    """Likewise of a choice, by its letter or by its words; the choice as its letter."""
    given = extract_answer(text)
    if given is None:
        return UNREADABLE, ""
    chosen = [letter for letter in item.letters if same_answer(given, letter)]
    if not chosen:
        chosen = [a for a, words in zip(item.letters, item.choices) if same_answer(given, words)]
    if len(chosen) != 1:
        return UNREADABLE, given
    return (RIGHT if chosen[0] == item.answer else WRONG), chosen[0]


def _last_word(text: str, pattern: re.Pattern[str]) -> str | None:
    """The one word of a kind on the last line; `None` where there is none, or several."""
    lines = [line.strip(_MARKS) for line in text.splitlines() if line.strip(_MARKS)]
    if not lines or len(lines[-1]) > _LONGEST_LINE:
        return None
    found = {word.lower() for word in pattern.findall(lines[-1])}
    return found.pop() if len(found) == 1 else None


def read_label(answer: Answer) -> str | None:
    """The difficulty that a judge's last line names; `None` if it cannot be read."""
    return _last_word(delivered(answer)[0], _LABEL)


def read_grade(answer: Answer) -> Verdict | None:
    """Whether a grader's last line says correct or incorrect; `None` if it cannot be read."""
    grade = _last_word(delivered(answer)[0], _GRADE)
    return {None: None, "correct": RIGHT, "incorrect": WRONG}[grade]
