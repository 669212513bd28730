"""What the reasoning tasks share: data in one schema, and how each question is judged.

Every question ends up with the columns `question` and `answer`; multiple choice has `A` to `D` and
the right letter as answer, except HRM8K's part of MMMLU, which numbers its choices in the text.
"""

import random
from dataclasses import asdict
from functools import partial
from typing import Any

from datasets import Dataset

from data_recipes.common.errors import RecipeError
from data_recipes.toy.items import unique_items

from .judging import judge_turn

Row = dict[str, Any]

# MMLU's subjects that ask for reasoning. HRM8K has abstract algebra, college and high school
# mathematics already.
_MMMLU = {
    "mathematics": ("elementary_mathematics", "high_school_statistics"),
    "physics": ("astronomy", "college_physics", "conceptual_physics", "high_school_physics"),
    "chemistry": ("college_chemistry", "high_school_chemistry"),
    "biology": ("college_biology", "high_school_biology"),
}
_LETTERS = "ABCD"


def _score(turn: str, wanted: str, language: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in asdict(judge_turn(turn, wanted, language)).items()
    }


def score(doc: Row, results: list[str], language: str = "ko") -> dict[str, float]:
    """Metrics of one answer, each 0 or 1; see `judging.Verdict`."""
    return _score(results[0], str(doc["answer"]), language)


score_english = partial(score, language="en")


def score_numbered(doc: Row, results: list[str]) -> dict[str, float]:
    """As `score`, where the answer is the number of a choice, so that ② and 2번 count as 2."""
    return _score(results[0], f"({int(float(doc['answer']))})", "ko")


def mgsm(dataset: Dataset) -> Dataset:
    """The number alone as answer; the column `answer` has a worked solution, or nothing."""
    numbers = [str(number) for number in dataset["answer_number"]]
    return dataset.remove_columns("answer").add_column("answer", numbers)


def gpqa(dataset: Dataset) -> Dataset:
    """Choices in an order that depends on the question alone."""

    def shuffled(row: Row) -> Row:
        right = row["Correct Answer"].strip()
        choices = [right, *(row[f"Incorrect Answer {n}"].strip() for n in (1, 2, 3))]
        random.Random(row["Question"]).shuffle(choices)
        return {
            "question": row["Question"].strip(),
            **dict(zip(_LETTERS, choices, strict=True)),
            "answer": _LETTERS[choices.index(right)],
        }

    return dataset.map(shuffled, remove_columns=dataset.column_names)


def _mmmlu(dataset: Dataset, subset: str) -> Dataset:
    # In some languages the column holds a file name that begins with the subject.
    subjects = [name.partition("_test")[0] for name in dataset["Subject"]]
    if missing := sorted(set(_MMMLU[subset]) - set(subjects)):
        raise RecipeError(
            f"openai/MMMLU: no rows with Subject {', '.join(missing)}; get the data set again"
        )
    chosen = dataset.select([i for i, name in enumerate(subjects) if name in _MMMLU[subset]])
    return chosen.rename_columns({"Question": "question", "Answer": "answer"})


mmmlu_mathematics = partial(_mmmlu, subset="mathematics")
mmmlu_physics = partial(_mmmlu, subset="physics")
mmmlu_chemistry = partial(_mmmlu, subset="chemistry")
mmmlu_biology = partial(_mmmlu, subset="biology")


def embedded(language: str, items: int, seed: int, **_: Any) -> dict[str, Dataset]:
    """The test split of the embedded corpus: no training text has these problems, in any language.

    Args:
        language: ``ko`` or ``en``.
        items: how many different problems.
        seed: selects them.
        **_: the task's metadata, which lm-eval passes too.
    """
    rows = [
        {
            "id": item.id,
            "kind": item.kind,
            "level": item.level,
            "question": item.question,
            "answer": item.value,
        }
        for item in unique_items(language, "test", items, seed)
    ]
    return {"test": Dataset.from_list(rows)}
