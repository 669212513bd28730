"""A program: compiles kernels of the steps, runs the steps, and prints what was compiled again."""

from pathlib import Path

from numba.core import event

from data_recipes.decontaminate.config import DecontaminateConfig
from data_recipes.decontaminate.step import BuildIndex, DecontaminateStep
from data_recipes.deduplicate.config import DedupConfig
from data_recipes.deduplicate.step import DedupStep
from data_recipes.filter.profiles import FilterConfig
from data_recipes.filter.step import FilterStep
from data_recipes.text import kernels
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
for step in steps:
    step.compile_kernels()
list(BuildIndex(Path("decontaminate"), wanted).run())
compiled: list[object] = []


def note(self: object, happening: event.Event) -> None:
    compiled.append(happening.data["dispatcher"])


kernels._Announcement.on_start = note
for step in steps:
    list(step.run())
print(compiled)
