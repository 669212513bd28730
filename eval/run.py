"""Evaluates a model, task by task, and keeps what it found.

Each finished task is kept; started again after an interruption, the same command goes on with the
next one.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import git_commit, processor, write_json_atomically

from .measure import data_of, describe_row, json_lines, quiet_libraries, run_unit
from .model import ModelOptions, load_model, model_settings
from .plan import AnswerSampling, Plan, Unit
from .run_dir import RESULTS, RunDir, read_results

# Those that decide what a model answers and how it is scored.
_PACKAGES = ("torch", "transformers", "tokenizers", "lm_eval", "datasets", "vllm")


def describe_environment(device: str) -> dict[str, str]:
    """Versions, commit and hardware.

    Args:
        device: as torch names it.
    """
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue  # vLLM, where it is not used
    on_gpu = device.startswith("cuda")
    return {
        "commit": git_commit() or "not in git",
        "python": sys.version.split()[0],
        **packages,
        "device": torch.cuda.get_device_name(torch.device(device)) if on_gpu else processor(),
        "threads": str(torch.get_num_threads()),
        "system": platform.platform(terse=True),
    }


_DEFAULTS = asdict(AnswerSampling())


@dataclass
class Eta:
    """Time to go, from what tasks of the same kind took in this session."""

    seconds: dict[tuple[bool, bool], float] = field(default_factory=dict)
    items: dict[tuple[bool, bool], int] = field(default_factory=dict)

    def add(self, unit: Unit, items: int, seconds: float) -> None:
        """A unit has ended."""
        kind = (unit.chat, unit.think)
        self.seconds[kind] = self.seconds.get(kind, 0) + seconds
        self.items[kind] = self.items.get(kind, 0) + items

    def left(self, todo: Iterable[tuple[Unit, int]]) -> str:
        """Time that the units and their questions will take."""
        todo = list(todo)
        if not todo:
            return "done"
        overall = sum(self.seconds.values()) / max(1, sum(self.items.values()))
        rates = {kind: self.seconds[kind] / max(1, self.items[kind]) for kind in self.seconds}
        seconds = sum(rates.get((unit.chat, unit.think), overall) * items for unit, items in todo)
        return f"about {_duration(seconds)} to go"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def evaluate_plan(
    plan: Plan, options: ModelOptions, out: Path, sampling: AnswerSampling, limit: int | None
) -> dict[str, Any]:
    """Run what has not been run, and write `results.json`.

    Args:
        plan: what to run.
        options: the model.
        out: directory of the run.
        sampling: how answers are drawn.
        limit: questions per task, at most.

    Returns:
        The content of `results.json`.

    Raises:
        RecipeError: the model cannot be loaded, or the directory holds another run.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError(
            "the evaluation is one process: start it with `python -m eval`, not with a launcher; "
            "to use several GPUs, --backend vllm --gpus N"
        )
    # Only what is set, so that a directory of an older version is gone on with.
    drawn = {key: value for key, value in asdict(sampling).items() if value != _DEFAULTS[key]}
    settings = model_settings(options) | {"limit": limit} | drawn
    directory = RunDir(out, settings)
    try:
        saved = {
            unit.key: directory.finished(unit, data_of(plan.tasks[unit.task]))
            for unit in plan.units
        }
        todo = [unit for unit in plan.units if saved[unit.key] is None]
        if todo:
            done = len(saved) - len(todo)
            print(
                f"writing to {out}; if it is interrupted, start the same command again to go on"
                + (f" ({done} of {len(saved)} tasks are done)" if done else ""),
                flush=True,
            )
            saved |= _run_all(plan, todo, options, directory, sampling, limit)
        results = _merge(out, plan, saved) | {
            "name": options.name,
            "settings": settings,
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        }
        write_json_atomically(out / RESULTS, results)
    finally:
        directory.close()
    return results


def _run_all(
    plan: Plan,
    todo: list[Unit],
    options: ModelOptions,
    directory: RunDir,
    sampling: AnswerSampling,
    limit: int | None,
) -> dict[str, dict[str, Any]]:
    quiet_libraries()
    lm = load_model(
        options,
        chat=any(unit.chat for unit in plan.units),
        think=any(unit.think for unit in plan.units),
    )
    environment = describe_environment(options.resolved_device)
    done: dict[str, dict[str, Any]] = {}
    eta = Eta()
    for number, unit in enumerate(todo):
        start = time.perf_counter()
        result, records = run_unit(
            lm, plan.tasks[unit.task], unit, limit, sampling, plan.clusters.get(unit.task)
        )
        result["environment"] = environment
        directory.save(unit, result, json_lines(records))
        done[unit.key] = directory.finished(unit, data_of(plan.tasks[unit.task]))
        eta.add(unit, result["items"], time.perf_counter() - start)
        left = eta.left((other, plan.items(other, limit)) for other in todo[number + 1 :])
        print(
            f"[{number + 1}/{len(todo)}] {unit.key}: {result['items']:,} questions in "
            f"{_duration(result['seconds'])}; {left}",
            file=sys.stderr,
            flush=True,
        )
    return done


def _merge(out: Path, plan: Plan, saved: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Rows of this plan, after those of earlier ones in the same directory."""
    rows = [describe_row(row, plan, saved, out) for row in plan.rows]
    units = saved
    if (out / RESULTS).is_file():
        earlier = read_results(out)
        ours = {(row["suite"], row["label"]) for row in rows}
        rows = [r for r in earlier["rows"] if (r["suite"], r["label"]) not in ours] + rows
        units = earlier["units"] | saved
    return {"rows": rows, "units": units}
