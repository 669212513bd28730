"""A run while it goes on: shown to people, guarded against spikes, ended by a signal, watched.

Spikes are skipped, and what is no number stops the run, without a host sync.
"""

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..command_line import STOP_SIGNALS, Stopped

# Below this share of a CPU for the training thread, its threads wait for each other more than they
# compute (our choice).
_BUSY_PERCENT = 75
# Shares of the time after which torch gives up (our choice): stacks are written first, on all ranks
# at about the same time, then each ends before torch would end it.
_SPEAK, _END = 0.7, 0.85


class NonFiniteError(RuntimeError):
    """A step whose loss or gradient norm is NaN or infinite.

    Attributes:
        step: optimizer step, counted from 0.
    """

    def __init__(self, step: int, loss: float, grad_norm: float) -> None:
        super().__init__(f"step {step + 1}: loss {loss}, gradient norm {grad_norm}")
        self.step = step


class SpikeGuard:
    """Decides, on the device, whether an update is applied.

    An update is skipped if its loss or its gradient norm lies more than `sigma` standard deviations
    above the mean of the last `window` steps, once half the window is filled (OLMo-core's
    SkipStepAdamW). The decision is a 0/1 tensor handed to the fused optimizer as `found_inf`, which
    then leaves weights, moments and its step count alone. Skipped values enter the window too: a
    lasting change of level must not be skipped for ever.

    Args:
        sigma: threshold in standard deviations.
        window: steps remembered.
        device: where losses live.
    """

    def __init__(self, sigma: float, window: int, device: torch.device) -> None:
        self.sigma = sigma
        self.window = window
        self.values = torch.zeros(2, window, dtype=torch.float32, device=device)
        self.seen = 0
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self._pending: deque[tuple[int, torch.Tensor, torch.cuda.Event | None]] = deque()

    def judge(self, loss: torch.Tensor, grad_norm: torch.Tensor, step: int) -> torch.Tensor:
        """`found_inf` for this step: fp32 scalar, 1 to skip the update.

        Args:
            loss: mean loss of the step over all ranks.
            grad_norm: norm before clipping.
            step: optimizer step, counted from 0.
        """
        current = torch.stack([loss.float(), grad_norm.float()])
        finite = current.isfinite().all()
        skip = ~finite
        filled = min(self.seen, self.window)
        if filled >= self.window // 2:
            history = self.values[:, :filled]
            limit = history.mean(dim=1) + self.sigma * history.std(dim=1)
            skip = skip | (current > limit).any()
        self.values[:, self.seen % self.window] = torch.where(finite, current, self.values[:, 0])
        self.seen += 1
        self.skipped += skip
        self._watch(step, current)
        return skip.float()

    def forget(self) -> None:
        """Start a new window: what came before is no measure of what comes."""
        self.seen = 0

    def _watch(self, step: int, current: torch.Tensor) -> None:
        # The copy to the host is checked one step later, when it has long arrived. Nothing is lost
        # by waiting: a non-finite update is skipped on the device anyway.
        event = None
        if current.is_cuda:
            host = torch.empty(2, pin_memory=True)
            host.copy_(current, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        else:
            host = current.clone()
        self._pending.append((step, host, event))

    def check(self, keep: int = 0) -> None:
        """Look at all but the last `keep` steps.

        Raises:
            NonFiniteError: for the first of them that was not finite.
        """
        while len(self._pending) > keep:
            step, host, event = self._pending.popleft()
            if event is not None:
                event.synchronize()
            loss, grad_norm = host.tolist()
            if not host.isfinite().all():
                raise NonFiniteError(step, loss, grad_norm)

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values.cpu(), "seen": self.seen, "skipped": self.skipped.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values.copy_(state["values"])
        self.seen = state["seen"]
        self.skipped.copy_(state["skipped"])


class MonotonicBar(tqdm):
    """A bar whose clock nobody can set back; tqdm's stands still until the old time comes again."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._time = time.monotonic
        self.start_t = self.last_print_t = time.monotonic()


class ProgressBar(TrainerCallback):
    """One line with ETA, loss and throughput; held-out measurements on lines of their own."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self._advised = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            # A batch system's log file gets a line a minute instead of ten a second.
            interval = 0.5 if sys.stderr.isatty() else 60
            self.bar = MonotonicBar(
                total=state.max_steps,
                initial=state.global_step,
                desc="training",
                unit="step",
                mininterval=interval,
                dynamic_ncols=True,
                file=sys.stderr,
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.bar is not None:
            self.bar.update(1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        **_: Any,
    ) -> None:
        if self.bar is None:
            return
        if "loss" in logs:
            shown = {"loss": f"{logs['loss']:.3f}", "tok/s": f"{logs['tokens_per_second']:,.0f}"}
            if "mfu_percent" in logs:
                shown["MFU"] = f"{logs['mfu_percent']:.0f}%"
            if (share := logs.get("cpu_percent", 100)) < _BUSY_PERCENT:
                shown["CPU"] = f"busy, got {share:.0f}%"
                self._advise(state.global_step)
            self.bar.set_postfix(shown, refresh=False)
        if "heldout_loss" in logs:
            self.bar.write(
                f"step {state.global_step}: held-out loss {logs['heldout_loss']:.4f}", sys.stderr
            )
        measured = {k: v for k, v in logs.items() if "bits_per_byte/" in k}
        if measured:
            named = {
                k.replace("bits_per_byte/", "").replace("_", " "): measured[k] for k in measured
            }
            values = "  ".join(f"{name} {value:.4f}" for name, value in named.items())
            self.bar.write(
                f"step {state.global_step}: held-out bits per byte  {values}", sys.stderr
            )

    def _advise(self, step: int) -> None:
        threads = torch.get_num_threads()
        if threads > 1 and not self._advised:
            self._advised = True
            self.bar.write(
                f"step {step}: this machine is too busy for {threads} threads; fewer may train "
                "faster (OMP_NUM_THREADS=1)",
                sys.stderr,
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class StopOnSignal(TrainerCallback):
    """Ends training after a step in which any rank was signalled, with a checkpoint of that step.

    SIGTERM is what a machine about to go away sends, SIGUSR1 what scripts/slurm/train.sbatch has
    Slurm send before the time is up. transformers' own answer (`enable_jit_checkpoint`) knows the
    first only, and asks each rank for itself: one that is signalled a step later would wait for the
    others for ever.

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
        self._before = {s: signal.signal(s, self._note) for s in STOP_SIGNALS}

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


class Watchdog(TrainerCallback):
    """Ends a run whose ranks stand still, with a line, and a file of where each one stands.

    A rank that hangs (a dead disk, a deadlock in a loader) holds all others in their next exchange.
    torch then ends them after `parallelism.timeout_minutes` with the trace of an innocent one, or
    NCCL by a signal with none.

    Args:
        timeout: seconds after which torch gives up a rank that is waited for.
        output_dir: of the run; stacks go to `stuck_rank_N.txt`.
    """

    def __init__(self, timeout: float, output_dir: Path) -> None:
        self.timeout = timeout
        self.output_dir = output_dir
        self.rank = int(os.environ.get("RANK", "0"))
        self._step = 0
        self._last = time.monotonic()
        self._ended = threading.Event()

    def _note(self, state: TrainerState) -> None:
        self._last, self._step = time.monotonic(), state.global_step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._note(state)

    # Whatever else a run does between two steps: a forward pass, a log line, a measurement, a save.
    on_substep_end = on_step_end = on_prediction_step = on_step_begin
    on_log = on_evaluate = on_save = on_step_begin

    def __enter__(self) -> None:
        self._last = time.monotonic()
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def _watch(self) -> None:
        said_at: float | None = None
        while not self._ended.wait(min(5.0, self.timeout / 50)):
            still = time.monotonic() - self._last
            if still < _SPEAK * self.timeout:
                said_at = None
            elif said_at is None:
                said_at = self._last
                self._speak(still)
            elif still > _END * self.timeout and said_at == self._last:
                os._exit(1)

    def _speak(self, seconds: float) -> None:
        path = self.output_dir / f"stuck_rank_{self.rank}.txt"
        try:
            with path.open("w", encoding="utf-8") as handle:
                print(f"{datetime.now():%Y-%m-%d %H:%M:%S} on {socket.gethostname()}", file=handle)
                handle.flush()
                faulthandler.dump_traceback(handle, all_threads=True)
        except OSError as error:
            path = f"nowhere ({error.strerror})"
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            print(
                f"\nerror: rank {self.rank} on {socket.gethostname()}: nothing has happened for "
                f"{seconds / 60:.1f} minutes after step {self._step:,}; the run ends. Where each "
                f"rank stands: {path} and its neighbours; the one that is not in an exchange "
                "between ranks (torch/distributed) is the one that the others wait for. If it is "
                "only slow, raise parallelism.timeout_minutes",
                file=sys.stderr,
                flush=True,
            )


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
