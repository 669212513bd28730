"""`results.json`: every run as it was measured, and what the arms come to against the baseline."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import read_settings
from data_recipes.common.statistics import (
    compare_pairs,
    detectable_effect,
    deviation,
    holm,
    judge,
    pairs_needed,
)

from ..engine.handover import read_lineage
from ..opened_run import FINAL, read_reproduce
from .config import ExperimentConfig, Overrides
from .measures import curve_of, higher_is_better, measure_run, training_seconds
from .pairing import check_pairs
from .runs import Run, label_of

RESULTS = "results.json"
# Of what a run records of its machine, what a report says.
_MACHINE = ("processor", "gpu", "threads")
# Results that are published with the code, and the page made of them.
DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "experiments"
NEGATIVE = RECORDS / "negative.yaml"


def _measure(experiment: ExperimentConfig, run: Run) -> dict[str, float]:
    found = measure_run(run, list(experiment.measures))
    for name in experiment.decide:
        if name not in found:
            raise RecipeError(
                f"decide.{name}: {run.name} has no such measure, but {', '.join(found)}; name one "
                "of these (no run is lost: start the experiment again)"
            )
    return found


def describe_run(experiment: ExperimentConfig, run: Run) -> dict[str, Any]:
    """Describe a finished run: its measures, its curve, and what it cost."""
    lineage = read_lineage(str(run.cells[-1].directory / FINAL))
    return {
        "arm": run.arm,
        "value": label_of(run.value),
        "seed": run.seed,
        "tokens": run.tokens,
        "seconds": round(training_seconds(run.cells), 3),
        "commit": lineage["commit"],
        "measures": _measure(experiment, run),
        "curve": curve_of(run),
    }


def best_values(
    experiment: ExperimentConfig, runs: list[Run], values: list[Overrides]
) -> dict[str, Overrides]:
    """Choose each arm's value of the sweep, by the mean of the measures that decide.

    Args:
        experiment: the experiment.
        runs: of the sweep, finished ones; an arm with none of them stays with the first value.
        values: all that are tried.
    """
    chosen = dict.fromkeys(experiment.arms, values[0])
    for arm in experiment.arms:
        scores = []
        for run in runs:
            if run.arm == arm:
                found = _measure(experiment, run)
                own = [found[k] * (-1 if higher_is_better(k) else 1) for k in experiment.decide]
                mean = statistics.fmean(own)
                # A number that is none compares as neither better nor worse.
                scores.append((math.inf if math.isnan(mean) else mean, values.index(run.value)))
        if scores:
            chosen[arm] = values[min(scores)[1]]
    return chosen


def _comparison(
    experiment: ExperimentConfig, runs: list[dict[str, Any]], arm: str, measure: str
) -> dict[str, Any] | None:
    def of(name: str) -> dict[int, float]:
        return {r["seed"]: r["measures"][measure] for r in runs if r["arm"] == name}

    own, base = of(arm), of(experiment.baseline)
    seeds = sorted(own.keys() & base.keys())
    if len(seeds) < 2:
        return None
    first, second = [base[s] for s in seeds], [own[s] for s in seeds]
    difference, spread = compare_pairs(first, second), deviation(first, second)
    return {
        "arm": arm,
        "measure": measure,
        "pairs": len(seeds),
        "baseline": difference.first,
        "mean": difference.second,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p_value,
        "spread": spread,
        "smallest": experiment.decide[measure],
        "detectable": detectable_effect(len(seeds), spread),
        "needed": pairs_needed(experiment.decide[measure], spread),
        "_difference": difference,
    }


def compare_arms(experiment: ExperimentConfig, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare every arm with the baseline on the same seeds, and say what it comes to.

    Args:
        experiment: the experiment.
        runs: as `describe_run` has them.

    Returns:
        One record for each arm and deciding measure that has two pairs at least; p-values are
        corrected for the number of records (Holm).
    """
    found = [
        record
        for measure in experiment.decide
        for arm in experiment.arms
        if arm != experiment.baseline
        and (record := _comparison(experiment, runs, arm, measure)) is not None
    ]
    for record, corrected in zip(found, holm([r["p"] for r in found])):
        record["corrected"] = corrected
        record["verdict"] = judge(
            record.pop("_difference"),
            corrected,
            record["smallest"],
            higher_is_better(record["measure"]),
        )
    return found


