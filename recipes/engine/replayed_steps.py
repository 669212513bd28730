"""Steps of a run computed again: as they trained, or for the loss of each document they read."""

import contextlib
import io
import itertools
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from .. import build
from ..arguments import check_machine, start_processes, training_arguments
from ..opened_run import OpenedRun
from .checkpoint_weights import load_weights, nearest_weights
from .checkpoints import SHARDED, checkpoint_step, list_checkpoints
from .reproduce import StepRecorder
from .resume import find_damage
from .windows_data import build_collator


@dataclass(frozen=True)
class ReplayWindow:
    """A stretch of steps to compute again.

    Attributes:
        name: what it is, for people.
        checkpoint: to start from; `None` is the start of the run.
        start: its step.
        end: last step.
        missing: why it cannot be replayed; empty if it can.
    """

    name: str
    checkpoint: Path | None
    start: int
    end: int
    missing: str = ""


class _StopAfter(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        control.should_training_stop |= state.global_step >= self.step
        return control


def find_windows(run: OpenedRun, record: dict[str, Any], count: int) -> list[ReplayWindow]:
    """Choose what is replayed: the first steps, and those behind the newest whole checkpoint.

    Args:
        run: to replay.
        record: its `reproduce.json`.
        count: steps of each, at most.
    """
    recorded = set(map(int, record["steps"]))

    def end_of(first: int) -> int:
        """Last step that there is something to compare of, `count` from the first at most."""
        return (
            next(s for s in itertools.count(first) if s not in recorded or s == first + count) - 1
        )

    start, checkpoint = record["attempts"][0]["from_step"], run.config.schedule.branch_from
    end = end_of(start + 1)
    missing = "" if end > start else "no step of it was recorded"
    if checkpoint is not None and not checkpoint.is_dir():
        missing = f"the branching point {checkpoint} is gone"
    elif checkpoint is not None and (checkpoint / SHARDED).is_dir():
        missing = f"the branching point {checkpoint} is sharded, and this is one process"
    windows = [ReplayWindow(f"steps {start + 1:,} to {end:,}", checkpoint, start, end, missing)]
    for later in reversed(list_checkpoints(run.directory)):
        step, whole = checkpoint_step(later), not (later / SHARDED).is_dir()
        if step + 1 in recorded and step > start and whole and find_damage(later) is None:
            end = end_of(step + 1)
            name = f"steps {step + 1:,} to {end:,}, from {later.name}"
            return [*windows, ReplayWindow(name, later, step, end)]
    gone = "no whole checkpoint of one process lies before steps that were recorded"
    return [*windows, ReplayWindow("a later window", None, 0, 0, gone)]


def _rules_of(run: OpenedRun) -> Any:
    return import_module(f"recipes.{run.config.stage}").RULES


def replay_window(run: OpenedRun, window: ReplayWindow) -> dict[str, dict[str, Any]]:
    """Compute steps again, as the run computed them, in a scratch directory.

    Returns:
        Facts by step, as `reproduce.json` has them.

    Raises:
        RecipeError: inputs are gone or damaged, or a step is not finite.
    """
    config, rules = run.config, _rules_of(run)
    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        logging = config.logging.model_copy(
            update={
                "output_dir": Path(scratch),
                "report_to": [],
                "quick_eval_every_tokens": None,
                "background_checkpoints": False,
            }
        )
        config = config.model_copy(update={"logging": logging})
        args = training_arguments(config, run.steps)
        args.eval_strategy, args.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
        tokenizer = build.build_tokenizer(config)
        mixture = build.build_mixture(config, run.steps, tokenizer)
        model = build.build_model(config, tokenizer)
        trainer = build.build_trainer(config, rules, args, run.steps, model, tokenizer, mixture)
        recorder = StepRecorder(trainer, run.steps.save_every, run.steps.total)
        trainer.add_callback(recorder)
        trainer.add_callback(_StopAfter(window.end))
        trainer.run(window.checkpoint, window.start)
    return recorder.steps


@torch.no_grad()
def document_losses(
    run: OpenedRun, windows: Iterable[int]
) -> tuple[dict[int, list[tuple[float, int]]], Path]:
    """Measure documents as training scores them, with the weights nearest to their step.

    Args:
        run: that read them.
        windows: of one step.

    Returns:
        By window, mean cross-entropy in nats and number of scored tokens of each document in it;
        and the directory whose weights were taken.

    Raises:
        RecipeError: no weights, or damaged ones.
    """
    step = run.step_of(next(iter(windows)))
    directory = nearest_weights(run, step)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_weights(run, directory).to(device)
    collator = build_collator(run.config, _rules_of(run).unscored, run.tokenizer)
    losses = {}
    for index in windows:
        window = run.mixture.window(index)
        batch = {
            key: value.to(device) if isinstance(value, torch.Tensor) else value
            for key, value in collator([window]).items()
        }
        nll = model(**batch, sum_loss=True, use_cache=False).token_nll[0].double()
        scored = batch["labels"][0] >= 0
        own, begin = [], 0
        for end in window.document_ends.tolist()[: len(window.starts)]:
            count = int(scored[begin:end].sum())
            own.append((float(nll[begin:end].sum()) / max(1, count), count))
            begin = end
        losses[index] = own
    return losses, directory
