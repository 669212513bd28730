"""How the tests of this room read a file, and weigh what that takes."""

import subprocess
import sys
from pathlib import Path

from data_recipes.read.files import read_file
from data_recipes.read.rows import Row, SetAside
from tests.conftest import ROOT, environment

TEXTS = ["첫 문서입니다.\n둘째 줄.", "A second document — with a dash.", "3,000원 🙂"]
LIMIT = 1_000_000


def read(path: Path, limit: int = LIMIT) -> tuple[list[Row], list[SetAside]]:
    rows = list(read_file(path, "text", limit))
    return [r for r in rows if isinstance(r, Row)], [r for r in rows if isinstance(r, SetAside)]


MEMORY = """
import re, sys
from pathlib import Path
from data_recipes.read.files import read_file
from data_recipes.read.rows import Row
def peak():
    # Not ru_maxrss, which begins with that of the process we were forked from.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
small, large = (Path(p) for p in sys.argv[1:])
list(read_file(small, "text", 10**6))
before = peak()
rows = sum(isinstance(row, Row) for row in read_file(large, "text", 10**6))
print(rows, peak() - before)
"""


def memory(small: Path, large: Path) -> tuple[int, int]:
    """Rows of `large`, and by how many MiB reading it raised what `small` needed."""
    command = [sys.executable, "-c", MEMORY, str(small), str(large)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True
    )
    rows, growth = map(int, done.stdout.split())
    return rows, growth
