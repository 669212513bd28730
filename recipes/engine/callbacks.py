"""Progress of training, as a person watches it."""

import sys
import time
from typing import Any

import torch
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Below this share of a CPU for the training thread, its threads wait for each other more than they
# compute (our choice).
_BUSY_PERCENT = 75


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
