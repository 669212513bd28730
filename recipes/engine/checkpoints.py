"""Checkpoints that are whole or absent, and the fingerprint that a resumed run must match."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from safetensors import SafetensorError
from torch import nn

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import write_json_atomically

from .metrics import truncate_metrics

STAGING = ".staging"
FINGERPRINT = "fingerprint.json"
_PREFIX = "checkpoint-"


def checkpoint_step(path: Path) -> int:
    """Step of a `checkpoint-N` directory.

    Raises:
        RecipeError: not such a directory, or one without a trainer state.
    """
    state = path / "trainer_state.json"
    if not state.is_file():
        raise RecipeError(f"{path}: not a checkpoint (no trainer_state.json)")
    return json.loads(state.read_text(encoding="utf-8"))["global_step"]


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Whole checkpoints, oldest first. They get their names only once they are whole."""
    found = [p for p in output_dir.glob(f"{_PREFIX}*") if p.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix(_PREFIX)))


def _flush(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())


def publish(staged: Path, output_dir: Path, keep: int) -> Path:
    """Give a staged checkpoint its name, then remove the oldest beyond `keep` (0: none)."""
    _flush(staged)
    final = output_dir / staged.name
    if final.exists():
        shutil.rmtree(final)
    os.replace(staged, final)
    if keep:
        for old in list_checkpoints(output_dir)[:-keep]:
            # Renamed first: a deletion that is cut short must not leave half a checkpoint.
            doomed = output_dir / STAGING / f"old-{old.name}"
            os.replace(old, doomed)
            shutil.rmtree(doomed)
    return final


def clear_staging(output_dir: Path) -> None:
    """Remove what a killed run left half-written."""
    shutil.rmtree(output_dir / STAGING, ignore_errors=True)


def check_fingerprint(directory: Path, current: dict[str, Any], ignore: tuple[str, ...]) -> None:
    """Compare a run's recorded fingerprint with the current one.

    Args:
        directory: output directory of the run.
        current: fingerprint of the configured run, one level of sections.
        ignore: sections that may differ.

    Raises:
        RecipeError: names every value that differs.
    """
    path = directory / FINGERPRINT
    if not path.is_file():
        raise RecipeError(f"{path}: missing, so it cannot be told whether the run is the same")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    differences = []
    for section in dict.fromkeys([*current, *recorded]):
        was, now = recorded.get(section, {}), current.get(section, {})
        differences += [
            f"{section}.{key}: was {was.get(key)!r}, is {now.get(key)!r}"
            for key in dict.fromkeys([*now, *was])
            if section not in ignore and was.get(key) != now.get(key)
        ]
    if differences:
        raise RecipeError(
            "\n  ".join(
                [
                    f"{directory}: the run there was started with other settings or other data; "
                    "undo the change, or choose another logging.output_dir:",
                    *differences,
                ]
            )
        )


def record_fingerprint(output_dir: Path, current: dict[str, Any]) -> None:
    """Write the fingerprint of a new run."""
    write_json_atomically(output_dir / FINGERPRINT, current)


def find_newest(
    output_dir: Path, fingerprint: dict[str, Any], total: int
) -> tuple[Path | None, int]:
    """Checkpoint that a run goes on from and its step; `None` and 0 if there is none.

    What was logged after it is dropped, and logged again.

    Args:
        output_dir: of the run.
        fingerprint: of the run.
        total: steps of the run.

    Raises:
        RecipeError: the run was started with other settings or data.
    """
    first = PartialState().is_main_process
    checkpoints = list_checkpoints(output_dir)
    if not checkpoints:
        if first:
            truncate_metrics(output_dir, -1)
        return None, 0
    check_fingerprint(output_dir, fingerprint, ignore=())
    step = checkpoint_step(checkpoints[-1])
    if first:
        truncate_metrics(output_dir, step)
        print(f"resuming from {checkpoints[-1]} (step {step:,} of {total:,})", flush=True)
    return checkpoints[-1], step


class WholeCheckpoints:
    """Makes a trainer's checkpoints whole or absent. Stands before the `Trainer` it is mixed into.

    Attributes:
        keep_checkpoints: newest checkpoints to keep; 0 keeps all.
    """

    keep_checkpoints: int
    _saving = False

    def complete_checkpoint(self, staged: Path) -> None:
        """Add what the trainer itself does not save. Called on one process."""

    def _get_output_dir(self, trial: Any) -> str:
        output_dir = Path(self.args.output_dir)
        return str(output_dir / STAGING if self._saving else output_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        output_dir = Path(self.args.output_dir)
        self._saving = True
        try:
            super()._save_checkpoint(model, trial)
            staged = output_dir / STAGING / f"{_PREFIX}{self.state.global_step}"
            if self.args.should_save:
                self.complete_checkpoint(staged)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                publish(staged, output_dir, self.keep_checkpoints)
            self.accelerator.wait_for_everyone()
        except (OSError, RuntimeError, SafetensorError) as error:
            clear_staging(output_dir)
            raise RecipeError(
                f"{output_dir / STAGING}: checkpoint of step {self.state.global_step} could not be "
                f"written ({error}). Earlier checkpoints are whole: free space or make the "
                "directory writable, then start the same command again"
            ) from error
        finally:
            self._saving = False
