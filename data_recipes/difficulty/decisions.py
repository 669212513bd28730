"""What a model's answer says, what counts as wrong, and what follows for an item.

A sample of a solver is right, wrong, or *unknown*: cut off by the token limit, without an answer
that can be read, or never answered. Taken for wrong, unknown samples would fill the hard set with
questions whose answers are long or whose format the solver misses, which says nothing about their
difficulty; taken for right, they would throw out just the hardest. So they are bounded instead: an
item is decided if every reading of its unknown samples decides alike, and set aside otherwise. With
KORMo's rule, wrong means that all samples are read and none is right.
"""

import re
from collections import Counter
from typing import Literal

from ..answers import choose, compare_answers, extract_answer
from ..ask import Answer
from .items import DifficultyItem

RIGHT, WRONG = "right", "wrong"
TRUNCATED, UNREADABLE, UNGRADED, NO_ANSWER = "truncated", "unreadable", "ungraded", "no_answer"
Reading = Literal["right", "wrong", "truncated", "unreadable", "ungraded", "no_answer"]
UNKNOWN = (TRUNCATED, UNREADABLE, UNGRADED, NO_ANSWER)

KEPT, DROPPED, UNDECIDED = "kept", "dropped", "undecided"
Decision = Literal["kept", "dropped", "undecided"]

LABELS = ("easy", "medium", "hard")
HARD = LABELS[-1]


_LABEL = re.compile(rf"(?<![A-Za-z])({'|'.join(LABELS)})(?![A-Za-z])", re.IGNORECASE)
_GRADE = re.compile(r"(?<![A-Za-z])(incorrect|correct)(?![A-Za-z])", re.IGNORECASE)
# "Not correct", "partly correct", "hard? No.": the word is there, and not what is said.
_TURNED = re.compile(
    r"\b(?:not?|never|neither|nor|hardly|barely|nearly|almost|mostly|largely|half|somewhat|rather"
    r"|partly|partial(?:ly)?)\b|n['’]t\b|안 |않|아니|아닙|못|부분",
    re.IGNORECASE,
)
_MARKS = " \t*_`#>\"'.:"
# The line of a label or a grade may lead up to it, but not hold a discussion. Our choice.
_LONGEST_LINE = 40


def delivered(answer: Answer) -> tuple[str, Reading | None]:
    """Return the text of an answer without thoughts, or why there is none."""
    if answer.finish_reason == "length":
        return "", TRUNCATED
    if answer.status != "answered" or answer.finish_reason != "stop":
        return "", NO_ANSWER
    text = answer.split_thoughts()[1]
    # Thoughts without an end are no answer, even if a value stands in their last line.
    return (text, None) if text and "<think>" not in text else ("", UNREADABLE)


def read_value(item: DifficultyItem, text: str) -> tuple[Reading, str]:
    """Compare the value in an answer with that of the item; gives the value, too.

    Values that no checker can compare are unread, and not wrong: an error of the checker would fill
    the hard set with whatever it cannot read.
    """
    given = extract_answer(text)
    if given is None:
        return UNREADABLE, ""
    same = compare_answers(given, item.answer)
    return (UNREADABLE if same is None else RIGHT if same else WRONG), given


def read_choice(item: DifficultyItem, text: str) -> tuple[Reading, str]:
    """Compare a choice, by its mark or by its words; gives the choice as its letter."""
    given = extract_answer(text)
    if given is None:
        return UNREADABLE, ""
    chosen = choose(given, item.choices)
    if chosen is None:
        return UNREADABLE, given
    letter = item.letters[chosen]
    return (RIGHT if letter == item.answer else WRONG), letter


def _last_word(text: str, pattern: re.Pattern[str]) -> str | None:
    """The one word of a kind on the last line; `None` for none, several, one denied or halved."""
    lines = [line.strip(_MARKS) for line in text.splitlines() if line.strip(_MARKS)]
    if not lines or len(lines[-1]) > _LONGEST_LINE or _TURNED.search(lines[-1]):
        return None
    found = {word.lower() for word in pattern.findall(lines[-1])}
    return found.pop() if len(found) == 1 else None


def read_label(answer: Answer) -> str | None:
    """Read the difficulty that a judge's last line names; `None` if it cannot be read."""
    return _last_word(delivered(answer)[0], _LABEL)


def read_grade(answer: Answer) -> Reading | None:
    """Read whether a grader's last line says correct or incorrect; `None` if neither."""
    grade = _last_word(delivered(answer)[0], _GRADE)
    return {None: None, "correct": RIGHT, "incorrect": WRONG}[grade]


def decide_by_solver(readings: list[Reading], max_correct: int) -> Decision:
    """Decide whether a solver leaves an item (`kept`) or solves it (`dropped`).

    Args:
        readings: of its samples.
        max_correct: right samples up to which the item counts as wrong.
    """
    counts = Counter(readings)
    if counts[RIGHT] > max_correct:
        return DROPPED
    unknown = sum(counts[reading] for reading in UNKNOWN)
    return KEPT if counts[RIGHT] + unknown <= max_correct else UNDECIDED


def decide_by_labels(labels: list[str | None]) -> Decision:
    """Decide whether judges agree that an item is hard; a label of `None` could not be read."""
    known = [label for label in labels if label is not None]
    if any(label != HARD for label in known):
        return DROPPED
    return KEPT if len(known) == len(labels) else UNDECIDED
