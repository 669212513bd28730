"""The evaluation items to look for: those of suites, or of files."""

from __future__ import annotations

from pathlib import Path

from data_recipes.common.errors import RecipeError
from data_recipes.decontaminate.config import DecontaminateConfig, EvaluationSet
from data_recipes.read.hub import HUB, parse_hub_name

from ..suites import load_suite, suggestion

# Where the texts of the card's tasks are, and which of their columns tell an item.
KNOWN = "evaluation_sets.yaml"


def sets_of_suite(name: str) -> list[EvaluationSet]:
    """The evaluation sets behind the tasks of a suite.

    Raises:
        RecipeError: no such suite, or a task whose texts nobody has listed.
    """
    known: dict[str, list[EvaluationSet]] = {}
    for own in DecontaminateConfig(evaluation_sets=KNOWN).sets():
        known.setdefault(own.task, []).append(own)
    found = []
    for row in load_suite(name).tasks:
        task = next((t for t in (row.published, row.task) if t in known), None)
        if task is None:
            raise RecipeError(
                f"--suite {name}: task {row.task!r} is not in data_recipes/configs/{KNOWN}"
                f"{suggestion(row.task, known)}; list its texts in a YAML file of your own with "
                "`evaluation_sets:` and give that with --items"
            )
        found += known[task]
    return found


def sets_of_file(path: Path, columns: list[str]) -> list[EvaluationSet]:
    """The evaluation sets of a YAML list, or a file of items as one set named after it.

    Args:
        path: `.yaml` with `evaluation_sets:`, or JSONL or Parquet.
        columns: of JSONL and Parquet, the columns with text.
    """
    if path.suffix in (".yaml", ".yml"):
        return DecontaminateConfig(evaluation_sets=str(path)).sets()
    return [EvaluationSet(task=path.name.partition(".")[0], path=str(path), columns=columns)]


def from_data_dir(sets: list[EvaluationSet], data_dir: Path) -> list[EvaluationSet]:
    """The same sets, read from `DIR/<owner>/<name>/<config or default>/<split>.*`.

    Raises:
        RecipeError: a file is missing.
    """
    return [
        own.model_copy(update={"path": [_local(path, data_dir) for path in own.paths]})
        for own in sets
    ]


def _local(path: str, data_dir: Path) -> str:
    if not path.startswith(HUB):
        return path
    name, config, split, _ = parse_hub_name(path, "test")
    folder = data_dir / name / (config or "default")
    for suffix in (".jsonl", ".parquet"):
        file = folder / f"{split}{suffix}"
        if file.is_file():
            return str(file)
    raise RecipeError(
        f"{folder}: no {split}.jsonl or .parquet, which {path} is to be read from; fetch "
        "it with `python -m eval.local_data` on a machine with network"
    )
