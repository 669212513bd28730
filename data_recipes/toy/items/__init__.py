"""Questions with a chain of small steps and a computed answer, in three disjoint splits.

Every step of a trace is local (a successor, a digit, a copy), while the answer alone would need all
of them at once, so a small model gains by thinking.
"""

import itertools
import random
from collections.abc import Iterator
from hashlib import sha256

from . import arithmetic, comparison, dates, logic, units
from .types import Operands, ReasoningItem, Task, between, choose, last_line, sentence
from .words import OTHER

__all__ = [
    "KINDS",
    "SPLITS",
    "ReasoningItem",
    "items",
    "parallel_rows",
    "sentence",
    "split_of",
    "unique_items",
]

_TASKS: dict[str, tuple[Task, ...]] = {
    "arithmetic": arithmetic.TASKS,
    "comparison": comparison.TASKS,
    "dates": dates.TASKS,
    "units": units.TASKS,
    "logic": logic.TASKS,
}
KINDS = tuple(_TASKS)
SPLITS = ("train", "validation", "test")
# Draws without a new problem after which a kind counts as used up.
_PATIENCE = 3_000


def split_of(task: str, key: Operands) -> str:
    """The split of a problem, by its operands alone: 90 % train, 5 % validation, 5 % test."""
    part = int.from_bytes(sha256(f"{task}/{key}".encode()).digest()[:4], "big") % 20
    return {0: "validation", 1: "test"}.get(part, "train")


def items(
    language: str, split: str, seed: int | str, native_traces: float = 0.5
) -> Iterator[ReasoningItem]:
    """Endless, deterministic stream of items of one language and split; problems may recur.

    Args:
        language: ``en`` or ``ko``.
        split: one of ``SPLITS``.
        seed: selects the stream. Item ``n`` depends on the arguments and ``n`` only.
        native_traces: share of the Korean items that are reasoned in Korean; the others are
            reasoned in English. English items always are.
    """
    _check(language, split)
    return (_item(language, split, seed, n, native_traces)[1] for n in itertools.count())


def unique_items(
    language: str, split: str, number: int, seed: int | str
) -> Iterator[ReasoningItem]:
    """`number` items whose problems all differ, kind after kind in turn.

    Raises:
        ValueError: the split has fewer problems of a kind.
    """
    _check(language, split)
    counts = {kind: itertools.count() for kind in KINDS}
    seen: set[tuple[str, Operands]] = set()
    for position in range(number):
        kind = KINDS[position % len(KINDS)]
        for n in itertools.islice(counts[kind], _PATIENCE):
            problem, item = _item(language, split, seed, n, kind=kind)
            if problem not in seen:
                break
        else:
            raise ValueError(f"{number} items: the {split} split has too few of kind {kind}")
        seen.add(problem)
        yield item


def _check(language: str, split: str) -> None:
    for name, value, choices in (("language", language, OTHER), ("split", split, SPLITS)):
        if value not in choices:
            raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")


def _item(
    language: str,
    split: str,
    seed: int | str,
    n: int,
    native_traces: float = 0.5,
    kind: str | None = None,
) -> tuple[tuple[str, Operands], ReasoningItem]:
    """The problem (task name and key) and its item."""
    name = "-".join(str(part) for part in (kind or "item", language, split, seed, n))
    rng = random.Random(name)
    task = choose(rng, _TASKS[kind or choose(rng, KINDS)])
    level = between(rng, 1, 3)
    operands = _operands(rng, task, level, split)
    trace = "ko" if language == "ko" and rng.random() < native_traces else "en"
    written = task.write(rng, operands, language, trace)
    value = written.values[language]
    item = ReasoningItem(
        id=name,
        kind=task.kind,
        language=language,
        level=level,
        question=written.question,
        reasoning="\n".join([*written.steps, last_line(written.values, language, trace)]),
        answer=sentence(value, language),
        value=value,
        wrong=written.wrong[language],
        wrong_reasoning="\n".join([*written.steps, last_line(written.wrong, language, trace)]),
        foreign=written.values[OTHER[language]],
    )
    return (task.name, task.key(operands)), item


def _operands(rng: random.Random, task: Task, level: int, split: str) -> Operands:
    while True:
        operands = task.draw(rng, level)
        if split_of(task.name, task.key(operands)) == split:
            return operands


def parallel_rows(seed: int) -> Iterator[dict[str, str]]:
    """Endless, deterministic stream of problems with their working, told in each language.

    Every row has `id`, `en`, `ko` (the translation of `en`: the wording is drawn from the same
    numbers) and `other_ko`, that of the row after it: the control that tells a translation from any
    text in the other language.
    """
    for n, (own, following) in enumerate(itertools.pairwise(_told_in_each(seed))):
        yield {"id": f"parallel-{seed}-{n}", **own, "other_ko": following["ko"]}


def _told_in_each(seed: int) -> Iterator[dict[str, str]]:
    for n in itertools.count():
        name = f"parallel-train-{seed}-{n}"
        rng = random.Random(name)
        task = choose(rng, _TASKS[choose(rng, KINDS)])
        operands = _operands(rng, task, between(rng, 1, 3), "train")
        texts = {}
        for language in OTHER:
            written = task.write(random.Random(f"{name}-words"), operands, language, language)
            answer = sentence(written.values[language], language)
            texts[language] = "\n".join([written.question, *written.steps, answer])
        yield texts
