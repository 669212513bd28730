"""Programs that loop, grow, write, fork, call out or leave early: none passes, none does harm."""

import functools
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.difficulty.sandbox import UNSHARE, Sandbox, SandboxConfig

GOOD = "def double(n):\n    return 2 * n\n"
TESTS = ["assert double(2) == 4", "assert double(-1) == -2"]


def _has_namespaces() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*UNSHARE, "true"]).returncode


NAMESPACES = pytest.param(
    True, marks=pytest.mark.skipif(not _has_namespaces(), reason="no unshare here")
)


@functools.cache
def sandbox(namespaces: bool) -> Sandbox:
    limits = {"seconds": 1, "wall_seconds": 1, "memory_megabytes": 128, "file_megabytes": 1}
    return Sandbox(SandboxConfig(namespaces=namespaces, **limits))


@pytest.mark.parametrize("namespaces", [False, NAMESPACES])
@pytest.mark.parametrize(
    ("harm", "detail"),
    [
        ("", None),
        ("while True: pass", "ended before"),
        ("import time; time.sleep(60)", "status 124"),
        ("import signal, time; signal.alarm(0); x = [0] * 10**9", "MemoryError"),
        ("x = []\nwhile True: x.append(bytes(10**6))", "MemoryError"),
        ("import os\nwhile True: os.fork()", "refuses os.fork"),
        ("import subprocess\nsubprocess.run(['true'])", "refuses subprocess.Popen"),
        ("import os\nos.system('true')", "refuses os.system"),
        ("import ctypes\nctypes.CDLL('libc.so.6')", "refuses ctypes"),
        ("import socket\nsocket.socket()", "refuses socket"),
        ("exit(0)", "exits with 0"),
        ("import os; os._exit(0)", "ended before its tests did, with status 0"),
        ("raise SystemExit", "exits with None"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "refuses os.kill"),
        ("import os; os.write(1, b'{}')", None),
        ("open('notes.txt', 'w').write('mine')", None),
        ("open('big', 'wb').write(bytes(2 * 10**6))", "File too large"),
        ("open('/proc/self/mem', 'r+b')", "refuses open"),
        ("import os; os.open('/', os.O_RDONLY)", "refuses to open directories"),
        ("def double(n): return 5", "test 1: AssertionError"),
        ("def double(n", "SyntaxError"),
        ("import sys; sys.setrecursionlimit(10**6)\ndef double(n): return double(n)", ""),
    ],
)
def test_only_good_programs_pass(namespaces: bool, harm: str, detail: str | None) -> None:
    run = sandbox(namespaces).run(GOOD + harm, TESTS)
    assert run.passed == (detail is None), run
    assert detail is None or detail in run.detail, run


def test_writes_stay_inside(tmp_path: Path) -> None:
    target, kept = tmp_path / "evil", tmp_path / "kept"
    kept.write_text("here")
    (tmp_path / "link").symlink_to(tmp_path)
    for harm in (
        f"open({str(target)!r}, 'w')",
        f"import os; os.open({str(target)!r}, os.O_CREAT | os.O_WRONLY)",
        f"import os; os.symlink({str(tmp_path)!r}, 'out'); open('out/evil', 'w')",
        f"import os; os.mkdir({str(target)!r})",
        f"import os; os.remove({str(kept)!r})",
        f"import os; os.rename({str(kept)!r}, 'mine')",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        f"import pathlib; pathlib.Path({str(target)!r}).touch()",
    ):
        run = sandbox(False).run(GOOD + harm, TESTS)
        assert not run.passed and "refuses" in run.detail, (harm, run)
    assert not target.exists() and kept.read_text() == "here"


@pytest.mark.parametrize("namespaces", [False, NAMESPACES])
def test_nothing_is_called(namespaces: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        harm = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
        assert not sandbox(namespaces).run(GOOD + harm, TESTS).passed
        with pytest.raises(TimeoutError):
            server.accept()


def test_programs_are_judged_by_what_they_print() -> None:
    cases = [{"stdin": "2\n", "stdout": "4\n"}, {"stdin": "-3", "stdout": "-6"}]
    for program, passed in (
        ("print(int(input()) * 2)", True),
        ("import sys\nprint(int(sys.stdin.buffer.read()) * 2, ' ')\nsys.exit()", True),
        ("print(int(input()) ** 2)", False),
        ("print(4)", False),
        ("import sys\nprint(int(input()) * 2)\nsys.exit(1)", False),
        ("import os\nprint(4)\nos._exit(0)", False),
    ):
        assert sandbox(False).run(program, cases=cases).passed == passed, program


def test_without_room_it_refuses_to_start() -> None:
    with pytest.raises(RecipeError, match="unshare"):
        original, UNSHARE[0] = UNSHARE[0], "unshare-that-is-not-there"
        try:
            Sandbox(SandboxConfig())
        finally:
            UNSHARE[0] = original
