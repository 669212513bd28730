"""A checkpoint is what was written, or is named and passed over."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import PartialState
from safetensors import SafetensorError
from torch.distributed.checkpoint import CheckpointException
from transformers import Trainer

from data_recipes.common.errors import RecipeError
from recipes.engine.background_save import BackgroundSave
from recipes.engine.checkpoints import (
    FILES,
    SHARDED,
    WholeCheckpoints,
    list_checkpoints,
    write_file_list,
)
from recipes.engine.resume import find_damage, newest_whole
from recipes.engine.trainer import PretrainTrainer

PARTS = ["trainer_state.json", "scheduler.pt", "optimizer.pt", "rng_state.pth", "model.safetensors"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two checkpoints."""
    PartialState(cpu=True)
    for step in (3, 6):
        checkpoint = tmp_path / f"checkpoint-{step}"
        checkpoint.mkdir()
        for name in PARTS:
            (checkpoint / name).write_bytes(f"{name} of step {step}".encode() * 100)
        write_file_list(checkpoint)
    return tmp_path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "lost optimizer": ("optimizer.pt", Path.unlink, "optimizer.pt is missing"),
    "lost random state": ("rng_state.pth", Path.unlink, "rng_state.pth is missing"),
    "half": ("model.safetensors", lambda p: os.truncate(p, 7), "has 7 bytes, not"),
    "empty": ("trainer_state.json", lambda p: os.truncate(p, 0), "has 0 bytes, not"),
    "a bit": ("model.safetensors", flip, "model.safetensors is not what was written"),
    "the list": (FILES, lambda p: os.truncate(p, 9), f"{FILES} is damaged"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    run: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, damage, message = DAMAGE[case]
    assert newest_whole(run) == run / "checkpoint-6"
    damage(run / "checkpoint-6" / name)
    assert newest_whole(run) == run / "checkpoint-3"
    shown = capsys.readouterr().out
    assert f"{run / 'checkpoint-6'} is damaged" in shown and message in shown


@pytest.mark.parametrize("fsdp", [True, False])
def test_a_run_goes_on_launched_as_it_began(tmp_path: Path, fsdp: bool) -> None:
    loaded = []

    class Loader:
        is_fsdp_enabled = fsdp

        def _load_from_checkpoint(self, *args: object) -> None:
            loaded.append(args)

    class Resumed(WholeCheckpoints, Loader):
        pass

    (tmp_path / "sharded" / SHARDED).mkdir(parents=True)
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "model.safetensors").touch()
    own, other, said = "sharded", "whole", "whole: is not sharded; go on without FSDP2"
    if not fsdp:
        own, other, said = other, own, "sharded: was sharded by FSDP2; launch with it again"
    Resumed()._load_from_checkpoint(str(tmp_path / own), "model")
    assert loaded == [(str(tmp_path / own), "model")]
    with pytest.raises(RecipeError, match=said):
        Resumed()._load_from_checkpoint(str(tmp_path / other))


def test_without_a_whole_one_the_run_does_not_start_over(run: Path) -> None:
    for step in (3, 6):
        flip(run / f"checkpoint-{step}" / "optimizer.pt")
    with pytest.raises(RecipeError, match="no whole checkpoint is older"):
        newest_whole(run)


def test_a_checkpoint_of_before_the_lists_is_taken_if_nothing_is_missing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = run / "checkpoint-6"
    (checkpoint / FILES).unlink()
    assert find_damage(checkpoint) is None
    # HF's trainer would start a fresh optimizer, and warm up again, without a word.
    for name, missing in (("model.safetensors", "*model*"), ("optimizer.pt", "optimizer*")):
        (checkpoint / name).unlink()
        assert find_damage(checkpoint) == f"{missing} is missing"
    monkeypatch.setattr(Trainer, "_load_optimizer_and_scheduler", lambda *_: None)
    trainer = PretrainTrainer.__new__(PretrainTrainer)
    with pytest.raises(RecipeError, match="guard.pt: is missing; move .*checkpoint-6 away"):
        trainer._load_optimizer_and_scheduler(str(checkpoint))


@pytest.mark.parametrize(
    ("error", "is_the_disk"),
    [
        (OSError(28, "No space left on device"), True),
        (SafetensorError("I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed"), True),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 4"), True),
        # torch's, of what the ranks say; no `Exception`.
        (CheckpointException("save", {1: (OSError(28, "No space left on device"), None)}), True),
        (CheckpointException("save", {0: (PermissionError(13, "Permission denied"), None)}), True),
        (CheckpointException("save", {0: (RuntimeError("NCCL error"), None)}), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.0 GiB"), False),
        (RuntimeError("NCCL error: remote process exited or there was a network error"), False),
    ],
)
def test_only_what_the_disk_did_is_called_a_full_disk(
    tmp_path: Path, error: BaseException, is_the_disk: bool
) -> None:
    class Failing:
        def _save_checkpoint(self, model: object, trial: object) -> None:
            raise error

    class Saving(WholeCheckpoints, Failing):
        keep_checkpoints = 2
        args = SimpleNamespace(output_dir=str(tmp_path), should_save=True)
        state = SimpleNamespace(global_step=1000)

    with pytest.raises(RecipeError if is_the_disk else type(error)) as raised:
        Saving()._save_checkpoint(None, None)
    assert ("run the same command to go on" in str(raised.value)) == is_the_disk


def test_some_checkpoints_are_kept_for_good(tmp_path: Path) -> None:
    """One in twenty-five steps is wanted, the first at or after it; also when more are saved."""

    class Saved(WholeCheckpoints):
        keep_checkpoints, keep_every = 2, 25
        args = SimpleNamespace(save_steps=10)

    def save(*steps: int) -> list[int]:
        for step in steps:
            (tmp_path / f"checkpoint-{step}").mkdir()
            saved._remove_old(tmp_path)
        return [int(path.name.partition("-")[2]) for path in list_checkpoints(tmp_path)]

    (tmp_path / ".staging").mkdir()
    saved = Saved()
    assert save(*range(10, 101, 10)) == [30, 50, 80, 90, 100]
    saved.args.save_steps = 5
    assert save(105, 110) == [30, 50, 80, 100, 105, 110]


def test_a_write_that_fails_is_told_when_the_other_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who is told removes the half-written checkpoint, which nothing may then write to."""

    def fail() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.distributed.new_group", lambda **_: None)
    save, published = BackgroundSave(timeout=60), []
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(fail), pool.submit(time.sleep, 0.5)]
        save._writes = list(slow)
        save.then(published.append)
        with pytest.raises(OSError, match="No space left"):
            save.wait()
        assert slow[1].done() and not published
