"""A rank that hangs ends the run with one line, and with the place where it hangs."""

from pathlib import Path

import pytest

from recipes.engine.watchdog import Watchdog
from tests import processes
from tests.conftest import ROOT

WORKER = ROOT / "tests" / "recipes" / "workers.py"


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
    import time
    from types import SimpleNamespace

    monkeypatch.setattr("os._exit", lambda status: pytest.fail("the run was ended"))
    watch = Watchdog(0.5, tmp_path)
    with watch:
        for step in range(10):
            time.sleep(0.1)
            watch.on_log(None, SimpleNamespace(global_step=step), None)
    time.sleep(0.6)  # nor after its end
    assert not any(tmp_path.iterdir()) and not capsys.readouterr().err
