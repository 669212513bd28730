"""Runs one task on a loaded model, and adds tasks up to the rows of a report."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lm_eval import evaluate
from lm_eval.api.group import Group
from lm_eval.api.task import Task
from lm_eval.config.group import AggMetricConfig
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.utils import handle_non_serializable

from data_recipes.common.errors import RecipeError

from .backend import ThinkingMixin
from .model import set_thinking
from .plan import Plan, Row, Unit

# For metrics whose standard error has no formula. Our choice: it is then known to about 2 %.
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Score:
    """A number of the report.

    Attributes:
        value: from 0 to 1, for all metrics that the suites use.
        stderr: its standard error; `None` if there is none, as for a single question.
        items: questions.
    """

    value: float
    stderr: float | None
    items: int


def run_unit(
    lm: ThinkingMixin, task: Task, unit: Unit, limit: int | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ask every question of a unit. Draws no random number but through the model's sampling.

    Args:
        lm: the model.
        task: of the unit, with its shots.
        unit: how to ask.
        limit: questions from the start, at most.

    Returns:
        Figures, and one record per question and filter.

    Raises:
        RecipeError: there is no question.
    """
    if not len(task.eval_docs):
        raise RecipeError(f"task {unit.task}: its data set has no question")
    set_thinking(lm, unit)
    # What simple_evaluate does; it would also build an index of all tasks, and seed everything.
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    start = time.perf_counter()
    found = evaluate(
        lm,
        {"tasks": {unit.task: task}, "groups": {}},
        limit=limit,
        bootstrap_iters=_BOOTSTRAPS,
        apply_chat_template=unit.chat,
        fewshot_as_multiturn=unit.chat,
    )
    figures = found["results"][unit.task]
    result = {
        "alias": task.config.task_alias or unit.task,
        "metrics": {k: v for k, v in figures.items() if "," in k},
        "items": figures["sample_len"],
        "items_in_all": len(task.eval_docs),
        "version": str(found["versions"][unit.task]),
        "seconds": round(time.perf_counter() - start, 2),
    }
    return result, [_record(sample) for sample in found["samples"][unit.task]]


def _record(sample: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a question: the prompt once, not once per choice."""
    arguments = sample["arguments"]
    chosen_from = [own[1] for own in arguments if len(own) > 1 and isinstance(own[1], str)]
    if len(set(chosen_from)) == 1 and len(chosen_from) > 1:
        # One prompt per choice before the same end, as in Winogrande.
        chosen_from = [own[0] for own in arguments]
    return {
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "filter": sample["filter"],
        "prompt": arguments[0][0],
        "choices": chosen_from or None,
        "target": sample["target"],
        "responses": sample["resps"],
        "answer": sample["filtered_resps"],
        "metrics": {name: sample[name] for name in sample["metrics"]},
    }


def json_lines(records: list[dict[str, Any]]) -> Iterator[str]:
    """The records as JSON."""
    for record in records:
        yield json.dumps(record, ensure_ascii=False, default=handle_non_serializable)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def score_row(row: Row, plan: Plan, saved: dict[str, dict[str, Any]]) -> Score:
    """The score of a row.

    A group is added up as its file says; a group or tag that does not say is the plain mean of
    its tasks.

    Args:
        row: of the plan.
        plan: has the groups.
        saved: figures by key of the unit.
    """
    metric, _, filter_ = row.metric.partition(",")
    own = [saved[unit.key] for unit in row.units]
    items = sum(one["items"] for one in own)
    stderr_key = f"{metric}_stderr,{filter_}"
    if not row.is_group:
        metrics = own[0]["metrics"]
        return Score(float(metrics[row.metric]), _number(metrics.get(stderr_key)), items)
    group = plan.groups.get(row.task)
    says = group.aggregate_metric_list if group is not None else None
    if not any(one.metric == metric for one in says or ()):
        group = Group(
            row.task,
            aggregate_metric_list=[AggMetricConfig(metric, [filter_], weight_by_size=False)],
        )
        for unit in row.units:
            group.add(plan.tasks[unit.task])
    by_task = {
        unit.task: one["metrics"] | {"sample_len": one["items"]}
        for unit, one in zip(row.units, own)
    }
    found = group.aggregate(by_task)
    return Score(float(found[row.metric]), _number(found.get(stderr_key)), items)


def describe_row(row: Row, plan: Plan, saved: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A row with its score, as `results.json` has it."""
    first = row.units[0]
    return {
        "suite": row.suite,
        "task": row.task,
        "label": row.label,
        "metric": row.metric,
        "published": row.published,
        "shots": first.shots,
        "chat": first.chat,
        "think": first.think,
        "group": row.is_group,
        "units": [unit.key for unit in row.units],
        **asdict(score_row(row, plan, saved)),
    }


def quiet_libraries() -> None:
    """lm-eval and transformers tell much that a reader of one table does not need."""
    for name in ("lm_eval", "transformers", "datasets", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
