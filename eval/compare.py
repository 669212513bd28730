"""Two runs compared task by task, on the same questions.

python -m eval compare runs/eval/base runs/eval/sft
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.statistics import Difference, compare_pairs, holm

from .run_dir import read_results, read_samples, samples_file
from .suites import GOLD_TASK

# How a row must have been asked in both runs.
_ASKED = ("metric", "shots", "chat", "think", "units")


def _by_name(results: dict[str, Any]) -> dict[tuple[str, bool], dict[str, Any]]:
    return {(row["task"], row["think"]): row for row in results["rows"]}


def _values(
    run: Path, unit: str, metric_key: str
) -> dict[tuple[int, str], tuple[float, str | None]]:
    """Score and cluster by question; a question is known by its place and by what it holds."""
    metric, _, filter_ = metric_key.partition(",")
    found = {}
    for record in read_samples(run, unit):
        if record["filter"] == filter_:
            value = record["metrics"].get(metric)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise RecipeError(
                    f"{run}: {unit}: {metric} is no number per question, so it cannot be compared "
                    "in pairs"
                )
            question = record["doc_id"], record["doc_hash"]
            if question in found:
                raise RecipeError(
                    f"{samples_file(run, unit)}: question {question[0]} is there twice; delete it "
                    f"and {unit}.json, and run the evaluation into {run} again"
                )
            found[question] = float(value), record.get("cluster")
    return found


def compare_rows(
    first: Path, second: Path, row: dict[str, Any], other_row: dict[str, Any]
) -> Difference:
    """The difference between two rows; questions of a group count equally, and those of a cluster
    together.

    Args:
        first: directory of a run.
        second: directory of another, or the same.
        row: of the first, from `results.json`.
        other_row: of the second, with the same tasks.

    Raises:
        RecipeError: their questions differ, or there are none.
    """
    pairs: list[tuple[float, float]] = []
    clusters: list[tuple[str, str | int]] = []
    clustered = False
    for unit, other_unit in zip(row["units"], other_row["units"], strict=True):
        one = _values(first, unit, row["metric"])
        other = _values(second, other_unit, other_row["metric"])
        if one.keys() != other.keys():
            raise RecipeError(
                f"{unit}: the runs answered different questions ({len(one.keys() - other.keys()):,}"
                f" only in {first}, {len(other.keys() - one.keys()):,} only in {second}, "
                f"{len(one.keys() & other.keys()):,} in both); evaluate both on the same data and "
                "with the same --limit"
            )
        for key in sorted(one):
            pairs.append((one[key][0], other[key][0]))
            # A run of before its task named a cluster has none.
            own = one[key][1] or other[key][1]
            clustered = clustered or own is not None
            clusters.append((unit, key[0] if own is None else own))
    if not pairs:
        raise RecipeError(f"{row['label']}: no answered question in {first} and {second}")
    return compare_pairs(*zip(*pairs), clusters if clustered else None)


def compare_runs(first: Path, second: Path) -> list[tuple[str, Difference, float]]:
    """All rows that both runs have.

    Returns:
        Label, difference, and p-value corrected for the number of rows.

    Raises:
        RecipeError: nothing in common, or rows that were asked in different ways.
    """
    one, other = _by_name(read_results(first)), _by_name(read_results(second))
    common = [key for key in one if key in other]
    if not common:
        raise RecipeError(
            f"{first} and {second} have no task in common: "
            f"{_named(one)} in the first, {_named(other)} in the second"
        )
    problems = [
        f"{one[key]['label']}: {name} is {one[key][name]!r} in {first}, {other[key][name]!r} in "
        f"{second}"
        for key in common
        for name in _ASKED
        if one[key][name] != other[key][name]
    ]
    if problems:
        raise RecipeError("\n  ".join(["the runs were asked in different ways:", *problems]))
    found = [compare_rows(first, second, one[key], other[key]) for key in common]
    corrected = holm([difference.p_value for difference in found])
    labels = [one[key]["label"] for key in common]
    return list(zip(labels, found, corrected))


def _named(rows: dict[tuple[str, bool], dict[str, Any]]) -> str:
    return ", ".join(row["label"] for row in rows.values()) or "nothing"


def format_comparison(first: Path, second: Path, rows: list[tuple[str, Difference, float]]) -> str:
    """The table."""
    width = max(len("task"), *(len(label) for label, _, _ in rows))
    lines = [
        f"A  {first}",
        f"B  {second}",
        "",
        f"{'task':<{width}}  questions       A       B    B - A     95 % interval   only A  only B"
        "        p   corrected",
    ]
    for label, own, corrected in rows:
        low, high = own.interval()
        mark = "  *" if corrected < 0.05 else ""
        if label.endswith(GOLD_TASK) or max(own.first, own.second) > 1:  # no shares
            values = f"{own.first:6.3f}  {own.second:6.3f}  {own.value:+7.3f}  "
            values += f"{low:+7.3f} to {high:+6.3f}"
        else:
            values = f"{own.first:6.1%}  {own.second:6.1%}  {100 * own.value:+7.1f}  "
            values += f"{100 * low:+7.1f} to {100 * high:+6.1f}"
        lines.append(
            f"{label:<{width}}  {own.items:9,}  {values}  {own.only_first:7,}  "
            f"{own.only_second:6,}  {own.p_value:7.2g}   {corrected:9.2g}{mark}"
        )
    tests = Counter(own.test for _, own, _ in rows)
    lines += [
        "",
        f"p: {', '.join(tests)} test of the same questions in pairs; * below 5 % after Holm's "
        f"correction for {len(rows)} comparisons. Differences in points; of {GOLD_TASK} in bits "
        "per byte, the fewer the better.",
    ]
    return "\n".join(lines)
