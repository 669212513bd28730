"""Reasoning items rendered to text, as a model writes them that thinks."""

from __future__ import annotations

import itertools
import random

from .items import ReasoningItem, items
from .items.types import between


def document(rng: random.Random, language: str) -> str:
    """Three to seven items of the train split, with a blank line between them."""
    source = items(language, "train", f"traces/{rng.random()}")
    return "\n\n".join(render(item) for item in itertools.islice(source, between(rng, 3, 7)))


def render(item: ReasoningItem) -> str:
    """Question, trace and answer in the form of the chat template's assistant turns."""
    return written(item.question, item.reasoning, item.answer)


def written(question: str, reasoning: str, answer: str) -> str:
    """A document of a question, thoughts and an answer."""
    return f"{question}\n<think>\n{reasoning}\n</think>\n\n{answer}"
