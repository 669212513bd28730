"""Reads the multiple-choice sets that lie beside their task files."""

import json
from pathlib import Path
from typing import Any

import datasets

from data_recipes.common.errors import RecipeError

_TASKS = Path(__file__).parent / "tasks"
_SUBJECT_COLUMNS = ("Category", "subject")  # as KMMLU and MMLU name it


def load(folder: str, subject: str, **_: Any) -> dict[str, datasets.Dataset]:
    """lm-eval's `custom_dataset` of one subject of a set.

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
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [row for row in rows if subject in (row.get(c) for c in _SUBJECT_COLUMNS)]
        if not rows:
            raise RecipeError(f"{path}: no question of subject {subject!r}")
        splits[split] = datasets.Dataset.from_list(rows)
    return splits
