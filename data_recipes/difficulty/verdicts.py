"""What counts as wrong, and what follows for an item.

A sample of a solver is right, wrong, or *unknown*: cut off by the token limit, without an answer
that can be read, or never answered. Taken for wrong, unknown samples would fill the hard set with
questions whose answers are long or whose format the solver misses, which says nothing about their
difficulty; taken for right, they would throw out just the hardest. So they are bounded instead: an
item is decided if every reading of its unknown samples decides alike, and set aside otherwise. With
KORMo's rule, wrong means that all samples are read and none is right.
"""

from collections import Counter
from typing import Literal

RIGHT, WRONG = "right", "wrong"
TRUNCATED, UNREADABLE, UNGRADED, NO_ANSWER = "truncated", "unreadable", "ungraded", "no_answer"
Verdict = Literal["right", "wrong", "truncated", "unreadable", "ungraded", "no_answer"]
UNKNOWN = (TRUNCATED, UNREADABLE, UNGRADED, NO_ANSWER)

KEPT, DROPPED, UNDECIDED = "kept", "dropped", "undecided"
Decision = Literal["kept", "dropped", "undecided"]

LABELS = ("easy", "medium", "hard")
HARD = LABELS[-1]


def decide_by_solver(verdicts: list[Verdict], max_correct: int) -> Decision:
    """Whether a solver leaves an item (`kept`) or solves it (`dropped`).

    Args:
        verdicts: of its samples.
        max_correct: right samples up to which the item counts as wrong.
    """
    counts = Counter(verdicts)
    if counts[RIGHT] > max_correct:
        return DROPPED
    unknown = sum(counts[verdict] for verdict in UNKNOWN)
    return KEPT if counts[RIGHT] + unknown <= max_correct else UNDECIDED


def decide_by_labels(labels: list[str | None]) -> Decision:
    """Whether judges agree that an item is hard; a label of `None` could not be read."""
    known = [label for label in labels if label is not None]
    if any(label != HARD for label in known):
        return DROPPED
    return KEPT if len(known) == len(labels) else UNDECIDED
