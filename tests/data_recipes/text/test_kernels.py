"""The cache of compiled kernels: no old machine code, and a line while it is made."""

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numba
from numba.core.dispatcher import Dispatcher

from data_recipes.text.kernels import kernel_sources
from tests import processes
from tests.conftest import ROOT

COUNT_BITS = """
import numpy as np
from data_recipes.deduplicate.old_both import _judge
words = np.zeros(64, np.uint64)
ngrams = np.arange(1, 21, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
_judge(ngrams, np.array([0, 20]), np.array([0, 1]), False, 0.8, words, 5)
print(int(np.bitwise_count(words).sum()))
"""


def bits_set(copy: Path) -> tuple[int, str]:
    """What a kernel of `old_both` that inserts into a filter does, and what was said meanwhile."""
    environment = os.environ | {"PYTHONPATH": str(copy), "NUMBA_CACHE_DIR": str(copy / "cache")}
    command = [sys.executable, "-c", COUNT_BITS]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), done.stderr


def test_a_changed_helper_changes_the_kernels_that_it_is_compiled_into(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "data_recipes",
        tmp_path / "data_recipes",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    first, said = bits_set(tmp_path)
    assert said.count("compiling kernels, once") == 1
    assert bits_set(tmp_path) == (first, "")
    helper = tmp_path / "data_recipes" / "deduplicate" / "bloom.py"
    source = helper.read_text()
    before, inserting = source.split("def insert(")
    assert "for _ in range(hashes):" in inserting
    inserting = inserting.replace("for _ in range(hashes):", "for _ in range(1):", 1)
    helper.write_text(f"{before}def insert({inserting}")
    changed, said = bits_set(tmp_path)
    assert changed < first and "compiling kernels, once" in said


def test_kernels_take_what_they_use_from_files_that_the_cache_knows() -> None:
    sources = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in kernel_sources()
    }
    kernels = 0
    for name, path in sources.items():
        module, taken = import_module(name), {}
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                parts = name.split(".")[: -node.level] + node.module.split(".")
                taken |= {a.asname or a.name: ".".join(parts) for a in node.names}
        for value in vars(module).values():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == name:
                kernels += 1
                used = set(value.py_func.__code__.co_names)
                assert {taken[n] for n in used & taken.keys()} <= sources.keys(), value
    assert kernels > 20


def test_other_users_of_numba_keep_their_cache() -> None:
    assert not str(numba.config.CACHE_DIR).rpartition("/")[2].startswith("kernels-")


def test_what_is_compiled_beforehand_is_all_that_the_steps_need(tmp_path: Path) -> None:
    items = [{"q": "Which animal sat on the mat near the door of the house?", "c": ["cat", "dog"]}]
    items.append({"q": "방석에 앉아 있던 동물은 무엇인가?", "c": ["고양이", "강아지"]})
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    done = processes.run(["-m", "tests.data_recipes.text.compiled_steps"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "True set()"
