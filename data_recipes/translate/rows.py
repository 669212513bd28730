"""Rows to translate, read and checked before anything is asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from ..common.errors import RecipeError
from .config import TranslateConfig
from .segments import cut

Row = dict[str, Any]
PROVENANCE = "translation"  # the column that is added


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of JSONL.

    Raises:
        RecipeError: no such file, or a line that is no row, with its number.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(line, f"{path}:{number}")
    except OSError as error:
        raise RecipeError(f"items: {path}: {error.strerror}") from error


def _row(line: bytes, where: str) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RecipeError(f"{where}: not a row of JSON ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise RecipeError(f"{where}: every row needs an `id`, a text")
    if PROVENANCE in row:
        raise RecipeError(f"{where}: has a column {PROVENANCE!r}: it is translated already")
    return row


def check_rows(config: TranslateConfig) -> int:
    """Read all rows once, before anything is asked; gives their number.

    Raises:
        RecipeError: a bad row, two with one id, a field that no row has, or no rows.
    """
    known: set[str] = set()
    unseen = {field for field, policy in config.fields.items() if policy == "translate"}
    for row in read_rows(config.items):
        if row["id"] in known:
            raise RecipeError(f"{config.items}: two rows have the id {row['id']!r}")
        known.add(row["id"])
        unseen -= row.keys()
        cut(row, config.fields)
    if not known:
        raise RecipeError(f"{config.items}: no rows in it")
    if unseen:
        raise RecipeError(
            f"{config.items}: no row has the field {', '.join(sorted(unseen))}, which `fields` "
            "wants translated; set it to keep, or correct its name"
        )
    return len(known)
