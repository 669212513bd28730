"""Planted duplicates and runs over them, as a module and as a program that is killed half-way.

`dedup_by_files DIRECTORY METHOD STAGE` dies where it begins the second file of a stage.
"""

import os
import random
import sys
from pathlib import Path

from datatrove.io import DataFolder

from data_recipes.deduplicate.config import ExactConfig, MinhashConfig
from data_recipes.deduplicate.whole_documents import whole_document_phases
from data_recipes.engine.documents import ShardWriter
from data_recipes.engine.executors import ExecutorConfig, execute

from ..hand_made import write_shards_of

SOURCES = {"web_ko": "ko", "web_en": "en"}
METHODS = {"minhash": MinhashConfig, "exact": ExactConfig}
SYLLABLES = [chr(c) for c in range(0xAC00, 0xD7A4, 7)]


def words(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices(SYLLABLES, k=3)) for _ in range(count)]


def changed(rng: random.Random, text: str, count: int) -> str:
    """The text with `count` of its words replaced."""
    parts = text.split()
    for place in rng.sample(range(len(parts)), count):
        parts[place] = words(rng, 1)[0]
    return " ".join(parts)


def planted(seed: int = 3) -> dict[str, list[list[str]]]:
    """Shards by source: unique documents; copies and near-copies, also of the other source."""
    rng = random.Random(seed)
    ko = [" ".join(words(rng, 200)) for _ in range(60)]
    en = [" ".join(words(rng, 200)) for _ in range(50)]
    en += ko[:10] + en[:5] + [en[6]]  # 16 exact copies
    en[0:0] = [ko[59]]  # and one in a row before its original's
    ko += [changed(rng, text, 2) for text in ko[20:32]]  # 12 near-copies
    ko += ["짧은 글", "짧은 글"]  # fewer words than an n-gram, but the same text
    return {"web_ko": [ko[:40], ko[40:]], "web_en": [en[:30], en[30:], []]}


def write(root: Path, shards: dict[str, list[list[str]]] | None = None) -> None:
    for source, parts in (shards or planted()).items():
        write_shards_of(root / "read" / source, parts, source, SOURCES.get(source, "ko"))


def run(root: Path, method: str, tasks: int = 1, workers: int = 1, **settings: object) -> Path:
    config = METHODS[method](**settings)
    sources = sorted((p.name for p in (root / "read").iterdir()), reverse=True)
    inputs = {name: root / "read" / name for name in sources}
    output = root / method
    phases = whole_document_phases(inputs, output, config, tasks)
    for number, (step, parts) in enumerate(phases):
        execute(step, parts, ExecutorConfig(workers=workers), root / "logs" / str(number))
    return output


def die_in(stage: str) -> None:
    """SIGKILL at the second file of a stage."""
    begun = []

    def count(path: str) -> None:
        if stage in path:
            begun.append(path)
            if len(begun) == 2:
                os.kill(os.getpid(), 9)

    open_theirs, open_ours = DataFolder.open, ShardWriter.__init__

    def theirs(self: DataFolder, path: str, mode: str = "rb", *rest: object, **more: object):
        if "w" in mode:
            count(f"{self.path}/{path}")
        return open_theirs(self, path, mode, *rest, **more)

    def ours(self: ShardWriter, path: Path, *rest: object) -> None:
        count(str(path))
        open_ours(self, path, *rest)

    DataFolder.open, ShardWriter.__init__ = theirs, ours


if __name__ == "__main__":
    directory, method_name, where = sys.argv[1:]
    die_in(where)
    run(Path(directory), method_name)
