"""Many starts of Python for the price of one: each is a fork of an interpreter with few libraries.

Unlike the processes of `tests/processes.py`, a fork has loaded nothing of ours, so that what it
loads can be looked at. What it has loaded of others' is named by the caller, and what it shall not
find.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Start:
    """What one start printed, how it ended, and which modules it had loaded by then."""

    status: int
    output: str
    errors: str
    modules: set[str]


def start_each(
    once: Callable[[str, Callable[[Path], object]], Path],
    name: str,
    commands: list[str],
    libraries: tuple[str, ...],
    env: dict[str, str],
    absent: tuple[str, ...] = (),
    lines: str = "",
) -> dict[str, Start]:
    """Start each command as `python COMMAND` would, or import a module for `import MODULE`.

    Args:
        once: the fixture; all workers of a run share what the commands did.
        name: of the commands together.
        commands: as on a command line: a script, `-m MODULE` or `import MODULE`, and arguments.
        libraries: modules that are loaded beforehand, once for all.
        env: the environment.
        absent: modules that are not to be found.
        lines: what each reads on its standard input.

    Returns:
        What each did.
    """

    def start(directory: Path) -> None:
        done = subprocess.run(
            [sys.executable, __file__],
            input=json.dumps([commands, libraries, absent, lines]),
            cwd=_ROOT,
            env={**env, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        (directory / "starts.jsonl").write_text(done.stdout, encoding="utf-8")

    text = (once(name, start) / "starts.jsonl").read_text(encoding="utf-8")
    starts = map(json.loads, text.splitlines())
    return {
        command: Start(status, output, errors, set(modules))
        for command, (status, output, errors, modules) in zip(commands, starts, strict=True)
    }


def _leave(status: int) -> NoReturn:
    raise SystemExit(status)


def _be_started(command: str, lines: str) -> tuple[int, str, str]:
    how, *words = command.split()
    status, said, told = 0, io.StringIO(), io.StringIO()
    with tempfile.TemporaryFile() as given:
        given.write(lines.encode())
        given.seek(0)
        os.dup2(given.fileno(), 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    os._exit = _leave  # how a stage ends that was refused, without what is written below
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        try:
            if how == "import":
                importlib.import_module(*words)
            elif how == "-m":
                sys.argv = words
                runpy.run_module(words[0], run_name="__main__", alter_sys=True)
            else:
                sys.argv = [how, *words]
                runpy.run_path(how, run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
            status = 1
    return status, said.getvalue(), told.getvalue()


def _main() -> None:
    commands, libraries, absent, lines = json.load(sys.stdin)
    sys.modules.update(dict.fromkeys(absent))
    for library in libraries:
        importlib.import_module(library)
    sys.path.pop(0)  # the folder of this file, where no start would look
    results, leave = os.fdopen(os.dup(1), "w"), os._exit
    os.dup2(2, 1)
    for command in commands:
        child = os.fork()
        if not child:
            status, output, errors = _be_started(command, lines)
            found = sorted(name for name, module in sys.modules.items() if module)
            results.write(json.dumps([status, output, errors, found]) + "\n")
            results.flush()
            leave(0)
        assert os.waitpid(child, 0)[1] == 0, command


if __name__ == "__main__":
    _main()
