"""A run whose ranks stand still ends with a line that says so, and a file of where each one stands.

A rank that hangs (a dead disk, a deadlock in a loader) holds all others in their next exchange.
torch then ends them after `parallelism.timeout_minutes` with the trace of an innocent one, or NCCL
by a signal with none.
"""

import faulthandler
import os
import socket
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Shares of the time after which torch gives up (our choice): stacks are written first, on all ranks
# at about the same time, then each ends before torch would end it.
_SPEAK, _END = 0.7, 0.85


class Watchdog(TrainerCallback):
    """Watches that a run makes progress, while it trains.

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
