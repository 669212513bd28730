"""The genres whose documents come from the grammar alone; their text lives in ``banks/``."""

from __future__ import annotations

import random
from functools import cache

from .grammar import Grammar

_SHARED_BANKS = {"web": (), "encyclopedia": ("facts",), "stories": (), "dialogue": ()}

GENRES = tuple(_SHARED_BANKS)


def document(rng: random.Random, genre: str, language: str) -> str:
    """One document of a prose genre."""
    return _grammar(genre, language).write(rng, "{doc}")


@cache
def _grammar(genre: str, language: str) -> Grammar:
    banks = ("words", f"names_{language}", *_SHARED_BANKS[genre], f"{genre}_{language}")
    return Grammar(language, *banks)
