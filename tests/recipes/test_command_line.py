"""How a command of several processes starts and ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_recipes.common.config_files import load_config
from recipes.command_line import CONFIGS, exit_on_error, load_stage, run_process
from recipes.config import StageConfig
from tests import processes
from tests.conftest import ROOT, environment

WORKER = ROOT / "tests" / "recipes" / "workers.py"
HOST = socket.gethostname()


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (["no such shards", "no such shards"], ["rank 0 on {}: no such shards"]),
        (["waits", "no such shards"], ["rank 1 on {}: no such shards"]),
    ],
)
def test_each_rank_says_what_happened_to_it_once(says: list[str], expected: list[str]) -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    result = subprocess.run(
        [sys.executable, *command, str(WORKER), "fail", *says],
        capture_output=True,
        text=True,
        env={**environment(), "PYTHONPATH": str(ROOT)},
    )
    found = re.findall(r"^error: (.*)$", result.stderr, re.M)
    assert result.returncode and found == [line.format(HOST) for line in expected], result.stderr


def test_a_rank_without_a_launcher_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    result = processes.run([WORKER, "fail", "", "the disk is full"])
    assert result.stderr.strip() == f"error: rank 1 on {HOST}: the disk is full"


def test_accelerate_that_starts_one_process_of_two_is_refused() -> None:
    launch = ["-m", "accelerate.commands.accelerate_cli", "launch", "-q", "--config_file"]
    launch += [str(CONFIGS / "accelerate" / "cpu.yaml"), "--num_processes", "2"]
    # The launcher is a fork, what it starts begins from nothing.
    result = processes.run([*launch, str(ROOT / "recipes" / "stage1.py")])
    assert result.returncode and "asked for several processes and started one" in result.stderr
    # Nothing of the launcher's stands around the message: no warning of defaults, no trace.
    assert result.stderr.startswith("error: ") and "Traceback" not in result.stderr, result.stderr
    # What it names instead is what the tests of two ranks start: torchrun.
    assert "torchrun --nproc_per_node 2 recipes/stage1.py" in result.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
    ],
)
def test_threads_spin_for_a_moment_unless_the_user_says_otherwise(
    given: dict[str, str], expected: str
) -> None:
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    script = "import os, sys, recipes.command_line; print(os.environ.get('GOMP_SPINCOUNT'),"
    script += " 'torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=clean | given,
    )
    assert result.stdout.split() == [expected, "False"], result.stderr


def test_a_count_of_tokens_may_be_written_with_an_exponent() -> None:
    path = CONFIGS / "10b" / "stage1.yaml"
    config = load_stage(path, "stage1", ["schedule.total_tokens=1e9"])
    assert config == load_config(path, StageConfig, ["schedule.total_tokens=1_000_000_000"])
    assert isinstance(config.schedule.total_tokens, int)


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


# A stage that says that it runs, and ends well when it is asked to.
STAGE = """
import pathlib, signal, sys, time
said = pathlib.Path(sys.argv[1])
def stop(number, frame):
    said.write_text(signal.Signals(number).name)
    sys.exit(75)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, stop)
said.write_text("runs")
time.sleep(60)
"""
COMMAND = """
import sys
import time
from pathlib import Path
from recipes.command_line import exit_on_error, run_process
exit_on_error(lambda: print(run_process([sys.executable, "-c", *sys.argv[1:]])))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_is_passed_on_to_the_stage_that_runs(tmp_path: Path, name: str) -> None:
    said = tmp_path / "said"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, STAGE, str(said)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 50
        while not (said.exists() and said.read_text() == "runs"):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.Signals[name])
        assert process.wait(timeout=50) == 75
        (line,) = process.stderr.read().splitlines()
        assert "stopped by a signal" in line and "the same command goes on" in line
        assert said.read_text() == name
    finally:
        process.kill()


def test_a_stage_has_its_own_status() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run_process([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    with pytest.raises(FileNotFoundError):
        run_process(["/nowhere/at/all"])
    assert signal.getsignal(signal.SIGTERM) is before
