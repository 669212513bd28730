"""Preference pairs: a right answer against one with a known fault."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

from .chats import Message, answered, assistant
from .items import ReasoningItem, items, sentence
from .items.types import choose
from .items.words import OTHER

FAULTS = ("wrong_answer", "wrong_language", "no_answer", "repetition")

# Wrong answers are half of the pairs: they are what makes an answer useless.
_DRAWN = ("wrong_answer",) * 3 + FAULTS[1:]
_GIVES_UP = {
    "en": ("I do not know.", "Let me think about it.", "That is a good question."),
    "ko": ("잘 모르겠습니다.", "생각해 보겠습니다.", "좋은 질문입니다."),
}


def preferences(language: str, seed: int) -> Iterator[dict[str, Any]]:
    """Endless, deterministic stream of pairs about problems of the train split.

    Every row has `id`, `prompt` (messages), `chosen` and `rejected` (one assistant message each,
    both with `reasoning_content` or both without), `language`, `kind`, `level`, `thinking` and
    `why`, the fault of the rejected one, one of ``FAULTS``.
    """
    # A stream apart from that of the conversations, which use the seed itself.
    source = items(language, "train", f"preferences/{seed}")
    return (_pair(item, seed, n) for n, item in zip(itertools.count(), source))


def _pair(item: ReasoningItem, seed: int, n: int) -> dict[str, Any]:
    rng = random.Random(f"{seed}/preferences/{item.language}/{n}")
    thinking, why = rng.random() < 0.5, choose(rng, _DRAWN)
    question, chosen = answered(item, thinking)
    return {
        "id": f"preferences-{item.language}-{seed}-{n}",
        "prompt": [question],
        "chosen": [chosen],
        "rejected": [_rejected(rng, item, thinking, why)],
        "language": item.language,
        "kind": item.kind,
        "level": item.level,
        "thinking": thinking,
        "why": why,
    }


def _rejected(rng: random.Random, item: ReasoningItem, thinking: bool, why: str) -> Message:
    steps = item.reasoning.split("\n")
    if why == "wrong_answer":
        # Every step is right but the last, so the pair is about drawing the conclusion.
        content, steps = sentence(item.wrong, item.language), item.wrong_reasoning.split("\n")
    elif why == "wrong_language":
        content = sentence(item.foreign, OTHER[item.language])
    elif why == "no_answer":
        content, steps = choose(rng, _GIVES_UP[item.language]), steps[:1]
    else:
        content, steps = " ".join([item.answer] * 4), [*steps[:-1], *[steps[-1]] * 4]
    return assistant(content, "\n".join(steps) if thinking else None)
