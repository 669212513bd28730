"""Many starts of Python for the price of one: each is a fork of an interpreter with few libraries.

Unlike the processes of `tests/processes.py`, a fork has loaded nothing of ours, so that what it
loads can be looked at. What it has loaded of others' is named by the caller.
"""

import contextlib
import importlib
import io
import json
import os
import runpy
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Start:
    """What one start printed, how it ended, and which modules it had loaded by then."""

    status: int
    output: str
    modules: set[str]


def start_each(commands: list[str], libraries: tuple[str, ...], env: dict[str, str]) -> list[Start]:
    """Start each command as `python COMMAND` would, or import a module for `import MODULE`.

    Args:
        commands: as on a command line: a script, `-m MODULE` or `import MODULE`, and arguments.
        libraries: modules that are loaded beforehand, once for all.
        env: the environment.
    """
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps([commands, libraries]),
        cwd=_ROOT,
        env={**env, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    starts = [json.loads(line) for line in done.stdout.splitlines()]
    return [Start(status, output, set(modules)) for status, output, modules in starts]


def _be_started(command: str) -> tuple[int, str]:
    how, *words = command.split()
    status, said = 0, io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
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
        except BaseException:
            traceback.print_exc()
            status = 1
    return status, said.getvalue()


def _main() -> None:
    commands, libraries = json.load(sys.stdin)
    for library in libraries:
        importlib.import_module(library)
    sys.path.pop(0)  # the folder of this file, where no start would look
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for command in commands:
        child = os.fork()
        if not child:
            status, output = _be_started(command)
            results.write(json.dumps([status, output, sorted(sys.modules)]) + "\n")
            results.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, command


if __name__ == "__main__":
    _main()
