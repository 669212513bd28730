"""What a benchmark is made of: its questions, the judge's prompts, and the card's row."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from data_recipes.common.config_files import Strict, load_config
from data_recipes.common.errors import RecipeError

_HERE = Path(__file__).parent
SETS = _HERE / "sets"


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
    """The sets that are shipped."""
    return sorted(path.stem for path in SETS.glob("*.yaml"))


def load_set(name: str) -> JudgeSet:
    """A shipped set by name, or the YAML file of one's own.

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
    """The card's scores in a column, by model."""
    scores = load_config(_HERE / "published.yaml", _Published, []).scores
    return {model: own[column] for model, own in scores.items() if column in own}
