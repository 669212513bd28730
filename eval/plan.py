"""What a run consists of: the rows of its suites, and the single tasks behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_recipes.common.errors import RecipeError

from .published import load_published
from .suites import (
    GOLD_BITS,
    GOLD_TASK,
    Suite,
    SuiteTask,
    check_suite,
    leaf_entries,
    load_suite,
    suggestion,
)

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

Think = Literal["off", "on", "both"]
# Name of the rows that were asked for by `--task`.
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class AnswerSampling:
    """How generated answers are drawn.

    Attributes:
        seed: of the first answer to each question; those after it take the next numbers.
        repeats: answers to each question.
        settings: of generation, over the tasks' own (lm-eval's `generation_kwargs`).
    """

    seed: int = 0
    repeats: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """One task of lm-eval in one way of asking: what is run, saved and resumed as a whole.

    Attributes:
        task: its name.
        shots: solved examples before each question.
        chat: asked through the chat template, not as plain text.
        think: asked to think.
    """

    task: str
    shots: int
    chat: bool
    think: bool

    @property
    def key(self) -> str:
        """Stem of its files."""
        return f"{self.task}-think" if self.think else self.task


@dataclass(frozen=True)
class PlanRow:
    """One score of the report, of one task or of a group of them.

    Attributes:
        suite: that it belongs to.
        task: name of the task, group or tag.
        metric: key of its score in lm-eval's results, e.g. `acc,none`.
        published: row of the model card's table, if any.
        units: what it is made of.
    """

    suite: str
    task: str
    metric: str
    published: str | None
    units: tuple[Unit, ...]

    @property
    def label(self) -> str:
        """Name in tables."""
        return f"{self.task} (thinking)" if self.units[0].think else self.task

    @property
    def is_group(self) -> bool:
        return [unit.task for unit in self.units] != [self.task]


@dataclass
class Plan:
    """Rows, and lm-eval's objects for them.

    Attributes:
        rows: in the order of the report.
        tasks: by name, with the shots of the plan.
        clusters: by name of a task, the column of its questions that depend on each other.
        groups: by name.
    """

    rows: list[PlanRow] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    @property
    def units(self) -> list[Unit]:
        """Every unit once, in the order of the rows."""
        return list(dict.fromkeys(unit for row in self.rows for unit in row.units))

    def items(self, unit: Unit, limit: int | None) -> int:
        """Questions of a unit, at most `limit`."""
        there = len(self.tasks[unit.task].eval_docs)
        return there if limit is None else min(limit, there)


def task_manager(names: Sequence[str], data_dir: Path | None) -> TaskManager:
    """A task manager that knows `names`; lm-eval's own tasks are read only if they are needed."""
    from .task_manager import LocalTaskManager

    ours = LocalTaskManager(data_dir, folders=())
    try:
        for name in names:
            leaf_entries(ours, name)
    except RecipeError:  # also a group of ours that holds tasks of lm-eval's
        return LocalTaskManager(data_dir)
    return ours


def _generates(task: Task) -> bool:
    return task.OUTPUT_TYPE == "generate_until"


def _metric_keys(task: Task) -> list[str]:
    return [f"{metric},{own.name}" for metric in task.aggregation() for own in task._filters]


def _check_published(suite: Suite) -> None:
    known = load_published().rows()
    for row in suite.tasks:
        if row.published is not None and row.published not in known:
            raise RecipeError(
                f"suite {suite.name}, task {row.task}: the model card has no row "
                f"{row.published!r}{suggestion(row.published, known)}"
            )


def _asked(name: str, task: Task) -> SuiteTask:
    """The row of `--task`: shots and metric are those of the task's own file."""
    return SuiteTask(
        task=name,
        shots=task.get_config("num_fewshot") or 0,
        metric=_metric_keys(task)[0],
        reason="asked for by name; shots and metric are the task's own",
    )


def _modes(row: SuiteTask, generates: bool, wanted: Think | None) -> list[tuple[bool, bool]]:
    """Pairs of `chat` and `think` in which a row is asked.

    A generated answer without solved examples is asked through the chat template, since nothing
    else shows the model what is wanted; so is every answer that may be thought about. Likelihoods,
    and answers after examples, are those of plain text, as they are published.
    """
    if not generates:
        return [(False, False)]
    chat = row.shots == 0 or row.think != "off"
    think = (wanted or row.think) if chat else "off"
    return [(chat, value) for value in (False, True) if think in ("both", "on" if value else "off")]


