"""The code of the multiple-choice tasks: their rows, and generated answers that name a choice."""

from __future__ import annotations

import ast
import json
import random
from pathlib import Path
from typing import Any

import datasets

from data_recipes.answers import choose, extract_answer
from data_recipes.common.errors import RecipeError

LETTERS = "ABCDEFGHIJ"
_TASKS = Path(__file__).parent / "tasks"
_SUBJECT_COLUMNS = ("Category", "subject")  # as KMMLU and MMLU name it


def names_choice(text: str, gold: int, choices: list[str]) -> bool:
    """Whether the answer that a text ends with is the right choice.

    Args:
        text: what a model wrote.
        gold: index of the right choice.
        choices: their texts, in order.

    Returns:
        True if the answer is the choice's mark (B, ②, 2번, (나)), or, when no other choice says the
        same, its text.
    """
    answer = extract_answer(text)
    return answer is not None and choose(answer, choices) == gold


def score_kmmlu(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """lm-eval's `process_results` for generated answers to questions in KMMLU's schema."""
    choices = [doc[letter] for letter in "ABCD"]
    return {"acc": float(names_choice(results[0], int(doc["answer"]) - 1, choices))}


def gpqa_main(rows: datasets.Dataset) -> datasets.Dataset:
    """lm-eval's `process_docs` of GPQA, with the choices in an order that the question decides.

    Returns:
        The rows with the columns `choice1` to `choice4` and `answer`, e.g. `(B)`.
    """
    from lm_eval.tasks.gpqa.n_shot.utils import preprocess

    def shuffled(row: dict[str, Any]) -> dict[str, str]:
        right = preprocess(row["Correct Answer"])
        choices = [right, *(preprocess(row[f"Incorrect Answer {n}"]) for n in (1, 2, 3))]
        random.Random(row["Question"]).shuffle(choices)
        columns = {f"choice{number}": choice for number, choice in enumerate(choices, start=1)}
        return {**columns, "answer": f"({LETTERS[choices.index(right)]})"}

    return rows.map(shuffled)


def options_from_text(rows: datasets.Dataset) -> datasets.Dataset:
    """lm-eval's `process_docs` for sets whose `options` are a dict, or one written as text.

    The keys end in the letter of the choice (`A`, `option_a`).

    Returns:
        The rows with two columns more: `texts`, the choices in order, and `gold`, the index of
        the letter in `answer`.

    Raises:
        RecipeError: a row whose options or answer are not of this form.
    """

    def parse(row: dict[str, Any], number: int) -> dict[str, Any]:
        options = row["options"]
        try:
            options = ast.literal_eval(options) if isinstance(options, str) else options
            by_letter = {key.strip()[-1].upper(): text for key, text in options.items() if text}
            letters = LETTERS[: len(by_letter)]
            texts = [str(by_letter[letter]) for letter in letters]
            return {"texts": texts, "gold": letters.index(row["answer"].strip()[-1].upper())}
        except (ValueError, SyntaxError, KeyError, AttributeError, IndexError) as error:
            raise RecipeError(
                f"row {number}: cannot read options {row['options']!r} with answer "
                f"{row['answer']!r} ({error!r}); the data set changed its form: pin a revision "
                "that has the old one in the task's file"
            ) from error

    return rows.map(parse, with_indices=True)


def load_mini_set(folder: str, subject: str, **_: Any) -> dict[str, datasets.Dataset]:
    """lm-eval's `custom_dataset` of one subject of a set that lies beside its task files.

    Args:
        folder: of the set, below `eval/tasks`; holds `dev.jsonl` and `test.jsonl`.
        subject: value of the column that names the subject.
        **_: the task's metadata, which lm-eval passes too.

    Returns:
        The splits `dev` and `test`.

    Raises:
        RecipeError: no question of this subject.
    """
    splits = {}
    for split in ("dev", "test"):
        path = _TASKS / folder / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        rows = [row for row in rows if subject in (row.get(c) for c in _SUBJECT_COLUMNS)]
        if not rows:
            raise RecipeError(f"{path}: no question of subject {subject!r}")
        splits[split] = datasets.Dataset.from_list(rows)
    return splits
