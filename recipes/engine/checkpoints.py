"""Checkpoints that are whole or absent, each with a list of its files that loading verifies."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from accelerate import PartialState
from torch import nn
from torch.distributed.checkpoint import CheckpointException

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import disk_full_reason, publish, sha256_file, write_json_atomically

STAGING = ".staging"
FILES = "files.json"
# Where FSDP2 leaves the weights of a checkpoint.
SHARDED = "pytorch_model_fsdp_0"
_PREFIX = "checkpoint-"
_PARTS = ("weights", "optimizer")  # what accelerate writes, in its order
# What every checkpoint has, listed or not: without the optimizer, HF's trainer starts a fresh one
# and warms up again, without a word.
_NEEDED = ("trainer_state.json", "scheduler.pt", "optimizer*")


@contextmanager
def without_warning() -> Iterator[None]:
    """Have torch read or write shards in one process without saying at each that it is alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        yield


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


def _gather(value: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Values of all ranks, in their order."""
    ranks = PartialState().num_processes
    if ranks == 1:
        return [value]
    values = [None] * ranks
    dist.all_gather_object(values, value, group=group)
    return values


def _hashes(
    directory: Path, names: list[str], group: dist.ProcessGroup | None = None
) -> dict[str, str]:
    """SHA-256 by file name. Each rank reads its share of the files, all ranks get all."""
    state = PartialState()
    own = names[state.process_index :: state.num_processes]
    parts = _gather({name: sha256_file(directory / name) for name in own}, group)
    return {name: hashed for part in parts for name, hashed in part.items()}


def write_file_list(directory: Path, group: dist.ProcessGroup | None = None) -> None:
    """List every file of a checkpoint with its size and hash. Called on all ranks.

    Args:
        directory: of the checkpoint.
        group: that the ranks talk in; `None` is training's.
    """
    found = [p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()]
    names = _gather(sorted(set(found) - {FILES}), group)[0]  # the same on all ranks
    hashes = _hashes(directory, names, group)
    if PartialState().is_main_process:
        sizes = {name: (directory / name).stat().st_size for name in names}
        listed = {name: {"bytes": sizes[name], "sha256": hashes[name]} for name in names}
        write_json_atomically(directory / FILES, listed)


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
    said, names = _gather((damage, sorted(listed)))[0]
    if said is not None:
        return said
    found = _hashes(directory, names)
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
    if isinstance(error, CheckpointException):  # what went wrong on ranks that write shards
        return next(filter(None, (_reason(own) for own, _ in error.failures.values())), None)
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return disk_full_reason(error)


class BackgroundSave:
    """Writes the shards of one checkpoint at a time, while training goes on (torch's `async_save`).

    Training waits while each rank copies its shards to host memory, not while they are written and
    hashed. A rank needs host memory for two copies of its shards while it does the first, then for
    one. Made on all ranks together.

    Args:
        timeout: seconds after which a rank that waits for another gives up.
    """

    def __init__(self, timeout: float) -> None:
        # Ranks exchange who writes what. Two writes in one group would take each other's messages,
        # and training's own group is training's.
        limit = timedelta(seconds=timeout)
        self._groups = [dist.new_group(backend="gloo", timeout=limit) for _ in _PARTS]
        self._writes: list[Future] = []
        self._whole: Future | None = None

    def _begin(self, state_dict: dict[str, Any], **kwargs: Any) -> None:
        # The writer that accelerate passes copies all tensors to host memory before this returns.
        group = self._groups[len(self._writes)]
        self._writes.append(dcp.async_save(state_dict, process_group=group, **kwargs))

    @contextmanager
    def taking_over(self) -> Iterator[None]:
        """Have accelerate, which only knows `save`, begin what it would finish."""
        save, dcp.save = dcp.save, self._begin
        try:
            yield
        finally:
            dcp.save = save

    def then(self, publish: Callable[[dist.ProcessGroup], None]) -> None:
        """Call `publish` once every rank has written its shards, from a thread of its own.

        Args:
            publish: called on all ranks, with the group that they may talk in.
        """
        writes, self._writes = self._writes, []
        if len(writes) != len(_PARTS):
            raise RuntimeError(f"{len(writes)} of {_PARTS} are being written")

        def end() -> None:
            # All of them, also after one has failed: who hears of it removes what they write.
            if errors := [error for write in writes if (error := write.exception())]:
                raise errors[0]
            publish(self._groups[0])

        executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._whole = executor.submit(end)
        executor.shutdown(wait=False)

    def wait(self) -> None:
        """Wait until nothing is being written; raises what went wrong since the last call."""
        whole, self._whole = self._whole, None
        if whole is not None:
            whole.result()


class WholeCheckpoints:
    """Makes a trainer's checkpoints whole or absent. Stands before the `Trainer` it is mixed into.

    Attributes:
        keep_checkpoints: newest checkpoints to keep; 0 keeps all.
        keep_every: steps between those that are kept for good; `None` is never.
    """

    keep_checkpoints: int
    keep_every: int | None = None
    _staging = False
    _background: BackgroundSave | None = None
    _saving = 0

    def save_in_background(self) -> None:
        """Write checkpoints while training goes on.

        Raises:
            RecipeError: they are not sharded.
        """
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        if plugin is None or plugin.state_dict_type.name != "SHARDED_STATE_DICT":
            raise RecipeError(
                "logging.background_checkpoints: only sharded checkpoints are written while "
                "training goes on; launch with FSDP2 (recipes/configs/accelerate/one_node.yaml), "
                "or set it to false"
            )
        self._background = BackgroundSave(self.args.ddp_timeout)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        # Overridden because a run has not ended while a checkpoint of it is being written.
        result = super().train(*args, **kwargs)
        self._finish_saving()
        return result

    def complete_checkpoint(self, staged: Path) -> None:
        """Add what the trainer itself does not save. Called on all ranks."""

    def _get_output_dir(self, trial: Any) -> str:
        # Overridden because the trainer asks here where `checkpoint-N` goes: while one is written,
        # into the staging folder, so that it gets its name only when it is whole.
        output_dir = Path(self.args.output_dir)
        return str(output_dir / STAGING if self._staging else output_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # Overridden to list the files after the last of them is written, publish, and only then
        # remove old ones: HF's own rotation would do it before the new one is known to be whole.
        self._finish_saving()
        step, background = self.state.global_step, self._background
        staged = Path(self.args.output_dir) / STAGING / f"{_PREFIX}{step}"
        self._staging = True
        try:
            with self._errors_named(step):
                with background.taking_over() if background else nullcontext():
                    super()._save_checkpoint(model, trial)
                self.complete_checkpoint(staged)
                self.accelerator.wait_for_everyone()
                if background:
                    self._saving = step
                    background.then(partial(self._publish, staged))
                else:
                    self._publish(staged)
                    self.accelerator.wait_for_everyone()
        finally:
            self._staging = False

    def _publish(self, staged: Path, group: dist.ProcessGroup | None = None) -> None:
        """List, rename, and remove old ones."""
        write_file_list(staged, group)
        if self.args.should_save:
            publish(staged, staged.parents[1] / staged.name)
            self._remove_old(staged.parents[1])

    def _finish_saving(self) -> None:
        """Wait for what is being written in the background."""
        if self._background:
            with self._errors_named(self._saving):
                self._background.wait()
            self.accelerator.wait_for_everyone()

    @contextmanager
    def _errors_named(self, step: int) -> Iterator[None]:
        """Say of an error of the disk what could not be written, and how to go on."""
        try:
            yield
        except (Exception, CheckpointException) as error:  # the latter is no `Exception`
            staging = Path(self.args.output_dir) / STAGING
            shutil.rmtree(staging, ignore_errors=True)
            reason = _reason(error)
            if reason is None or isinstance(error, RecipeError):
                raise  # an error of the GPU or the network, say, which space would not mend
            raise RecipeError(
                f"{staging}: checkpoint of step {step} could not be written ({reason}). Earlier "
                "checkpoints are whole: free space or make the directory writable, then run the "
                "same command to go on"
            ) from error

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
