"""A stand-in for a Slurm cluster: `sbatch` and `squeue` for the PATH, and what runs the scripts.

A script that names `INTERPRETER` has its Python started as a fork (tests/processes.py); one that
names another starts that.
"""

import json
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from unittest import mock

from tests import processes

COMMANDS = Path(__file__).parent
INTERPRETER = COMMANDS / "interpreter"


def run_queue(queue: Path) -> dict[str, str]:
    """Run all that was submitted: every element of every array, in order; dependencies hold.

    Returns:
        By job id: "ok", "failed" or "cancelled".
    """
    states: dict[str, str] = {}
    for path in sorted(queue.glob("*.json")):
        state = path.with_suffix(".state")
        if not state.exists():
            state.write_text(_run(path.stem, json.loads(path.read_text()), states))
        states[path.stem] = state.read_text()
    return states


def _run(number: str, job: dict, states: dict[str, str]) -> str:
    directives = {k: "".join(shlex.split(v)) for k, v in job["directives"].items()}
    if any(states[other] != "ok" for other in job["after"]):
        # Without this option Slurm keeps such a job for good; the tests would find it in squeue.
        return "cancelled" if directives["kill-on-invalid-dep"] == "yes" else "never"
    last, _ = re.fullmatch(r"0-(\d+)%(\d+)", directives["array"]).groups()
    codes = []
    for element in range(int(last) + 1):
        output = directives["output"].replace("%A", number).replace("%a", str(element))
        environment = {
            **os.environ,
            "SLURM_JOB_ID": number,
            "SLURM_ARRAY_TASK_ID": str(element),
            "OMP_NUM_THREADS": "1",
        }
        codes.append(_start(job, environment, Path(output)))
    return "failed" if any(codes) else "ok"


def _start(job: dict, environment: dict[str, str], output: Path) -> int:
    with tempfile.TemporaryDirectory() as starts, output.open("w") as file:
        # Slurm copies the script to the node and starts it in the directory of submission.
        done = subprocess.run(
            ["bash", "-c", job["script"]],
            cwd=job["cwd"],
            env=environment | {"SLURM_STARTS": starts},
            stdout=file,
            stderr=file,
        )
        if not (Path(starts) / "arguments").exists():
            return done.returncode
        arguments, own = (
            (Path(starts) / name).read_text().rstrip("\0").split("\0")
            for name in ("arguments", "environment")
        )
        with mock.patch.dict(os.environ, dict(line.split("=", 1) for line in own), clear=True):
            done = processes.run(arguments, cwd=Path(job["cwd"]))
        file.write(done.stdout + done.stderr)
        return done.returncode
