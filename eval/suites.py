"""Suites: lists of tasks with every shot count and metric pinned, and why."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from data_recipes.common.config_files import Strict, find_config, load_config
from data_recipes.common.errors import RecipeError

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._index import Entry

SUITES = Path(__file__).parent / "suites"
# Bits per byte of right answers, and of wrong ones beside them (eval/gold.py); what the tasks that
# are asked so are called after their own names.
GOLD_BITS, FLOOR_BITS, GOLD_TASK = "gold_bits", "floor_bits", "_gold"


class SuiteTask(Strict):
    """One row of a suite.

    Attributes:
        task: name of a task, group or tag of lm-eval or of `eval/tasks`.
        shots: solved examples before each question.
        metric: lm-eval's name of the metric, with its filter after a comma unless that is `none`;
            `gold_bits` asks any task for the bits per byte of its right answers (eval/gold.py).
        published: row of the model card's table that this task reproduces, if any.
        think: whether the model thinks before it answers; only for generated answers.
        cluster: column of the questions that depend on each other, as those about one passage do;
            their interval is wider. Without it a task's own `metadata` may name one.
        reason: why these shots and this metric.
    """

    task: str = Field(min_length=1)
    shots: int = Field(ge=0)
    metric: str = Field(pattern=r"^[^,\s]+(,[^,\s]+)?$")
    published: str | None = None
    think: Literal["off", "on", "both"] = "off"
    cluster: str | None = None
    reason: str = Field(min_length=1)

    @property
    def metric_key(self) -> str:
        """Name of the metric in lm-eval's results, e.g. `acc,none`."""
        return self.metric if "," in self.metric else f"{self.metric},none"

    @model_validator(mode="after")
    def _gold_alone(self) -> Self:
        if self.metric == GOLD_BITS and (self.shots or self.think != "off"):
            raise ValueError(f"{GOLD_BITS} is asked without examples and without thinking")
        return self


class Suite(Strict):
    """A named list of tasks.

    Attributes:
        name: also the stem of its file.
        description: one or two sentences for the report.
        tasks: in the order they run; a task appears once.
    """

    name: str = Field(min_length=1)
    description: str = Field(min_length=1)
    tasks: list[SuiteTask] = Field(min_length=1)

    @field_validator("tasks")
    @classmethod
    def _once(cls, tasks: list[SuiteTask]) -> list[SuiteTask]:
        names = [task.task for task in tasks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"task {name!r} is listed twice")
        return tasks

    @model_validator(mode="after")
    def _rows_once(self) -> Self:
        rows = [task.published for task in self.tasks if task.published]
        for row in rows:
            if rows.count(row) > 1:
                raise ValueError(f"published row {row!r} belongs to two tasks")
        return self


def suite_names() -> list[str]:
    """The suites that are shipped."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the closest ones, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def load_suite(name: str | Path) -> Suite:
    """A shipped suite by name, or any other by the path of its YAML file.

    Raises:
        RecipeError: no such suite (with a suggestion), or a bad file.
    """
    path = Path(name) if str(name).endswith(".yaml") else SUITES / f"{name}.yaml"
    path = find_config(path, SUITES)
    if not path.is_file():
        known = suite_names()
        raise RecipeError(
            f"unknown suite {str(name)!r}{suggestion(str(name), known)} "
            f"(suites: {', '.join(known)}; or give the path of a YAML file)"
        )
    suite = load_config(path, Suite, [])
    if suite.name != path.stem:
        raise RecipeError(f"{path}: name is {suite.name!r}; a suite is named after its file")
    return suite


def leaf_entries(manager: TaskManager, name: str) -> list[Entry]:
    """The tasks that a name stands for, groups and tags opened.

    Args:
        manager: knows the tasks.
        name: of a task, group or tag.

    Raises:
        RecipeError: no such name (with a suggestion).
    """
    from .subjects import subject_of  # loads lm-eval, as the manager has

    index = manager.task_index
    if name not in index:
        raise RecipeError(
            f"unknown task {name!r}{suggestion(name, index)} (`lm-eval ls tasks` lists those of "
            "lm-eval, eval/tasks holds ours)"
        )
    entry = index[name]
    if entry.kind.name == "TAG":
        return [index[task] for task in sorted(entry.tags)]
    if entry.kind.name != "GROUP":
        return [entry]
    members = (entry.cfg or {}).get("task") or []
    leaves = []
    for member in [members] if isinstance(members, str) else members:
        inner = member if isinstance(member, str) else member.get("group") or member["task"]
        inner = subject_of(member, index) or inner
        if isinstance(member, dict) and inner not in index:
            raise RecipeError(
                f"group {name!r}: {inner!r} is defined inside the group's file, which is not "
                "supported; give it a file of its own"
            )
        leaves += leaf_entries(manager, inner)
    # lm-eval gives what a group says to all of its tasks; of that, this is where data comes from.
    of_all = {key: entry.cfg[key] for key in ("dataset_kwargs",) if key in entry.cfg}
    return [replace(leaf, cfg={**(leaf.cfg or {}), **of_all}) for leaf in leaves]


def _metric_keys(config: dict[str, Any]) -> set[str]:
    """What a task reports, as `metric,filter`; empty if it leaves that to lm-eval's defaults."""
    filters = [f["name"] for f in config.get("filter_list") or []] or ["none"]
    metrics = [str(m["metric"]).rpartition(".")[2] for m in config.get("metric_list") or []]
    return {f"{metric},{name}" for metric in metrics for name in filters}


def _problem(row: SuiteTask, entry: Entry) -> str | None:
    if row.metric == GOLD_BITS:
        return None  # of any task; what it needs is seen in the loaded one
    config = entry.cfg or {}
    kind = config.get("output_type", "generate_until")
    if row.think != "off" and kind != "generate_until":
        return (
            f"{row.task}: think is {row.think!r}, but {entry.name} compares likelihoods ({kind}) "
            "and generates nothing; set think: off"
        )
    keys = _metric_keys(config)
    if keys and row.metric_key not in keys:
        return (
            f"{row.task}: {entry.name} reports no metric {row.metric!r}; it reports "
            f"{', '.join(sorted(key.removesuffix(',none') for key in keys))}"
        )
    return None


def check_suite(suite: Suite, manager: TaskManager) -> None:
    """Refuse what would only fail, or go silently wrong, after hours of evaluation.

    Raises:
        RecipeError: lists every unknown task, every metric that a task does not report, and every
            task that is to think but whose answers are not generated.
    """
    problems = []
    for row in suite.tasks:
        try:
            found = [_problem(row, entry) for entry in leaf_entries(manager, row.task)]
        except RecipeError as error:
            found = [str(error)]
        problems += [problem for problem in found if problem][:1]
    if problems:
        raise RecipeError("\n  ".join([f"suite {suite.name}:", *problems]))
