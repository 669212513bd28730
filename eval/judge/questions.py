"""What a benchmark is made of: questions of one or two turns, the judge's prompts, the card's row.

Questions come in the columns of MT-Bench, KoMT-Bench, LogicKor or this project, or as rows of a
picture set, of which the judge reads the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from data_recipes.common.config_files import Strict, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import read_rows

_HERE = Path(__file__).parent
SETS = _HERE / "sets"
TURNS = 2
_IDS = ("id", "question_id", "prompt_id")
_TURNS = ("turns", "questions", "prompt")
_REFERENCES = ("references", "reference")


@dataclass(frozen=True)
class JudgeQuestion:
    """A conversation to answer.

    Attributes:
        id: of the question.
        category: kind of task.
        turns: what the user says, one text or two.
        references: a right answer to each turn, or `None`.
        shows: what the picture shows that is asked about, in words, if that is known.
    """

    id: str
    category: str
    turns: list[str]
    references: list[str | None]
    shows: str | None = None


def load_questions(path: Path) -> list[JudgeQuestion]:
    """Read the questions of a JSONL or Parquet file.

    Raises:
        RecipeError: no questions, a row without id, category or turns, or an id twice.
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


def _of_picture(where: str, row: dict[str, Any]) -> JudgeQuestion:
    """Read a row of a picture set: the last question, with what was said before it, is one turn."""
    try:
        texts = [
            "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
            for message in row["messages"]
        ]
        *asked, answer = texts
        return JudgeQuestion(
            str(row["id"]), row["kind"], ["\n".join(asked)], [answer or None], row.get("shows")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{where}: not a row of a picture set ({error!r})") from error


def _question(where: str, row: dict[str, Any]) -> JudgeQuestion:
    if "images" in row and "messages" in row:
        return _of_picture(where, row)
    turns = _one(where, row, _TURNS)
    if not isinstance(turns, list) or len(turns) < TURNS:
        raise RecipeError(f"{where}: a question has a list of {TURNS} turns")
    references = next((row[name] for name in _REFERENCES if row.get(name)), [])
    references = [references] if isinstance(references, str) else list(references)
    references = (references + [None] * TURNS)[:TURNS]
    return JudgeQuestion(
        id=str(_one(where, row, _IDS)),
        category=str(_one(where, row, ("category",))),
        # A row of LogicKor has a third text, a variant of its second.
        turns=turns[:TURNS],
        references=[reference or None for reference in references],
    )


class JudgeSet(Strict):
    """A set of questions and how answers to them are judged.

    Paths are relative to the set's own file, or to this package.

    Attributes:
        language: code of the questions.
        questions: JSONL or Parquet.
        single: prompt that grades one answer.
        pairwise: prompt that compares two conversations.
        published: column of `published.yaml` to show beside, if any.
    """

    language: Literal["ko", "en"]
    questions: Path
    single: Path
    pairwise: Path
    published: str | None = None


class _Published(Strict):
    """Scores of other models: model -> column -> mean."""

    source: str = Field(min_length=1)
    scores: dict[str, dict[str, float]]


def set_names() -> list[str]:
    """List the sets that are shipped."""
    return sorted(path.stem for path in SETS.glob("*.yaml"))


def load_set(name: str) -> JudgeSet:
    """Load a shipped set by name, or the YAML file of one's own.

    Raises:
        RecipeError: no such set, a bad file, or one that names files which are not there.
    """
    path = SETS / f"{name}.yaml" if name in set_names() else Path(name)
    if not path.is_file():
        raise RecipeError(
            f"--set {name}: neither a file nor one of {', '.join(set_names())}; for a file of "
            "questions take one of these and name the file with --questions"
        )
    own = load_config(path, JudgeSet, [])
    found = {}
    for field in ("questions", "single", "pairwise"):
        given = getattr(own, field)
        places = [path.parent / given, _HERE / given]
        found[field] = next((place for place in places if place.is_file()), None)
        if found[field] is None:
            raise RecipeError(f"{path}: {field} {given}: no such file")
    return own.model_copy(update=found)


def published(column: str | None) -> dict[str, float]:
    """Look up the card's scores in a column, by model."""
    scores = load_config(_HERE / "published.yaml", _Published, []).scores
    return {model: own[column] for model, own in scores.items() if column in own}
