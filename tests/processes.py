"""Processes of ours as forks of one that has loaded the libraries, which takes a stage six seconds.

Each is a process of its own: it has its environment, output, working directory and exit status, and
can be killed. What a fork cannot show is that a script starts from nothing, or under its launcher;
some test of each therefore starts `python` or `torchrun` itself.
"""

import contextlib
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

ROOT = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """One thread a process: the same sums in the same order, however busy the machine is."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


def _be_a_program(
    command: list[str], env: dict[str, str], cwd: Path, umask: int, streams: list[Path]
) -> None:
    """Become `python COMMAND`: a script's path or `-m MODULE`, and its arguments."""
    os.umask(umask)
    for number, path in enumerate(streams):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # else multiprocessing's, of nothing
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


def forks() -> BaseContext:
    """Return the context whose processes are forks of one that has loaded the libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preload"])
    with mock.patch.dict(os.environ, {**environment(), "PYTHONPATH": str(ROOT)}):
        forkserver.ensure_running()
    return context


class Program:
    """One command in one or more ranks, running.

    Args:
        command: what would follow `python`.
        ranks: as `torchrun --standalone --nproc_per_node` would start them; 1 sets nothing.
        lines: what it reads on its standard input.

    Attributes:
        ranks: its processes.
    """

    def __init__(
        self, command: list[str | Path], ranks: int = 1, cwd: Path = ROOT, lines: str = ""
    ) -> None:
        context = forks()
        self.command = list(map(str, command))
        os.umask(umask := os.umask(0))  # this process's own, which the server of forks lacks
        directory = tempfile.TemporaryDirectory()
        weakref.finalize(self, directory.cleanup)
        self._streams = [Path(directory.name) / name for name in ("in", "out", "err")]
        for stream, content in zip(self._streams, (lines, "", "")):
            stream.write_text(content, encoding="utf-8")
        meet: dict[str, str] = {}
        if ranks > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
            meet |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
        self.ranks = []
        for rank in range(ranks):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if meet else {}
            arguments = (self.command, environment() | meet | own, cwd, umask, self._streams)
            self.ranks.append(context.Process(target=_be_a_program, args=arguments))
            self.ranks[-1].start()
        self.pid = self.ranks[0].pid

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; `None` while it runs.

        As under a launcher, a rank that fails ends the others.
        """
        codes = [rank.exitcode for rank in self.ranks]
        if failed := [code for code in codes if code]:
            self.kill()
            return failed[0]
        return None if None in codes else 0

    def kill(self) -> None:
        """Kill every rank, and what these have started, at once."""
        family = []
        for rank in self.ranks:
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                family += [*psutil.Process(rank.pid).children(recursive=True), rank]
        for member in family:
            try:
                os.kill(member.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for rank in self.ranks:
            rank.join()

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait until it ends; what it wrote and its exit status."""
        while (status := self.poll()) is None:
            time.sleep(0.01)
        for rank in self.ranks:
            rank.join()
        output, errors = (path.read_text(encoding="utf-8") for path in self._streams[1:])
        return subprocess.CompletedProcess(self.command, status, output, errors)


def run(command: list[str | Path], *args: Any, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run a `Program` to its end, as `subprocess.run` would with its output captured."""
    return Program(command, *args, **kwargs).wait()
