"""Reasoning items rendered to text, as a model writes them that thinks."""

from __future__ import annotations

import random

from ..read.templates import trace_text
from .items import ReasoningItem, items


def document(rng: random.Random, language: str) -> str:
    """One item of the train split, alone: what a trace copies stands in its own question."""
    return render(next(items(language, "train", f"traces/{rng.random()}")))


def render(item: ReasoningItem) -> str:
    """Question, trace and answer in the form of the chat template's assistant turns."""
    return trace_text(item.question, item.reasoning, item.answer)
