"""The progress line, a run that is asked to stop, and a rank that hangs."""

import io
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from recipes.engine.checkpoints import checkpoint_step, list_checkpoints
from recipes.engine.metrics import read_metrics
from recipes.engine.progress import MonotonicBar, NonFiniteError, ProgressBar, SpikeGuard, Watchdog
from recipes.engine.resume import find_damage
from tests import processes
from tests.conftest import ROOT, Stage

WORKER = ROOT / "tests" / "recipes" / "workers.py"
WINDOW = 16


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


def test_a_rank_that_hangs_in_training_is_found(tmp_path: Path) -> None:
    result = processes.run([WORKER, "hang", "training", tmp_path], ranks=2)
    assert result.returncode == 1
    said = [line for line in result.stderr.splitlines() if line.startswith("error: rank ")]
    assert len(said) == 1 and "nothing has happened for 0." in said[0]  # one of each node
    waits, hangs = ((tmp_path / f"stuck_rank_{r}.txt").read_text() for r in range(2))
    assert "all_reduce" in waits and "read_a_dead_disk" not in waits
    assert "read_a_dead_disk" in hangs and "all_reduce" not in hangs


def test_a_rank_that_is_waited_for_in_vain_is_one_line(tmp_path: Path) -> None:
    result = processes.run([WORKER, "hang", "waiting", tmp_path], ranks=2)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "error: rank 0 on" in result.stderr
    assert "waited for another rank for as long as parallelism.timeout_minutes" in result.stderr


def test_a_run_that_goes_on_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os._exit", lambda status: pytest.fail("the run was ended"))
    watch = Watchdog(0.5, tmp_path)
    with watch:
        for step in range(10):
            time.sleep(0.1)
            watch.on_log(None, SimpleNamespace(global_step=step), None)
    time.sleep(0.6)  # nor after its end
    assert not any(tmp_path.iterdir()) and not capsys.readouterr().err


def warmed_up() -> SpikeGuard:
    guard = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for step in range(WINDOW):
        loss, norm = 3 + 0.1 * torch.randn(2, generator=generator)
        assert guard.judge(loss, norm, step) == 0
    return guard


@pytest.mark.parametrize(("loss", "norm"), [(30.0, 3.0), (3.0, 30.0)])
def test_a_spike_of_either_kind_is_skipped(loss: float, norm: float) -> None:
    guard = warmed_up()
    assert guard.judge(torch.tensor(loss), torch.tensor(norm), WINDOW) == 1
    assert guard.skipped == 1
    guard.check()


def test_falling_values_are_no_spike() -> None:
    assert warmed_up().judge(torch.tensor(-30.0), torch.tensor(0.0), WINDOW) == 0


def test_nothing_is_skipped_before_half_the_window() -> None:
    guard = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    for step in range(WINDOW // 2):
        value = torch.tensor(3.0 if step < WINDOW // 2 - 1 else 3000.0)
        assert guard.judge(value, value, step) == 0


def test_spikes_are_skipped_from_half_the_window_on() -> None:
    guard = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    for step in range(WINDOW // 2):
        value = torch.tensor(3.0 + 0.1 * (step % 3))
        assert guard.judge(value, value, step) == 0
    assert guard.judge(torch.tensor(3000.0), torch.tensor(3.0), WINDOW // 2) == 1


def test_a_lasting_change_of_level_is_accepted_in_the_end() -> None:
    guard = warmed_up()
    decisions = [guard.judge(torch.tensor(9.0), torch.tensor(9.0), i) for i in range(WINDOW)]
    assert decisions[0] == 1 and decisions[-1] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_is_skipped_at_once_and_raised_a_step_later(bad: float) -> None:
    guard = warmed_up()
    assert guard.judge(torch.tensor(bad), torch.tensor(3.0), WINDOW) == 1
    guard.check(keep=1)
    guard.judge(torch.tensor(3.0), torch.tensor(3.0), WINDOW + 1)
    with pytest.raises(NonFiniteError) as caught:
        guard.check(keep=1)
    assert caught.value.step == WINDOW
    # The value must not poison the statistics.
    assert guard.values.isfinite().all()


def test_a_skipped_update_leaves_weights_moments_and_step_count_alone() -> None:
    parameter = torch.nn.Parameter(torch.randn(8))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0.1, fused=True)

    def step(skip: float) -> list[torch.Tensor]:
        parameter.grad = torch.ones(8)
        optimizer.found_inf = torch.tensor(skip)
        optimizer.step()
        state = optimizer.state[parameter]
        return [t.clone() for t in (parameter.data, state["exp_avg"], state["step"])]

    first, skipped, second = step(0.0), step(1.0), step(0.0)
    for before, after in zip(first, skipped):
        assert torch.equal(before, after)
    assert not torch.equal(skipped[0], second[0]) and second[2] == first[2] + 1


def test_state_survives_a_checkpoint() -> None:
    guard = warmed_up()
    guard.judge(torch.tensor(30.0), torch.tensor(3.0), WINDOW)
    copy = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    copy.load_state_dict(guard.state_dict())
    assert torch.equal(copy.values, guard.values)
    assert (copy.seen, int(copy.skipped)) == (WINDOW + 1, 1)
