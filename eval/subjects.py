"""Benchmarks with many subjects: one file for what the subjects share, one line for each subject.

lm-eval makes one task of a file. Here the file is the *form* of a benchmark's subjects: its name
ends in `_subject` and its `class` is `SubjectTask`. A group lists the subjects, in lm-eval's own
way of naming a task with settings of its own:

    - {task: kormo_mmlu_redux_subject, subject: us_foreign_policy, task_alias: us foreign policy}

is the task `kormo_mmlu_redux_us_foreign_policy`. Any other setting of a task may stand in the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import datasets
from lm_eval.api.task import ConfigurableTask
from lm_eval.config.task import TaskConfig
from lm_eval.tasks._index import Entry
from lm_eval.tasks._yaml_loader import load_yaml

from data_recipes.common.errors import RecipeError

_FORM = "_subject"
_ALLOWED = "abcdefghijklmnopqrstuvwxyz0123456789_"


def subject_task(form: str, subject: str) -> str:
    """Name the task of a subject.

    Args:
        form: name of the file that the subjects share, e.g. `kormo_kmmlu_cot_subject`.
        subject: as the data set has it, e.g. `Korean-History`.

    Returns:
        E.g. `kormo_kmmlu_cot_korean_history`.
    """
    slug = "".join(c if c in _ALLOWED else "_" for c in subject.lower())
    return f"{form.removesuffix(_FORM)}_{slug}"


class _SubjectConfig(TaskConfig):
    """The settings of one subject, which keep its name."""

    def __setattr__(self, key: str, value: Any) -> None:
        # lm-eval names a task of a Python class after its file once it is made
        # (TaskFactory._build_task), which would give all subjects the name of their form.
        if key != "task" or getattr(self, "task", None) is None:
            super().__setattr__(key, value)


class SubjectTask(ConfigurableTask):
    """One subject of a benchmark; lm-eval makes it from the form and the group's line together."""

    def __init__(self, config: dict[str, Any]) -> None:
        """
        Args:
            config: of the form, with the group's settings over it. `subject` names the
                configuration on the Hub, unless the form or the line give a `dataset_name`, or is
                passed to the form's `custom_dataset`. `description` has the subject's alias in the
                place of `{}`. `examples` names the data set (`path`, `revision`, `split`) of solved
                examples.

        Raises:
            RecipeError: the form itself was asked for.
        """
        self._examples = config.get("examples")
        super().__init__(config=resolve_subject(config))
        self._config = _SubjectConfig(**vars(self.config))

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Load the subject's questions, and its examples where another data set has them."""
        super().download(dataset_kwargs, **kwargs)
        if self._examples:
            options = {"name": self.DATASET_NAME} | self._examples
            split = options["split"]
            self.dataset = {**self.dataset, split: datasets.load_dataset(**options)}


def resolve_subject(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settle the name, the data and the description of a subject in its settings.

    Raises:
        RecipeError: they are those of the form, which is no task.
    """
    if "subject" not in config:
        raise RecipeError(
            f"{config['task']} is what the subjects of a benchmark share, and no task; name the "
            "benchmark or one of its groups"
        )
    resolved = {key: value for key, value in config.items() if key != "class"}
    subject = resolved.pop("subject")
    resolved.pop("examples", None)
    resolved["task"] = subject_task(resolved["task"], subject)
    if resolved.get("custom_dataset"):
        resolved["dataset_kwargs"] = {**resolved.get("dataset_kwargs", {}), "subject": subject}
    else:
        resolved.setdefault("dataset_name", subject)
    if "description" in resolved:
        resolved["description"] = resolved["description"].format(resolved["task_alias"])
    return resolved


def subject_of(member: Any, index: Mapping[str, Entry]) -> str | None:
    """Name the task that a group's line stands for; `None` if it is no line of a subject."""
    if not isinstance(member, dict) or "subject" not in member:
        return None
    form = index.get(member.get("task", ""))
    return None if form is None else subject_task(form.name, member["subject"])


def subject_entries(index: Mapping[str, Entry]) -> Iterator[Entry]:
    """Make the index entries by which each subject can be asked for by its own name.

    lm-eval's own command knows the groups only.

    Args:
        index: of lm-eval's task manager, as it read the files.
    """
    for group in index.values():
        members = (group.cfg or {}).get("task")
        if not isinstance(members, list) or not any(subject_of(one, index) for one in members):
            continue
        for member in load_yaml(group.yaml_path)["task"]:  # the index has functions by name only
            if name := subject_of(member, index):
                form = index[member["task"]]
                yield Entry(name, form.kind, None, load_yaml(form.yaml_path) | member)
