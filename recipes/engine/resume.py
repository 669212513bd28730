"""Where a run goes on: its newest checkpoint that is whole, or that of a run it branches from."""

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import check_settings, read_settings
from modeling_kormo import KORMoConfig

from ..config import StageConfig
from ..opened_run import FINGERPRINT
from .checkpoints import (
    FILES,
    OPTION,
    begin_run,
    checkpoint_step,
    gather,
    hash_files,
    list_checkpoints,
)
from .metrics import truncate_metrics

# What runs were trained with that were begun before a key was there.
_BEFORE = {
    "data": {"pairs": None},
    "model": {
        "embedding_std": KORMoConfig.initializer_range,
        "norm_placement": "pre",
        "rope_scaling": None,
        # Under bf16 as well, on one device. Under FSDP2 it was bfloat16 already; which of the two
        # a run had is written nowhere, and other rounding in mid-run is worse than a stop.
        "stream": "float32",
        "views": None,
    },
}
# What every checkpoint has, listed or not: without the optimizer, HF's trainer starts a fresh one
# and warms up again, without a word.
_NEEDED = ("trainer_state.json", "scheduler.pt", "optimizer*", "*model*")


def find_damage(directory: Path) -> str | None:
    """Say what is wrong with a checkpoint, or `None`. Called on all ranks.

    One of an older version has no list: then only what a resumed run needs must be there.
    """
    damage: str | None = None
    listed: dict[str, Any] = {}
    if not (directory / FILES).is_file():
        missing = [name for name in _NEEDED if not any(directory.glob(name))]
        damage = f"{missing[0]} is missing" if missing else None
    else:
        try:
            listed = json.loads((directory / FILES).read_text(encoding="utf-8"))
            sizes = {name: facts["bytes"] for name, facts in listed.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            damage, listed, sizes = f"{FILES} is damaged", {}, {}
        for name, size in sizes.items():
            if not (directory / name).is_file():
                damage = f"{name} is missing"
            elif (directory / name).stat().st_size != size:
                damage = f"{name} has {(directory / name).stat().st_size:,} bytes, not {size:,}"
    # The first rank decides, so that all of them hash, or none.
    said, names = gather((damage, sorted(listed)))[0]
    if said is not None:
        return said
    found = hash_files(directory, names)
    differing = [name for name, facts in listed.items() if found.get(name) != facts["sha256"]]
    return f"{differing[0]} is not what was written" if differing else None


def newest_whole(output_dir: Path) -> Path | None:
    """Return the newest checkpoint that is what was written; `None` if there is no checkpoint.

    Damaged ones are named on the way. Called on all ranks.

    Raises:
        RecipeError: all are damaged.
    """
    damaged = []
    for checkpoint in reversed(list_checkpoints(output_dir)):
        damage = find_damage(checkpoint)
        if damage is None:
            return checkpoint
        damaged.append(f"{checkpoint} is damaged ({damage})")
        if PartialState().is_main_process:
            print(f"{damaged[-1]}: looking for an older one", flush=True)
    if damaged:
        raise RecipeError(
            f"{damaged[0]}, and no whole checkpoint is older; restore it, or delete {output_dir} "
            "to train from the start"
        )
    return None


def check_fingerprint(directory: Path, current: dict[str, Any]) -> None:
    """Compare the settings that a run was started with and those of now.

    Args:
        directory: output directory of the run.
        current: settings by section.

    Raises:
        RecipeError: names every value that differs.
    """
    recorded = read_settings(directory / FINGERPRINT)
    if recorded is None:
        raise RecipeError(
            f"{directory / FINGERPRINT}: missing, so it cannot be told whether the run is the same"
        )
    remedy = f"undo the change, or choose another {OPTION}:"
    told = "stream" in (recorded.get("model") or {})
    if not told and current.get("model", {}).get("stream") == "bfloat16":
        remedy = (
            "the run does not say in which dtype it adds its layers up: if it ran under FSDP2, add "
            f'"stream": "bfloat16" to `model` in {FINGERPRINT} there; else finish it with the '
            "version that began it:"
        )
    if "inputs" not in recorded:  # of a run that began when nobody noted them
        current = {section: values for section, values in current.items() if section != "inputs"}
    was = {section: recorded.get(section) for section in current}
    for section, values in _BEFORE.items():
        if was.get(section):
            known = {key: value for key, value in values.items() if key in current[section]}
            was[section] = known | was[section]
    check_settings(
        directory,
        was,
        current,
        remedy,
        "the run there was started with other settings or other data",
    )


def find_newest(
    output_dir: Path, fingerprint: dict[str, Any], total: int
) -> tuple[Path | None, int]:
    """Return the checkpoint that a run goes on from and its step; `None` and 0 if it is a new one.

    What was logged after it is dropped, and logged again. Called on all ranks.

    Args:
        output_dir: of the run.
        fingerprint: of the run: what must not change between it and its resumption, by section.
        total: steps of the run.

    Raises:
        RecipeError: the run was started with other settings or data, or no checkpoint is whole.
    """
    if not list_checkpoints(output_dir):
        begin_run(output_dir, fingerprint)
        return None, 0
    check_fingerprint(output_dir, fingerprint)
    newest = newest_whole(output_dir)
    step = checkpoint_step(newest)
    if PartialState().is_main_process:
        truncate_metrics(output_dir, step)
        print(f"resuming from {newest} (step {step:,} of {total:,})", flush=True)
    return newest, step


def find_checkpoint(
    config: StageConfig, fingerprint: dict[str, Any], total: int
) -> tuple[Path | None, int]:
    """Return the checkpoint to go on from and its step: the newest of this run, or the branch's.

    Args:
        config: of the stage.
        fingerprint: of the run, as `run_fingerprint` has it.
        total: steps of the run.

    Raises:
        RecipeError: the run was started with other settings or data, or the branching point is
            damaged or lies beyond the end of this run.
    """
    output_dir, branch = config.logging.output_dir, config.schedule.branch_from
    if branch is None or list_checkpoints(output_dir):
        return find_newest(output_dir, fingerprint, total)
    check_fingerprint(branch.parent, {k: v for k, v in fingerprint.items() if k != "schedule"})
    step = checkpoint_step(branch)
    if step >= total:
        raise RecipeError(
            f"schedule.branch_from {branch} is at step {step:,}, this run ends at {total:,}: raise "
            "schedule.total_tokens"
        )
    if damage := find_damage(branch):
        raise RecipeError(f"schedule.branch_from {branch} is damaged ({damage}): use another")
    begin_run(output_dir, fingerprint)
    if PartialState().is_main_process:
        print(f"branching from {branch} (step {step:,} of {total:,})", flush=True)
    return branch, step
