"""Runs one untrusted program under limits; started by `sandbox`, and only by it.

Standard library only: it runs alone (`python -I`), without the project. Standard input brings the
job as JSON; standard output takes a line once the limits stand, and a line of JSON at the end.
"""

import io
import json
import os
import resource
import signal
import sys
from typing import Any

READY = "ready"
OUT_OF_TIME = 124  # status, as of timeout(1)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events (PEP 578) with how many of their arguments are paths that change; after the paths
# come a mode, in some, and the descriptors of directories, -1 by default.
_CHANGES = {
    **{"os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.truncate": 1, "os.chmod": 1},
    **{"os.chown": 1, "os.utime": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2},
    **{"os.setxattr": 1, "os.removexattr": 1},
}
_REFUSED = (
    *("socket.", "subprocess.", "ctypes.", "pty.", "resource.", "os.fork", "os.exec", "os.kill"),
    *("os.posix_spawn", "os.spawn", "os.system", "signal.pthread_kill", "sys.addaudithook"),
)


def _limit(job: dict[str, Any]) -> None:
    limits = {
        resource.RLIMIT_CPU: job["seconds"],
        resource.RLIMIT_AS: job["memory_megabytes"] * 2**20,
        resource.RLIMIT_FSIZE: job["file_megabytes"] * 2**20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    # Not left to the signal itself, which a process that is the first of its namespace ignores.
    signal.signal(signal.SIGALRM, lambda number, frame: os._exit(OUT_OF_TIME))
    signal.alarm(job["wall_seconds"])


def _guard() -> None:
    """Refuse what a program has no business with; a hook cannot be taken off again."""
    realpath, isdir, decode = os.path.realpath, os.path.isdir, os.fsdecode
    inside = realpath(os.getcwd()) + os.sep

    def check(path: Any, event: str) -> None:
        if isinstance(path, int):
            if event == "open":
                return  # a file that is open already
            raise PermissionError(f"the sandbox refuses {event} by descriptor")
        if not (realpath(decode(path)) + os.sep).startswith(inside):
            raise PermissionError(f"the sandbox refuses {event} outside of its folder: {path!r}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if (mode and set(mode) & set("wax+")) or (flags or 0) & _WRITES:
                check(path, event)
            elif mode is None and not isinstance(path, int) and isdir(path):
                # Paths relative to a directory's descriptor could lead anywhere.
                raise PermissionError("the sandbox refuses to open directories")
        elif event in _CHANGES:
            for path in arguments[: _CHANGES[event]]:
                check(path, event)
        elif event.startswith(_REFUSED) and (event, arguments) != ("ctypes.dlopen", (None,)):
            # Importing ctypes, as numpy does, opens the interpreter itself and looks nothing up.
            raise PermissionError(f"the sandbox refuses {event}")

    sys.addaudithook(hook)


def _error(source: str, name: str, scope: dict[str, Any], may_exit: bool) -> str | None:
    """Run a source; what went wrong, if anything."""
    try:
        exec(compile(source, name, "exec"), scope)
    except SystemExit as error:
        if may_exit and error.code in (None, 0):
            return None
        return f"{name}: exits with {error.code!r}"
    except BaseException as error:
        return f"{name}: {type(error).__name__}: {error}"[:300]
    return None


def _by_tests(job: dict[str, Any]) -> str | None:
    """What is wrong by statements that run after the program, in its scope; none may exit."""
    scope: dict[str, Any] = {"__name__": "solution"}
    sys.stdin = io.StringIO()
    sys.stdout = io.StringIO()
    for number, source in enumerate([job["program"], *job["tests"]]):
        name = f"test {number}" if number else "program"
        if error := _error(source, name, scope, may_exit=False):
            return error
    return None


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _by_cases(job: dict[str, Any]) -> str | None:
    """What is wrong by what the program prints."""
    for number, case in enumerate(job["cases"], 1):
        printed = io.BytesIO()
        sys.stdin = io.TextIOWrapper(io.BytesIO(case["stdin"].encode()), encoding="utf-8")
        sys.stdout = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
        scope = {"__name__": "__main__"}
        if error := _error(job["program"], f"case {number}", scope, may_exit=True):
            return error
        if _lines(printed.getvalue().decode("utf-8", "replace")) != _lines(case["stdout"]):
            return f"case {number}: prints something else"
    return None


def main() -> None:
    job = json.loads(sys.stdin.read())
    report = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    _limit(job)
    _guard()
    print(READY, file=report, flush=True)
    error = _by_tests(job) if job["tests"] else _by_cases(job)
    print(json.dumps({"nonce": job["nonce"], "error": error}), file=report, flush=True)
    os._exit(0)  # what the program registered for the end is not run


if __name__ == "__main__":
    main()
