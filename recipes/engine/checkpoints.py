"""Where a run writes, alone, and its checkpoints: whole or absent, each with a list of its files.

`resume.py` verifies that list before a checkpoint is loaded.
"""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist
from accelerate import PartialState
from torch import nn
from torch.distributed.checkpoint import CheckpointException

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    DirectoryLock,
    disk_full_reason,
    publish,
    sha256_file,
    write_json_atomically,
)
from data_recipes.tokens.mixture import Mixture
from modeling_kormo import KORMoConfig

from ..arguments import stream_dtype
from ..config import StageConfig
from ..opened_run import FINAL, FINGERPRINT
from .background_save import BackgroundSave
from .handover import read_lineage
from .metrics import truncate_metrics

STAGING = ".staging"
FILES = "files.json"
# Where FSDP2 leaves the weights of a checkpoint.
SHARDED = "pytorch_model_fsdp_0"
_PREFIX = "checkpoint-"
OPTION = "logging.output_dir"
# Held until the process ends, however it ends.
_locks: list[DirectoryLock] = []


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


def gather(value: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Values of all ranks, in their order."""
    ranks = PartialState().num_processes
    if ranks == 1:
        return [value]
    values = [None] * ranks
    dist.all_gather_object(values, value, group=group)
    return values


def hash_files(
    directory: Path, names: list[str], group: dist.ProcessGroup | None = None
) -> dict[str, str]:
    """SHA-256 by file name. Each rank reads its share of the files, all ranks get all."""
    state = PartialState()
    own = names[state.process_index :: state.num_processes]
    parts = gather({name: sha256_file(directory / name) for name in own}, group)
    return {name: hashed for part in parts for name, hashed in part.items()}


def write_file_list(directory: Path, group: dist.ProcessGroup | None = None) -> None:
    """List every file of a checkpoint with its size and hash. Called on all ranks.

    Args:
        directory: of the checkpoint.
        group: that the ranks talk in; `None` is training's.
    """
    found = [p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()]
    names = gather(sorted(set(found) - {FILES}), group)[0]  # the same on all ranks
    hashes = hash_files(directory, names, group)
    if PartialState().is_main_process:
        sizes = {name: (directory / name).stat().st_size for name in names}
        listed = {name: {"bytes": sizes[name], "sha256": hashes[name]} for name in names}
        write_json_atomically(directory / FILES, listed)


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

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any) -> None:
        # Overridden because HF ends in a traceback where a run was launched in another way.
        checkpoint = Path(resume_from_checkpoint)
        sharded = (checkpoint / SHARDED).is_dir()
        if sharded and not self.is_fsdp_enabled:
            raise RecipeError(
                f"{checkpoint}: was sharded by FSDP2; launch with it again, on any number of GPUs "
                "(recipes/configs/accelerate/one_node.yaml)"
            )
        if self.is_fsdp_enabled and not sharded and (checkpoint / "model.safetensors").is_file():
            raise RecipeError(f"{checkpoint}: is not sharded; go on without FSDP2, as it began")
        super()._load_from_checkpoint(resume_from_checkpoint, *args)

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
        kept = 0
        for old in list_checkpoints(output_dir)[: -self.keep_checkpoints]:
            step = int(old.name.removeprefix(_PREFIX))
            # The first at or after each multiple of those that are there, however often it saves.
            if self.keep_every and step // self.keep_every > kept // self.keep_every:
                kept = step
                continue
            # Renamed first: a deletion that is cut short must not leave half a checkpoint.
            doomed = output_dir / STAGING / f"old-{old.name}"
            os.replace(old, doomed)
            shutil.rmtree(doomed)


def claim_output(output_dir: Path) -> None:
    """Make sure that the run can write where it should, alone, and has not ended there already.

    Raises:
        RecipeError: output that is finished, cannot be written, or is another run's.
    """
    try:
        if (output_dir / FINAL).is_dir():
            raise RecipeError(
                f"{output_dir / FINAL}: this run is already finished. Use it, delete {output_dir} "
                f"to train again, or choose another {OPTION}"
            )
        if PartialState().is_main_process:
            _locks.append(DirectoryLock(output_dir, OPTION))
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output_dir):
            pass
    except OSError as error:
        raise RecipeError(
            f"{OPTION} {output_dir}: cannot be written to ({error.strerror}); choose another "
            "directory or free space"
        ) from error


def begin_run(output_dir: Path, fingerprint: dict[str, Any]) -> None:
    """Record what a new run starts with; what an attempt without a checkpoint logged is dropped.

    Args:
        output_dir: of the run.
        fingerprint: what must not change between it and its resumption, by section.
    """
    if PartialState().is_main_process:
        truncate_metrics(output_dir, -1)
        write_json_atomically(output_dir / FINGERPRINT, fingerprint)


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
