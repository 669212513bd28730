"""Rows to translate, and their texts in segments: what is asked about, what is copied around it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..answers.text import letters_of
from ..common.errors import RecipeError
from ..read.conversations import read_rows
from .config import REASONING, Policy, TranslateConfig
from .spans import take_apart

Row = dict[str, Any]
PROVENANCE = "translation"  # the column that is added
_THOUGHTS = re.compile(r"(<think>)(.*?)(</think>)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{2,}")


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows to translate.

    Raises:
        RecipeError: no such file, or a row that is none, with its number.
    """
    for where, row in read_rows(str(path)):
        if not isinstance(row.get("id"), str):
            raise RecipeError(f"{where}: every row needs an `id`, a text")
        if PROVENANCE in row:
            raise RecipeError(f"{where}: has a column {PROVENANCE!r}: it is translated already")
        yield row


def check_rows(config: TranslateConfig) -> int:
    """Read all rows once, before anything is asked; gives their number.

    Raises:
        RecipeError: a bad row, two with one id, a field that no row has, or no rows.
    """
    known: set[str] = set()
    unseen = {field for field, policy in config.fields.items() if policy == "translate"}
    for row in rows_of(config.items):
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


def _is_foreign(text: str) -> bool:
    """Whether there is something to translate.

    A value, a formula or a letter reads the same in Korean, and Korean with Latin in it is Korean.
    """
    prose = take_apart(text).prose
    return sum(map(len, _WORD.findall(prose))) > letters_of(prose)["ko"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a field.

    Attributes:
        field: its name.
        place: of the text in a field that is a list; `None` in a plain one.
        text: as it stands there.
        asked: whether it is translated; otherwise it is copied.
    """

    field: str
    place: int | None
    text: str
    asked: bool

    @property
    def where(self) -> str:
        """For messages."""
        return self.field if self.place is None else f"{self.field}[{self.place}]"


def _stretch(field: str, place: int | None, text: str, translate: bool) -> Iterator[Segment]:
    """A stretch without think tags; white space at its ends is copied."""
    core = text.strip()
    if not translate or not _is_foreign(core):
        yield Segment(field, place, text, False)
        return
    start = text.index(core)
    yield Segment(field, place, text[:start], False)
    yield Segment(field, place, core, True)
    yield Segment(field, place, text[start + len(core) :], False)


def _segments(
    field: str, place: int | None, text: str, fields: Mapping[str, Policy]
) -> Iterator[Segment]:
    translate = fields[field] == "translate"
    thoughts = translate and fields.get(REASONING) == "translate"
    # Text, <think>, thoughts, </think>, text, …
    for number, part in enumerate(_THOUGHTS.split(text)):
        turn = number % 4
        yield from _stretch(field, place, part, (translate, False, thoughts, False)[turn])


def cut(row: dict[str, Any], fields: Mapping[str, Policy]) -> list[Segment]:
    """Cut a row into the segments of all fields that are translated, in order.

    Raises:
        RecipeError: a field is neither a text nor a list of texts.
    """
    found = []
    for field, policy in fields.items():
        value = row.get(field)
        if policy == "keep" or value is None:
            continue
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RecipeError(
                f"row {row['id']!r}: {field} is neither a text nor a list of texts; set "
                f"fields.{field}=keep, or mend the row"
            )
        for place, text in enumerate(texts):
            found += _segments(field, None if isinstance(value, str) else place, text, fields)
    return found


def put_together(segments: list[Segment], translations: list[str]) -> dict[str, Any]:
    """Put the fields together, with what was asked replaced.

    Args:
        segments: of a row.
        translations: of those that were asked, in order.
    """
    given = iter(translations)
    texts: dict[str, dict[int | None, str]] = {}
    for segment in segments:
        own = texts.setdefault(segment.field, {})
        text = next(given) if segment.asked else segment.text
        own[segment.place] = own.get(segment.place, "") + text
    return {
        field: own[None] if None in own else [own[place] for place in sorted(own)]
        for field, own in texts.items()
    }