def make_plan(
    suites: Sequence[str],
    tasks: Sequence[str],
    think: Think | None = None,
    data_dir: Path | None = None,
) -> Plan:
    """Load suites and tasks with their data, and check all that can be checked before a run.

    Args:
        suites: names, or paths of YAML files.
        tasks: names of single tasks or groups.
        think: replaces what the suites say, for answers given in chat.
        data_dir: local data in place of the Hub's.

    Raises:
        RecipeError: nothing to do, unknown names or metrics, data out of reach, or a task that is
            asked for with different numbers of shots.
    """
    if not suites and not tasks:
        raise RecipeError("nothing to evaluate: name a --suite or a --task")
    loaded = [load_suite(name) for name in dict.fromkeys(suites)]
    names = [row.task for suite in loaded for row in suite.tasks]
    manager = task_manager([*names, *tasks], data_dir)
    for suite in loaded:
        check_suite(suite, manager)
        _check_published(suite)
    plan = Plan()
    for suite in loaded:
        for row in suite.tasks:
            _add(plan, suite.name, row, manager, think)
    for name in dict.fromkeys(tasks):
        if name not in names:
            _add(plan, COMMAND_LINE, name, manager, think)
    return plan


def _load(plan: Plan, name: str, leaves: list[str], manager: TaskManager) -> None:
    is_group = manager.task_index[name].kind.name == "GROUP"
    if (is_group and name not in plan.groups) or not all(leaf in plan.tasks for leaf in leaves):
        found: dict[str, Any] = manager.load([name])
        plan.groups |= found["groups"]
        plan.tasks |= {k: v for k, v in found["tasks"].items() if k not in plan.tasks}


def _add(
    plan: Plan, suite: str, wanted: SuiteTask | str, manager: TaskManager, think: Think | None
) -> None:
    name = wanted if isinstance(wanted, str) else wanted.task
    leaves = [entry.name for entry in leaf_entries(manager, name)]
    if not isinstance(wanted, str) and wanted.metric == GOLD_BITS:
        from .gold import gold_task  # loads lm-eval, as the manager has

        # Tasks of their own, since one that is asked so can no longer be asked otherwise.
        tasks = manager.load([name])["tasks"]
        plan.tasks |= {f"{leaf}{GOLD_TASK}": gold_task(tasks[leaf]) for leaf in leaves}
        name, leaves = f"{name}{GOLD_TASK}", [f"{leaf}{GOLD_TASK}" for leaf in leaves]
    else:
        _load(plan, name, leaves, manager)
    members = [plan.tasks[leaf] for leaf in leaves]
    row = _asked(name, members[0]) if isinstance(wanted, str) else wanted
    shots = {unit.task: unit.shots for unit in plan.units}
    named = set()
    for task in members:
        if shots.get(task.task_name, row.shots) != row.shots:
            raise RecipeError(
                f"task {task.task_name} is asked for with {shots[task.task_name]} and with "
                f"{row.shots} shots; evaluate the suites one by one, each with its own --out"
            )
        cluster = row.cluster or (task.config.metadata or {}).get("cluster")
        named |= {cluster} - {None}
        if len(task.eval_docs) and cluster in task.eval_docs[0]:
            plan.clusters[task.task_name] = cluster
        # Not by simple_evaluate's num_fewshot, which leaves tasks alone whose file says 0.
        task.set_config("num_fewshot", row.shots)
    # Of a group, some parts may have passages, and others none.
    if named and not plan.clusters.keys() & {*leaves}:
        columns = dict.fromkeys(c for task in members if task.eval_docs for c in task.eval_docs[0])
        raise RecipeError(
            f"task {name}: no column {min(named)!r}, which is to name its clusters; there are "
            f"{', '.join(columns)}"
        )
    for chat, thinks in _modes(row, all(map(_generates, members)), think):
        units = tuple(Unit(leaf, row.shots, chat, thinks) for leaf in leaves)
        plan.rows.append(PlanRow(suite, name, row.metric_key, row.published, units))
