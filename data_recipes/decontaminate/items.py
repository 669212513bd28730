"""Evaluation sets as lists of texts to search for."""

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.errors import RecipeError
from ..read.conversations import read_rows
from ..read.files import resolve_files
from ..read.hub import HUB, parse_hub_name
from .config import EvaluationSet


def _read_file(path: Path) -> list[dict[str, Any]]:
    if path.name.endswith(".txt"):
        raise RecipeError(f"{path}: plain text has no items; give JSONL or Parquet")
    rows = [row for _, row in read_rows(str(path))]
    # As in Parquet: a key that one row has is null in the others.
    nulls = dict.fromkeys(key for row in rows for key in row)
    return [nulls | row for row in rows]


def _read_rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Items with where they stand."""
    if not path.startswith(HUB):
        for file in resolve_files(path):
            for number, row in enumerate(_read_file(file)):
                yield f"{file}, row {number}", row
        return
    from datasets import load_dataset

    name, config, split, revision = parse_hub_name(path, "test")
    try:
        rows = load_dataset(name, config, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"{path}: not to be had from the Hub ({error}); check name, configuration and split, "
            "whether the set asks for consent (`hf auth login`), and the network"
        ) from error
    for number, row in enumerate(rows):
        yield f"{path}, row {number}", row


def _texts(value: Any, column: str, where: str) -> Iterator[str]:
    """The texts below a dotted name."""
    if value is None:
        return
    if isinstance(value, list):
        for element in value:
            yield from _texts(element, column, where)
    elif column and isinstance(value, dict):
        name, _, rest = column.partition(".")
        if name not in value:
            known = ", ".join(map(repr, value))
            raise RecipeError(f"{where}: no column {name!r}; columns are {known}")
        yield from _texts(value[name], rest, where)
    elif isinstance(value, str) and not column:
        yield value
    else:
        raise RecipeError(
            f"{where}: found {type(value).__name__} where text was expected; name columns with "
            "text, those inside others as `outer.inner`"
        )


def read_items(evaluation_set: EvaluationSet) -> list[list[str]]:
    """The texts of each item, in order.

    Raises:
        RecipeError: no items, a column that is not there or holds something else than text, or a
            file or Hub data set that cannot be read.
    """
    items = [
        [text for column in evaluation_set.columns for text in _texts(row, column, where)]
        for path in evaluation_set.paths
        for where, row in _read_rows(path)
    ]
    if not any(text.strip() for item in items for text in item):
        raise RecipeError(
            f"evaluation set {evaluation_set.task!r}: no text in {', '.join(evaluation_set.paths)}"
        )
    return items


def passages(item: list[str]) -> list[str]:
    """List what is searched for of an item: each text, and all as one.

    Documents print choices with letters or numbers before them, or without, so both ways are there.
    """
    texts = [text for text in item if text.strip()]
    if len(texts) < 2:
        return texts
    first, *choices = texts
    labels = ([""] * len(choices), string.ascii_uppercase, map(str, range(1, len(choices) + 1)))
    return texts + [
        "\n".join([first, *(f"{label} {choice}" for label, choice in zip(own, choices))])
        for own in labels
    ]
