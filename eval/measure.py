"""Runs one task on a loaded model, and adds tasks up to the rows of a report."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lm_eval import evaluate
from lm_eval.api.group import Group
from lm_eval.api.task import Task
from lm_eval.config.group import AggMetricConfig
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.utils import handle_non_serializable
from transformers import set_seed

from data_recipes.common.errors import RecipeError
from data_recipes.common.statistics import Z, mean_interval, standard_error

from .backend import ThinkingMixin
from .model import set_thinking
from .plan import AnswerSampling, Plan, PlanRow, Unit
from .run_dir import read_samples
from .suites import FLOOR_BITS

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
    lm: ThinkingMixin,
    task: Task,
    unit: Unit,
    limit: int | None,
    sampling: AnswerSampling | None = None,
    cluster: str | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ask every question of a unit.

    Args:
        lm: the model.
        task: of the unit, with its shots.
        unit: how to ask.
        limit: questions from the start, at most.
        sampling: how answers are drawn. Without it nothing is seeded, and no random number is drawn
            but through the model's own sampling.
        cluster: column of the questions that depend on each other, if any.

    Returns:
        Figures, and one record per question and filter.

    Raises:
        RecipeError: there is no question.
    """
    if not len(task.eval_docs):
        raise RecipeError(f"task {unit.task}: its data set has no question")
    set_thinking(lm, unit, task)
    # What simple_evaluate does; it would also build an index of all tasks, and seed everything.
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    repeats = 1
    if sampling is not None and task.OUTPUT_TYPE == "generate_until":
        repeats = sampling.repeats
        if sampling.settings:
            task.set_config("generation_kwargs", sampling.settings, update=True)
    start = time.perf_counter()
    rounds = []
    for number in range(repeats):
        if sampling is not None:
            set_seed(sampling.seed + number)
        rounds.append(
            evaluate(
                lm,
                {"tasks": {unit.task: task}, "groups": {}},
                limit=limit,
                bootstrap_iters=_BOOTSTRAPS,
                apply_chat_template=unit.chat,
                fewshot_as_multiturn=unit.chat,
            )
        )
    found = rounds[0]
    samples = (one["samples"][unit.task] for one in rounds)
    records = [_record(answers, cluster) for answers in zip(*samples, strict=True)]
    figures = {k: v for k, v in found["results"][unit.task].items() if "," in k}
    if repeats > 1:
        figures = _mean_figures([one["results"][unit.task] for one in rounds], figures, records)
    result = {
        "alias": task.config.task_alias or unit.task,
        "metrics": figures,
        "intervals": {
            key: interval
            for key in figures
            if "_stderr," not in key and (interval := interval_of([records], key))
        },
        "items": found["results"][unit.task]["sample_len"],
        **data_of(task),
        "protocol": (task.config.metadata or {}).get("protocol"),
        "seconds": round(time.perf_counter() - start, 2),
    }
    return result, records


def data_of(task: Task) -> dict[str, Any]:
    """Say what of a task can change between two runs under its name: its questions and version."""
    return {"items_in_all": len(task.eval_docs), "version": str(task.VERSION)}


