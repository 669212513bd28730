"""What an answer says: which values, and in which language."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from data_recipes.engine.documents import text_buffers
from data_recipes.filter.script import Script, count_script

# With or without commas between thousands.
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+")


@dataclass(frozen=True)
class Score:
    """One answer, judged.

    Attributes:
        right: all values, in the order asked for, before any other number.
        found: values that stand at their place among the first numbers.
        language: "ko" or "en" by the letters, `None` for an answer without letters.
    """

    right: bool
    found: int
    language: str | None


def score_answer(answer: str, values: list[str]) -> Score:
    """Judge an answer by its first numbers: as many as were asked for."""
    numbers = [match.replace(",", "") for match in _NUMBER.findall(answer)][: len(values)]
    found = sum(given == value for given, value in zip(numbers, values))
    return Score(found == len(values), found, written_in(answer))


def written_in(text: str) -> str | None:
    """The language of a short text, by its script: models of languages need longer ones."""
    batch = pa.RecordBatch.from_pydict({"text": pa.array([text], pa.large_string())})
    counts = count_script(*text_buffers(batch))[:, 0]
    if not counts[Script.LETTERS]:
        return None
    return "ko" if 2 * counts[Script.HANGUL] > counts[Script.LETTERS] else "en"
