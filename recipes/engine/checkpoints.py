"""Checkpoints that are whole or absent, each with a list of its files that loading verifies."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import disk_full_reason, publish, sha256_file, write_json_atomically

STAGING = ".staging"
FILES = "files.json"
# Where FSDP2 leaves the weights of a checkpoint.
SHARDED = "pytorch_model_fsdp_0"
_PREFIX = "checkpoint-"
# What every checkpoint has, listed or not: without the optimizer, HF's trainer starts a fresh one
# and warms up again, without a word.
_NEEDED = ("trainer_state.json", "scheduler.pt", "optimizer*")


def checkpoint_step(path: Path) -> int:
    """Return the step of a `checkpoint-N` directory.

    Raises:
        RecipeError: not such a directory, or one without a readable trainer state.
    """
    try:
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        return state["global_step"]
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(f"{path}: not a checkpoint (no readable trainer_state.json)") from error


def list_checkpoints(output_dir: Path) -> list[Path]:
    """List published checkpoints, oldest first. They get their names only once they are whole."""
    found = [p for p in output_dir.glob(f"{_PREFIX}*") if p.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix(_PREFIX)))


def _hashes(directory: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 by file name. Each rank reads its share of the files, all ranks get all."""
    state = PartialState()
    own = names[state.process_index :: state.num_processes]
    return dict(gather_object([(name, sha256_file(directory / name)) for name in own]))


def _files(directory: Path) -> list[str]:
    """Names of a checkpoint's files, the same on all ranks."""
    found = [p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()]
    names = [sorted(set(found) - {FILES})]
    return broadcast_object_list(names)[0]


def write_file_list(directory: Path) -> None:
    """List every file of a checkpoint with its size and hash. Called on all ranks."""
    names = _files(directory)
    hashes = _hashes(directory, names)
    if PartialState().is_main_process:
        sizes = {name: (directory / name).stat().st_size for name in names}
        listed = {name: {"bytes": sizes[name], "sha256": hashes[name]} for name in names}
        write_json_atomically(directory / FILES, listed)


def find_damage(directory: Path) -> str | None:
    """Say what is wrong with a checkpoint, or `None`. Called on all ranks.

    One of an older version has no list: then only what a resumed run needs must be there.
    """
    damage: list[str | None] = [None]
    listed: dict[str, Any] = {}
    if not (directory / FILES).is_file():
        missing = [name for name in _NEEDED if not any(directory.glob(name))]
        damage = [f"{missing[0]} is missing" if missing else None]
    else:
        try:
            listed = json.loads((directory / FILES).read_text(encoding="utf-8"))
            sizes = {name: facts["bytes"] for name, facts in listed.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            damage, listed, sizes = [f"{FILES} is damaged"], {}, {}
        for name, size in sizes.items():
            if not (directory / name).is_file():
                damage = [f"{name} is missing"]
            elif (directory / name).stat().st_size != size:
                damage = [f"{name} has {(directory / name).stat().st_size:,} bytes, not {size:,}"]
    # The first rank decides, so that all of them hash, or none.
    names = broadcast_object_list([damage[0], sorted(listed)])
    if names[0] is not None:
        return names[0]
    found = _hashes(directory, names[1])
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


def clear_staging(output_dir: Path) -> None:
    """Remove what a killed run left half-written."""
    shutil.rmtree(output_dir / STAGING, ignore_errors=True)


def _reason(error: BaseException) -> str | None:
    """Why the file system would not take a checkpoint; `None` for an error of another kind."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return disk_full_reason(error)


class WholeCheckpoints:
    """Makes a trainer's checkpoints whole or absent. Stands before the `Trainer` it is mixed into.

    Attributes:
        keep_checkpoints: newest checkpoints to keep; 0 keeps all.
        keep_every: steps between those that are kept for good; `None` is never.
    """

    keep_checkpoints: int
    keep_every: int | None = None
    _staging = False

    def complete_checkpoint(self, staged: Path) -> None:
        """Add what the trainer itself does not save. Called on one process."""

    def _get_output_dir(self, trial: Any) -> str:
        # Overridden because the trainer asks here where `checkpoint-N` goes: while one is written,
        # into the staging folder, so that it gets its name only when it is whole.
        output_dir = Path(self.args.output_dir)
        return str(output_dir / STAGING if self._staging else output_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # Overridden to list the files after the last of them is written, publish, and only then
        # remove old ones: HF's own rotation would do it before the new one is known to be whole.
        output_dir = Path(self.args.output_dir)
        staged = output_dir / STAGING / f"{_PREFIX}{self.state.global_step}"
        self._staging = True
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                self.complete_checkpoint(staged)
            self.accelerator.wait_for_everyone()
            write_file_list(staged)
            if self.args.should_save:
                publish(staged, output_dir / staged.name)
                self._remove_old(output_dir)
            self.accelerator.wait_for_everyone()
        except Exception as error:
            clear_staging(output_dir)
            reason = _reason(error)
            if reason is None or isinstance(error, RecipeError):
                raise  # an error of the GPU or the network, say, which space would not mend
            raise RecipeError(
                f"{output_dir / STAGING}: checkpoint of step {self.state.global_step} could not be "
                f"written ({reason}). Earlier checkpoints are whole: free space or make the "
                "directory writable, then run the same command to go on"
            ) from error
        finally:
            self._staging = False

    def _remove_old(self, output_dir: Path) -> None:
        if not self.keep_checkpoints:
            return
        for old in list_checkpoints(output_dir)[: -self.keep_checkpoints]:
            step = int(old.name.removeprefix(_PREFIX))
            # The first at or after each multiple, which need not be a multiple of `save_steps`.
            before = step - self.args.save_steps
            if self.keep_every and step // self.keep_every > before // self.keep_every:
                continue
            # Renamed first: a deletion that is cut short must not leave half a checkpoint.
            doomed = output_dir / STAGING / f"old-{old.name}"
            os.replace(old, doomed)
            shutil.rmtree(doomed)
