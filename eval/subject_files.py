"""The task files of benchmarks with many subjects, written from one table of subjects.

lm-eval needs a file per subject. Each is a few lines over a shared template:

    python -m eval.subject_files        # after a change of a table or of a family below
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent
_MMLU = "The following are multiple choice questions (with answers) about {}.\n\n"
_ALLOWED = "abcdefghijklmnopqrstuvwxyz0123456789_"


@dataclass(frozen=True)
class Family:
    """One benchmark in one form.

    Attributes:
        group: name of the group, and prefix of every task in it.
        table: file with the subjects, in `eval`.
        folder: where the files go, below `eval/tasks`; its parent holds the template.
        template: file that each task includes.
        hub_name: configuration on the Hub, from the one in the table.
        description: text before the examples, with the subject's name for `{}`.
        own_data: whether the questions lie beside the template instead of on the Hub.
    """

    group: str
    table: str
    folder: str
    template: str
    hub_name: Callable[[str], str] = str
    description: str | None = None
    own_data: bool = False


def slug(subject: str) -> str:
    """A subject's configuration as part of a task name."""
    return "".join(c if c in _ALLOWED else "_" for c in subject.lower())


FAMILIES = (
    Family("kormo_kmmlu", "kmmlu_subjects.yaml", "kormo_kmmlu/direct", "direct.yaml"),
    Family("kormo_kmmlu_hard", "kmmlu_subjects.yaml", "kormo_kmmlu/hard", "hard.yaml", slug),
    Family(
        "kormo_kmmlu_cot",
        "kmmlu_subjects.yaml",
        "kormo_kmmlu/cot",
        "cot.yaml",
        description="다음은 {} 과목의 사지선다형 문제입니다.\n\n",
    ),
    Family(
        "kormo_mmlu_redux",
        "mmlu_subjects.yaml",
        "mmlu_redux/subjects",
        "template.yaml",
        description=_MMLU,
    ),
    Family(
        "kmmlu_mini",
        "kmmlu_mini_subjects.yaml",
        "kmmlu_mini/subjects",
        "template.yaml",
        own_data=True,
    ),
    Family(
        "mmlu_mini",
        "mmlu_mini_subjects.yaml",
        "mmlu_mini/subjects",
        "template.yaml",
        description=_MMLU,
        own_data=True,
    ),
)


def subjects(table: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Groups of a table: key to the group's name and its subjects (configuration to name)."""
    content = yaml.safe_load((HERE / table).read_text(encoding="utf-8"))
    return {key: (group["name"], group["subjects"]) for key, group in content.items()}


def _text(family: Family, content: dict[str, object]) -> str:
    head = f"# Written by `python -m eval.subject_files` from eval/{family.table}; edit that.\n"
    return head + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=95)


def _group(name: str, alias: str, members: list[str]) -> dict[str, object]:
    return {
        "group": name,
        "group_alias": alias,
        "task": members,
        # Every question counts the same, as lm-eval does for MMLU and KMMLU.
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
        "metadata": {"version": 1.0},
    }


def files(family: Family) -> dict[str, str]:
    """Name and text of every file of a family."""
    written = {}
    groups = subjects(family.table)
    members = [f"{family.group}_{key}" for key in groups]
    written["_group.yaml"] = _text(family, _group(family.group, family.group, members))
    for key, (alias, table) in groups.items():
        name = f"{family.group}_{key}"
        tasks = [f"{family.group}_{slug(subject)}" for subject in table]
        written[f"_group_{key}.yaml"] = _text(family, _group(name, alias, tasks))
        for task, (subject, title) in zip(tasks, table.items(), strict=True):
            content: dict[str, object] = {
                "include": f"../{family.template}",
                "task": task,
                "task_alias": title,
            }
            if family.own_data:
                folder = Path(family.folder).parent.as_posix()
                content["dataset_kwargs"] = {"folder": folder, "subject": subject}
            else:
                content["dataset_name"] = family.hub_name(subject)
            if family.description:
                content["description"] = family.description.format(title)
            written[f"{slug(subject)}.yaml"] = _text(family, content)
    return written


def main() -> None:
    """Write the files of every family anew."""
    argparse.ArgumentParser(
        prog="python -m eval.subject_files",
        description="Write the task files of single subjects from the tables in eval.",
    ).parse_args()
    for family in FAMILIES:
        folder = HERE / "tasks" / family.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, text in files(family).items():
            (folder / name).write_text(text, encoding="utf-8")
        print(f"{folder}: {len(list(folder.iterdir()))} files")


if __name__ == "__main__":
    main()
