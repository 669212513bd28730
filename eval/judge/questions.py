"""Two-turn questions, in the columns of MT-Bench, KoMT-Bench, LogicKor or this project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import read_rows

TURNS = 2
_IDS = ("id", "question_id", "prompt_id")
_TURNS = ("turns", "questions", "prompt")
_REFERENCES = ("references", "reference")


@dataclass(frozen=True)
class Question:
    """A conversation to answer.

    Attributes:
        id: of the question.
        category: kind of task.
        turns: what the user says, two texts.
        references: a right answer to each turn, or `None`.
    """

    id: str
    category: str
    turns: list[str]
    references: list[str | None]


def load_questions(path: Path) -> list[Question]:
    """Questions of a JSONL or Parquet file.

    Raises:
        RecipeError: no questions, a row without id, category or two turns, or an id twice.
    """
    questions = [_question(where, row) for where, row in read_rows(str(path))]
    if not questions:
        raise RecipeError(f"{path}: no questions in it")
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise RecipeError(f"{path}: question {question.id} is there twice; keep one")
        seen.add(question.id)
    return questions


def _one(where: str, row: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise RecipeError(
        f"{where}: none of the columns {', '.join(names)}; the row has {', '.join(row)}"
    )


def _question(where: str, row: dict[str, Any]) -> Question:
    turns = _one(where, row, _TURNS)
    if not isinstance(turns, list) or len(turns) < TURNS:
        raise RecipeError(f"{where}: a question has a list of {TURNS} turns")
    references = next((row[name] for name in _REFERENCES if row.get(name)), [])
    references = [references] if isinstance(references, str) else list(references)
    references = (references + [None] * TURNS)[:TURNS]
    return Question(
        id=str(_one(where, row, _IDS)),
        category=str(_one(where, row, ("category",))),
        # A row of LogicKor has a third text, a variant of its second.
        turns=turns[:TURNS],
        references=[reference or None for reference in references],
    )
