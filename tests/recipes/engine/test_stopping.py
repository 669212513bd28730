"""A run that is asked to stop does so after one step on all ranks, saved, with its own status."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recipes.command_line import exit_on_error
from recipes.engine.checkpoints import checkpoint_step, find_damage, list_checkpoints
from recipes.engine.metrics import read_metrics
from tests.conftest import Stage


def test_one_signalled_rank_stops_all_after_the_same_step(
    small_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    output = tmp_path / "stage1"
    # Far more steps than it will make, and no checkpoint on the way.
    stage = small_stage(output, "schedule.total_tokens=1e9", "logging.save_every_tokens=1e9")
    program = stage.start(ranks=2)
    try:
        deadline = time.monotonic() + 120
        while not any("loss" in line for line in read_metrics(output)):
            assert program.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(program.ranks[1].pid, signal.SIGUSR1)
        result = program.wait()
    finally:
        program.kill()
    (checkpoint,) = list_checkpoints(output)
    step = checkpoint_step(checkpoint)
    assert find_damage(checkpoint) is None
    assert read_metrics(output)[-1]["step"] == step
    assert result.stderr.count(f"stopped by a signal after step {step:,} of") == 1, result.stderr
    assert result.returncode == 75
    assert not (output / "final").exists()


def test_ctrl_c_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise KeyboardInterrupt

    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(SystemExit) as left:
        exit_on_error(main)
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 130 and "the same command goes on" in line
