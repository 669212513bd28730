"""Control tokens in text. Apart, because a chat needs nothing else of what reads data."""

from collections.abc import Collection
from typing import Any


def spelled_token(value: Any, tokens: Collection[str]) -> str | None:
    """Find a control token spelled anywhere in a value: it would become a real one.

    Args:
        value: texts in lists and objects of any depth; keys count, too.
        tokens: as the tokenizer spells them.
    """
    if isinstance(value, str):
        return next((token for token in tokens if token in value), None)
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return next((found for v in value if (found := spelled_token(v, tokens))), None)
    return None
