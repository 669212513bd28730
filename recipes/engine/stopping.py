"""A run that is asked to stop saves a checkpoint at the end of its step and says how to go on.

SIGTERM is what a machine about to go away sends, SIGUSR1 what scripts/slurm/train.sbatch has Slurm
send before the time is up. transformers' own answer (`enable_jit_checkpoint`) knows the first only,
and asks each rank for itself: one that is signalled a step later would wait for the others for
ever.
"""

import signal
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..command_line import Stopped
from .watchdog import Watchdog

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopOnSignal(TrainerCallback):
    """Ends training after a step in which any rank was signalled, with a checkpoint of that step.

    Attributes:
        stopped: training was ended.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.stopped = False
        self._reduce = trainer.accelerator.reduce
        self._signalled = False
        self._before: dict[signal.Signals, Any] = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    def listen(self) -> None:
        """Note signals from now on, in place of dying from them."""
        self._before = {s: signal.signal(s, self._note) for s in _SIGNALS}

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # All ranks must stop at the same step, whoever was signalled and when.
        asked = torch.tensor(float(self._signalled), device=args.device)
        if args.world_size > 1:
            asked = self._reduce(asked, reduction="sum")
        # The last step has nothing after it that could be stopped.
        if asked.item() and state.global_step < state.max_steps:
            self.stopped = control.should_save = control.should_training_stop = True


def train_until_stopped(trainer: Trainer, checkpoint: Path | None) -> None:
    """Train to the end, or to the end of the step in which a signal arrives; of several ranks,
    watch that none hangs.

    Args:
        trainer: of any stage.
        checkpoint: where to go on from.

    Raises:
        Stopped: by a signal; the checkpoint is written.
    """
    stop = StopOnSignal(trainer)
    trainer.add_callback(stop)
    watch: AbstractContextManager[None] = nullcontext()
    if trainer.args.world_size > 1:
        watch = Watchdog(trainer.args.ddp_timeout, Path(trainer.args.output_dir))
        trainer.add_callback(watch)
    stop.listen()
    try:
        with watch:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        stop.restore()
    if stop.stopped:
        raise Stopped(
            f"stopped by a signal after step {trainer.state.global_step:,} of "
            f"{trainer.state.max_steps:,}, which is saved; run the same command to go on"
        )
