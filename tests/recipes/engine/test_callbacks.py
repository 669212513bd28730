"""The progress line: its clock, and what it says of a busy machine."""

import io
import time
from types import SimpleNamespace

import pytest
import torch

from recipes.engine.callbacks import MonotonicBar, ProgressBar


def test_a_clock_that_is_set_back_does_not_stop_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    real, behind = time.time, [0]
    for clock in ("time.time", "tqdm.std.time"):
        monkeypatch.setattr(clock, lambda: real() - behind[0])
    bar = MonotonicBar(total=4, mininterval=0, file=out)
    behind[0] = 3600
    for _ in range(4):
        time.sleep(0.01)
        before = len(out.getvalue())
        bar.update(1)
        assert len(out.getvalue()) > before
    assert 0 < bar.format_dict["elapsed"] < 60


@pytest.mark.parametrize(("share", "busy"), [(48.0, True), (97.0, False)])
def test_a_busy_machine_is_said_to_be_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], share: float, busy: bool
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    state = SimpleNamespace(is_world_process_zero=True, max_steps=9, global_step=4)
    progress = ProgressBar()
    progress.on_train_begin(None, state, None)
    for _ in range(2):
        logs = {"loss": 1.0, "tokens_per_second": 10.0, "cpu_percent": share}
        progress.on_log(None, state, None, logs)
    assert ("busy, got 48%" in progress.bar.postfix) == busy
    progress.on_train_end(None, state, None)
    advice = "step 4: this machine is too busy for 2 threads"
    assert capsys.readouterr().err.count(advice) == int(busy)
