"""Untrusted programs and their tests, each in a process of its own.

Three walls, all of them without privileges:

- limits of the kernel: CPU time, wall-clock time, memory, size of files; at the end, whatever it
  was, the process group is killed;
- namespaces (`unshare`): no network, and its own process tree, which dies with it;
- an audit hook in the interpreter: no writing outside of a temporary folder, no sockets, no other
  processes, no ctypes.

The hook stops programs that do such things in passing, as those of models do. It is no wall against
one that was written to break it from inside of CPython: for code from strangers, run all of this in
a container or machine that you can lose. A program has passed if the tests reached their end, which
the process reports with a number drawn for this run; that it ended says nothing.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ..common.config_files import Strict
from ..common.errors import RecipeError
from .sandbox_child import READY

_CHILD = Path(__file__).with_name("sandbox_child.py")
UNSHARE = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
_START_SECONDS = 20  # for a loaded machine to start an interpreter, before limits stand


class SandboxConfig(Strict):
    """Limits of a program with all of its tests. The defaults are our choice.

    Attributes:
        seconds: of CPU.
        wall_seconds: until it is ended, whatever it waits for.
        memory_megabytes: of address space, the interpreter's own (some 20) included.
        file_megabytes: largest file.
        workers: programs at a time.
        namespaces: whether to cut off the network and the process tree by `unshare`, which not
            every machine and container allows; without, the audit hook alone does so.
    """

    seconds: int = Field(default=10, gt=0)
    wall_seconds: int = Field(default=30, gt=0)
    memory_megabytes: int = Field(default=1024, ge=64)
    file_megabytes: int = Field(default=16, gt=0)
    workers: int = Field(default=4, gt=0)
    namespaces: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a program.

    Attributes:
        passed: whether all of its tests did.
        detail: what was wrong.
    """

    passed: bool
    detail: str = ""


class Sandbox:
    """Runs programs.

    Args:
        config: limits.

    Raises:
        RecipeError: a program that does nothing cannot be run: no `unshare`, most likely.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        try:
            trial = self.run("", tests=["pass"])
        except RecipeError as error:
            if config.namespaces:
                raise RecipeError(
                    f"sandbox: {error}. If `{' '.join(UNSHARE)} true` fails here, set "
                    "sandbox.namespaces=false, and run in a container without a network"
                ) from error
            raise
        if not trial.passed:
            raise RecipeError(
                f"sandbox: a program that does nothing fails ({trial.detail}); raise "
                "sandbox.memory_megabytes and sandbox.seconds"
            )

    def run(
        self,
        program: str,
        tests: list[str] | None = None,
        cases: list[dict[str, str]] | None = None,
    ) -> Run:
        """Run a program with its tests.

        Args:
            program: Python.
            tests: statements to run after it.
            cases: or `stdin` and `stdout` of each run.

        Raises:
            RecipeError: the sandbox itself cannot be started, which says nothing about the program.
        """
        nonce = secrets.token_hex(16)
        job = {
            **self.config.model_dump(exclude={"workers", "namespaces"}),
            **{"program": program, "tests": tests or [], "cases": cases or [], "nonce": nonce},
        }
        with tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True) as folder:
            lines, end = self._start(Path(folder), json.dumps(job))
        if lines[:1] != [READY]:
            raise RecipeError(f"it did not start ({end}): {' '.join(lines)[:300]}")
        try:
            result = json.loads(lines[1])
        except (IndexError, json.JSONDecodeError):
            result = None
        if not isinstance(result, dict) or result.get("nonce") != nonce:
            return Run(False, f"ended before its tests did, {end}")
        return Run(result["error"] is None, result["error"] or "")

    def _start(self, folder: Path, job: str) -> tuple[list[str], str]:
        """Lines that the process reported, and how it ended."""
        work = folder / "work"
        work.mkdir()
        command = [sys.executable, "-I", "-B", str(_CHILD)]
        if self.config.namespaces:
            if shutil.which(UNSHARE[0]) is None:
                raise RecipeError(f"no {UNSHARE[0]} on this machine")
            command = [*UNSHARE, *command]
        places = {"HOME": str(work), "TMPDIR": str(work)}
        report = folder / "report"
        with report.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=work,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", **places},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
            try:
                process.communicate(job, timeout=self.config.wall_seconds + _START_SECONDS)
            except subprocess.TimeoutExpired:
                pass  # it keeps its own alarm from ringing; `_kill` does not ask
            finally:
                code = _kill(process)
        end = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return report.read_text(encoding="utf-8", errors="replace").splitlines(), end


def _kill(process: subprocess.Popen[str]) -> int:
    """End a process and all of its group; within namespaces, all that it started. Its status."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended, and nothing else is in its group
    return process.wait()