def _values(records: Iterable[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Pick the records of a metric's filter."""
    metric, _, filter_ = key.partition(",")
    return [r for r in records if r["filter"] == filter_ and metric in r["metrics"]]


def _mean_figures(
    rounds: list[dict[str, Any]], first: dict[str, Any], records: list[dict[str, Any]]
) -> dict[str, Any]:
    """Average metrics over repeated answers; errors are those of the questions' own means."""
    figures: dict[str, Any] = {}
    for key in first:
        metric, _, filter_ = key.partition(",")
        if not metric.endswith("_stderr"):
            figures[key] = sum(one[key] for one in rounds) / len(rounds)
            continue
        name = metric.removesuffix("_stderr")
        values = [r["metrics"][name] for r in _values(records, f"{name},{filter_}")]
        error, freedom = standard_error(values) if values else (0.0, 0)
        figures[key] = error if freedom else "N/A"
    return figures


def interval_of(units: Iterable[Iterable[dict[str, Any]]], key: str) -> tuple[float, float] | None:
    """Compute the 95 % interval of a mean score over questions.

    Args:
        units: records of each task.
        key: of the metric, e.g. `acc,none`.

    Returns:
        Its ends; `None` for what is no number per question, or no more than one such question.
    """
    metric = key.partition(",")[0]
    values, clusters, clustered = [], [], False
    for number, records in enumerate(units):
        for record in _values(records, key):
            values.append(record["metrics"][metric])
            own = record.get("cluster")
            clustered = clustered or own is not None
            clusters.append((number, own if own is not None else record["doc_id"]))
    if len(values) < 2 or not all(isinstance(value, int | float) for value in values):
        return None
    return mean_interval(list(map(float, values)), clusters if clustered else None)


def _record(samples: Sequence[dict[str, Any]], cluster: str | None) -> dict[str, Any]:
    """Keep of a question's repeated answers: the prompt once, not once per choice."""
    first = samples[0]
    arguments = first["arguments"]
    chosen_from = [own[1] for own in arguments if len(own) > 1 and isinstance(own[1], str)]
    if len(set(chosen_from)) == 1 and len(chosen_from) > 1:
        # One prompt per choice before the same end, as in Winogrande.
        chosen_from = [own[0] for own in arguments]
    metrics = {name: first[name] for name in first["metrics"]}
    if len(samples) > 1:
        metrics = {name: sum(one[name] for one in samples) / len(samples) for name in metrics}
    record = {
        "doc_id": first["doc_id"],
        "doc_hash": first["doc_hash"],
        "filter": first["filter"],
        "prompt": arguments[0][0],
        "choices": chosen_from or None,
        "target": first["target"],
        "responses": [own for one in samples for own in one["resps"]],
        "answer": [own for one in samples for own in one["filtered_resps"]],
        "metrics": metrics,
    }
    if cluster is not None:
        # A question without a passage is its own cluster.
        own = first["doc"][cluster]
        own = f"question {first['doc_id']}" if own in (None, "") else own
        text = json.dumps(own, ensure_ascii=False, default=str)
        record["cluster"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return record


def json_lines(records: list[dict[str, Any]]) -> Iterator[str]:
    """The records as JSON."""
    for record in records:
        yield json.dumps(record, ensure_ascii=False, default=handle_non_serializable)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def score_row(row: PlanRow, plan: Plan, saved: dict[str, dict[str, Any]]) -> Score:
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


def floor_of(row: PlanRow, saved: dict[str, dict[str, Any]]) -> float | None:
    """Return the floor of a row of bits per byte (eval/gold.py), the mean of its tasks' own."""
    key = f"{FLOOR_BITS},none"
    own = [saved[unit.key]["metrics"].get(key) for unit in row.units]
    return None if None in own else sum(own) / len(own)


def _row_interval(row: PlanRow, score: Score, out: Path) -> tuple[float, float] | None:
    found = interval_of((read_samples(out, unit.key) for unit in row.units), row.metric)
    if not row.is_group or found is None:
        return found
    records = [_values(read_samples(out, unit.key), row.metric) for unit in row.units]
    metric = row.metric.partition(",")[0]
    values = [r["metrics"][metric] for own in records for r in own]
    if math.isclose(sum(values) / len(values), score.value, abs_tol=1e-9):
        return found
    # A plain mean of the tasks: its error is put together from theirs.
    if score.stderr is None:
        return None
    return score.value - Z * score.stderr, score.value + Z * score.stderr


def describe_row(
    row: PlanRow, plan: Plan, saved: dict[str, dict[str, Any]], out: Path
) -> dict[str, Any]:
    """Describe a row with its score, as `results.json` has it.

    Args:
        row: of the plan.
        plan: has the groups.
        saved: figures by key of the unit.
        out: directory of the run, which has the answers.
    """
    first = row.units[0]
    score = score_row(row, plan, saved)
    floor = floor_of(row, saved)
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
        **asdict(score),
        "interval": _row_interval(row, score, out),
        **({} if floor is None else {"floor": floor}),
    }


def quiet_libraries() -> None:
    """lm-eval and transformers tell much that a reader of one table does not need."""
    for name in ("lm_eval", "transformers", "datasets", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
