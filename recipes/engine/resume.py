"""Where a run writes, and where it goes on: the claim on its directory, and the checkpoint."""

import tempfile
from pathlib import Path
from typing import Any

from accelerate import PartialState

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    DirectoryLock,
    check_settings,
    read_settings,
    write_json_atomically,
)
from data_recipes.tokens.mixture import Mixture
from modeling_kormo import KORMoConfig

from ..arguments import stream_dtype
from ..config import StageConfig
from ..pretrain import Steps
from .checkpoints import checkpoint_step, find_damage, list_checkpoints, newest_whole
from .handover import FINAL, read_lineage
from .metrics import truncate_metrics

FINGERPRINT = "fingerprint.json"
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
_OPTION = "logging.output_dir"
# Held until the process ends, however it ends.
_locks: list[DirectoryLock] = []


def claim_output(output_dir: Path) -> None:
    """Make sure that the run can write where it should, alone, and has not ended there already.

    Raises:
        RecipeError: output that is finished, cannot be written, or is another run's.
    """
    try:
        if (output_dir / FINAL).is_dir():
            raise RecipeError(
                f"{output_dir / FINAL}: this run is already finished. Use it, delete {output_dir} "
                f"to train again, or choose another {_OPTION}"
            )
        if PartialState().is_main_process:
            _locks.append(DirectoryLock(output_dir, _OPTION))
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output_dir):
            pass
    except OSError as error:
        raise RecipeError(
            f"{_OPTION} {output_dir}: cannot be written to ({error.strerror}); choose another "
            "directory or free space"
        ) from error


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
    remedy = f"undo the change, or choose another {_OPTION}:"
    told = "stream" in (recorded.get("model") or {})
    if not told and current.get("model", {}).get("stream") == "bfloat16":
        remedy = (
            "the run does not say in which dtype it adds its layers up: if it ran under FSDP2, add "
            f'"stream": "bfloat16" to `model` in {FINGERPRINT} there; else finish it with the '
            "version that began it:"
        )
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
    """Return the checkpoint that a run goes on from and its step; `None` and 0 if there is none.

    What was logged after it is dropped, and logged again. Without a checkpoint, the fingerprint is
    recorded as that of a new run. Called on all ranks.

    Args:
        output_dir: of the run.
        fingerprint: of the run: what must not change between it and its resumption, by section.
        total: steps of the run.

    Raises:
        RecipeError: the run was started with other settings or data, or no checkpoint is whole.
    """
    first = PartialState().is_main_process
    if list_checkpoints(output_dir):
        check_fingerprint(output_dir, fingerprint)
    newest = newest_whole(output_dir)
    if newest is None:
        if first:
            truncate_metrics(output_dir, -1)
            write_json_atomically(output_dir / FINGERPRINT, fingerprint)
        return None, 0
    step = checkpoint_step(newest)
    if first:
        truncate_metrics(output_dir, step)
        print(f"resuming from {newest} (step {step:,} of {total:,})", flush=True)
    return newest, step


def run_fingerprint(config: StageConfig, mixture: Mixture) -> dict[str, dict[str, Any]]:
    """Collect what must not change between a run and its resumption, by section."""
    parent = config.model.init_from
    lineage = read_lineage(parent) if parent else None
    scaling = config.model.rope_scaling
    std = config.model.embedding_std or KORMoConfig.initializer_range
    return {
        "data": {
            "fingerprint": mixture.fingerprint,
            "packing": config.data.packing,
            "document_masking": config.data.document_masking,
            "pairs": config.data.pairs,
        },
        "model": {
            **config.model.shape.model_dump(),
            **({} if parent else {"embedding_std": std}),
            **config.model.norms(),
            "views": config.model.views.model_dump() if config.model.views else None,
            "rope_theta": config.model.rope_theta,
            "rope_scaling": scaling.parameters() if scaling else None,
            "init_from": parent,
            "init_weights": lineage["weights_sha256"] if lineage else None,
            "stream": stream_dtype(config.parallelism.precision),
        },
        "batch": {"tokens_per_step": config.batch.tokens_per_step},
        "schedule": config.schedule.model_dump(mode="json"),
        "unfreezing": config.unfreezing.model_dump() if config.unfreezing else None,
        "optimizer": config.optimizer.model_dump(mode="json"),
        "growth": config.growth.model_dump(mode="json") if config.growth else None,
    }


def find_checkpoint(config: StageConfig, mixture: Mixture, steps: Steps) -> tuple[Path | None, int]:
    """Return the checkpoint to go on from and its step: the newest of this run, or the branch's.

    Raises:
        RecipeError: the run was started with other settings or data, or the branching point is
            damaged or lies beyond the end of this run.
    """
    output_dir, branch = config.logging.output_dir, config.schedule.branch_from
    fingerprint = run_fingerprint(config, mixture)
    if branch is not None and not list_checkpoints(output_dir):
        others = {k: v for k, v in fingerprint.items() if k != "schedule"}
        check_fingerprint(branch.parent, others)
        step = checkpoint_step(branch)
        if step >= steps.total:
            raise RecipeError(
                f"schedule.branch_from {branch} is at step {step:,}, this run ends at "
                f"{steps.total:,}: raise schedule.total_tokens"
            )
        if damage := find_damage(branch):
            raise RecipeError(f"schedule.branch_from {branch} is damaged ({damage}): use another")
        find_newest(output_dir, fingerprint, steps.total)  # records this run
        if PartialState().is_main_process:
            print(f"branching from {branch} (step {step:,} of {steps.total:,})", flush=True)
        return branch, step
    return find_newest(output_dir, fingerprint, steps.total)
