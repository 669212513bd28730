"""A program: calls the kernels of the steps, runs the steps, and prints what was not yet called so.

A kernel that was called with some types is loaded or compiled for them. Which of the two does not
matter here, so the cache need not be empty, and nothing is compiled for the sake of the test.
"""

import sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from data_recipes.decontaminate.config import DecontaminateConfig
from data_recipes.decontaminate.index import build_index
from data_recipes.decontaminate.step import DecontaminateStep
from data_recipes.deduplicate.config import DedupConfig
from data_recipes.deduplicate.step import DedupStep
from data_recipes.filter.profiles import FilterConfig
from data_recipes.filter.step import FilterStep
from tests.data_recipes.hand_made import write_shards_of

profiles = FilterConfig(profiles={"ko": "ko_eojeol", "en": "en"})
sets = [{"task": "t", "path": "items.jsonl", "columns": ["q", "c"]}]
wanted = DecontaminateConfig(evaluation_sets=sets)
text = "The cat sat on the mat, and the dog was at the door. 고양이가 방석에 앉아 있었다.\n"
write_shards_of(Path("read/web_ko"), [[text * 9, text]], "web_ko", "ko")
write_shards_of(Path("read/web_en"), [[text * 9, text]], "web_en", "en")
inputs = {name: Path("read", name) for name in ("web_ko", "web_en")}
steps = [
    FilterStep(inputs, Path("filter"), profiles),
    DedupStep(inputs, Path("deduplicate"), DedupConfig()),
    DecontaminateStep(inputs, Path("decontaminate"), wanted),
]


def called() -> set[tuple]:
    """Every kernel of ours with the types that it was called with."""
    return {
        (value.py_func.__module__, value.py_func.__name__, types)
        for name, module in list(sys.modules.items())
        if name.startswith("data_recipes.")
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
        for types in value.signatures
    }


for module in [m for n, m in sys.modules.items() if n.startswith("data_recipes.")]:
    if hasattr(module, "compile_once"):
        module.compile_once = lambda name, work: work()  # though an earlier process did
for step in steps:
    step.compile_kernels()
build_index(wanted, Path("decontaminate"))
before = called()
for step in steps:
    list(step.run())
print(len(before) > 10, called() - before)