def machine_of(runs: list[Run]) -> dict[str, str]:
    """Say what stages were computed on and with, as they recorded it themselves.

    Args:
        runs: finished ones, with their parents.

    Returns:
        By name, every value that there is, most frequent first. Stages that write
        `reproduce.json` say what each attempt was computed on, others what the last one was.
    """
    found: dict[str, Counter[str]] = {}
    for cell in {cell.directory: cell for run in runs for cell in run.stages()}.values():
        final = cell.directory / FINAL
        lineage = read_lineage(str(final))
        said = [("python", lineage["python"]), *lineage["packages"].items()]
        for attempt in (read_reproduce(final) or {}).get("attempts", [lineage]):
            said += [(name, attempt.get("machine", {}).get(name)) for name in _MACHINE]
        for name, value in said:
            if value is not None:
                found.setdefault(name, Counter())[str(value)] += 1
    return {
        name: " or ".join(value for value, _ in own.most_common())
        + (" (runs differ)" if len(own) > 1 else "")
        for name, own in sorted(found.items(), key=lambda item: item[0] not in _MACHINE)
    }


def collect(
    experiment: ExperimentConfig, name: str, size: str, sweep: list[Run], runs: list[Run]
) -> dict[str, Any]:
    """Put together what is finished.

    Args:
        experiment: the experiment.
        name: of it.
        size: of its recipes.
        sweep: finished runs of the sweep.
        runs: finished runs that are compared.

    Raises:
        RecipeError: nothing is finished, or runs that should be pairs are none.
    """
    if not runs:
        raise RecipeError(f"{experiment.output_dir}: no finished run to report on")
    pairs = check_pairs(experiment, runs)
    described = [describe_run(experiment, run) for run in runs]
    parents = [run.parent for run in (*sweep, *runs) if run.parent]
    return {
        "name": name,
        "size": size,
        "experiment": experiment.model_dump(mode="json"),
        "machine": machine_of([*sweep, *runs]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "parents_seconds": round(training_seconds(parents), 1),
        "pairing": pairs,
        "sweep": [describe_run(experiment, run) for run in sweep],
        "runs": described,
        "comparisons": compare_arms(experiment, described),
    }


def by_arm(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Sort runs, as `describe_run` has them, by their arms."""
    return {
        arm: [r for r in runs if r["arm"] == arm] for arm in dict.fromkeys(r["arm"] for r in runs)
    }


def measured(runs: list[dict[str, Any]], measure: str) -> list[float]:
    """List a measure of the runs that have it."""
    return [run["measures"][measure] for run in runs if measure in run["measures"]]


def read_results(path: Path) -> dict[str, Any] | None:
    """Read a `results.json`; `None` if there is none.

    Raises:
        RecipeError: it is damaged.
    """
    return read_settings(path, "delete it: it is made again of the runs")


def records() -> list[dict[str, Any]]:
    """Read all published results, by size and name."""
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(RECORDS.glob("*/*.json"))]


def read_negative() -> list[dict[str, str]]:
    """Read the log of negative results: what was tried, what came out, what that leaves open."""
    return yaml.safe_load(NEGATIVE.read_text(encoding="utf-8"))


def known_spread(found: list[dict[str, Any]], size: str, measure: str) -> tuple[float, str] | None:
    """Find the largest spread of paired differences that an earlier experiment of a size had.

    Args:
        found: results, the nearest to the question first; the first that has any decides.
        size: of the recipes.
        measure: deciding one.

    Returns:
        The spread, and the name of the experiment.
    """
    for results in found:
        own = [c["spread"] for c in results["comparisons"] if c["measure"] == measure]
        own = [spread for spread in own if not math.isnan(spread)]
        if results["size"] == size and own:
            return max(own), results["name"]
    return None
