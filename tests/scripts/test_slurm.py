"""The batch script of training, with stand-ins for Slurm's commands and for the launcher."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "slurm" / "train.sbatch"
COMMANDS = {
    "scontrol": 'case $1 in show) echo node1;; *) echo "$@" >> "$LOG";; esac',
    # One node, which runs the task as Slurm would.
    "srun": 'shift; SLURM_PROCID=0 exec "$@"',
    # A launcher with one rank, and its status if that fails.
    "accelerate": f'{sys.executable} "$RANK_OF_IT" & wait $! || exit 1',
}

# Saves when it is signalled, which a shell that was started with the signal ignored could not.
RANK = """
import os, signal, sys, time
def save(*_):
    print("saved", file=open(os.environ["LOG"], "a"), flush=True)
    os._exit(75)
signal.signal(signal.SIGUSR1, save)
open(os.environ["LOG"], "w")
time.sleep(60)
"""


@pytest.fixture
def stand_ins(tmp_path: Path) -> dict[str, str]:
    for name, body in COMMANDS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "rank.py").write_text(RANK)
    return {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "RANK_OF_IT": str(tmp_path / "rank.py"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node1",
        "SLURM_NNODES": "1",
    }


def test_a_job_whose_time_is_up_saves_and_is_queued_again(stand_ins: dict[str, str]) -> None:
    log = Path(stand_ins["LOG"])
    job = subprocess.Popen(["bash", str(SCRIPT), "recipes/stage2.py"], env=stand_ins)
    deadline = time.monotonic() + 30
    while not log.exists():
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    # Slurm signals the steps of the job, and may reach the shell of the task alone.
    (task,) = psutil.Process(job.pid).children()
    task.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=30) == 75
    assert log.read_text() == "saved\nrequeue 7\n"


def test_a_job_that_fails_is_not_queued_again(stand_ins: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "accelerate").write_text("#!/bin/sh\nexit 1\n")
    job = subprocess.run(["bash", str(SCRIPT), "recipes/stage2.py"], env=stand_ins)
    assert job.returncode == 1 and not Path(stand_ins["LOG"]).exists()
