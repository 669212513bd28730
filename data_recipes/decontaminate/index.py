"""The index: the n-grams of all evaluation sets, and which items of which tasks they stand in."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from ..common.errors import RecipeError
from ..common.files import disk_full_is_an_error, write_json_atomically
from ..engine.documents import BATCH_BYTES
from ..read.files import resolve_files
from ..text.words import Words
from .config import DecontaminateConfig, EvaluationSet
from .items import read_items
from .ngrams import find_ngrams, hash_passages, make_filter
from .text import compare, compared_by

INDEX = "index"
_RECORD = "index.json"
_ARRAYS = ("ngrams", "starts", "owners", "item_tasks", "anchors", "ngram_bits", "anchor_bits")
# Finds in one batch that are made room for at first.
_ROOM = 1024


@dataclass(frozen=True)
class Index:
    """An index that was built.

    Attributes:
        tasks: names.
        first_items: number of each task's first item; those of a task follow each other.
        ngrams: hashes, ascending, uint64 [n].
        starts: where the items of each n-gram start in `owners`, int64 [n + 1].
        owners: items, int32.
        item_tasks: task of each item, int32 [items].
        anchors: hashes of the first words of short texts, ascending, uint64.
        ngram_bits: filter of `ngrams`.
        anchor_bits: filter of `anchors`.
        record: settings, and what was counted per task.
    """

    tasks: list[str]
    first_items: list[int]
    ngrams: np.ndarray
    starts: np.ndarray
    owners: np.ndarray
    item_tasks: np.ndarray
    anchors: np.ndarray
    ngram_bits: np.ndarray
    anchor_bits: np.ndarray
    record: dict[str, Any]

    @staticmethod
    def load(directory: Path) -> "Index":
        """Read an index; its arrays are mapped, and shared by the processes of a machine.

        Raises:
            RecipeError: it is missing or damaged.
        """
        try:
            record = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
            arrays = {n: np.load(directory / f"{n}.npy", mmap_mode="r") for n in _ARRAYS}
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"{directory}: missing or damaged index ({error}); delete it and run the step again"
            ) from error
        first = [task["first_item"] for task in record["tasks"].values()]
        return Index(list(record["tasks"]), first, record=record, **arrays)

    def find(self, words: Words, config: DecontaminateConfig) -> np.ndarray:
        """Places in texts where n-grams of evaluation items stand.

        Returns:
            text, first word, number of words, n-gram; int64 [finds, 4].
        """
        room = _ROOM
        while True:
            found, count = find_ngrams(
                words.hashes,
                words.bounds,
                config.ngram_size,
                config.min_words,
                self.ngrams,
                self.ngram_bits,
                self.anchors,
                self.anchor_bits,
                room,
            )
            if count <= room:
                return found
            room = count

    def items(self, ngram: int) -> np.ndarray:
        """Items that an n-gram stands in, int32."""
        return self.owners[self.starts[ngram] : self.starts[ngram + 1]]

    def task_of(self, item: int) -> tuple[str, int]:
        """Name of an item's task, and its number in it."""
        task = int(self.item_tasks[item])
        return self.tasks[task], int(item) - self.first_items[task]


def _by_task(sets: list[EvaluationSet]) -> dict[str, list[EvaluationSet]]:
    tasks: dict[str, list[EvaluationSet]] = {}
    for own in sets:
        tasks.setdefault(own.task, []).append(own)
    return tasks


def _contents(path: str) -> Any:
    if path.startswith("hub://"):
        return path
    return [[file.name, file.stat().st_size] for file in resolve_files(path)]


def _settings(config: DecontaminateConfig, sets: list[EvaluationSet]) -> dict[str, Any]:
    """Everything that decides what is in an index."""
    settings = {
        "sets": [s.model_dump() for s in sets],
        "contents": [[_contents(path) for path in s.paths] for s in sets],
        "ngram_size": config.ngram_size,
        "min_words": config.min_words,
        "words": compared_by(),
    }
    return json.loads(json.dumps(settings))


def _hash_texts(
    texts: list[str], items: np.ndarray, config: DecontaminateConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N-grams of evaluation texts, their items, and anchors; some megabytes at a time."""
    parts, start = [], 0
    while start < len(texts):
        end, size = start, 0
        while end < len(texts) and size < BATCH_BYTES:
            size += len(texts[end])
            end += 1
        words = compare(texts[start:end]).words
        ngrams, owners, anchors = hash_passages(
            words.hashes, words.bounds, config.ngram_size, config.min_words
        )
        parts.append((ngrams, items[start:end][owners], anchors))
        start = end
    return tuple(np.concatenate(arrays) for arrays in zip(*parts))


def build_index(config: DecontaminateConfig, output_dir: Path) -> None:
    """Make `<output_dir>/index`, unless it is there; it appears whole or not at all.

    Args:
        config: the step.
        output_dir: directory of the step.

    Raises:
        RecipeError: an evaluation set that cannot be read or has no text long enough to search
            for, or an index there that was made from other sets.
    """
    directory, sets = output_dir / INDEX, config.sets()
    settings = _settings(config, sets)
    if directory.is_dir():
        if Index.load(directory).record["settings"] != settings:
            raise RecipeError(
                f"{directory}: made from other evaluation sets or settings; delete {output_dir} to "
                "do the step again, or choose another output_dir"
            )
        return
    tasks = _by_task(sets)
    texts: list[str] = []
    owners: list[int] = []
    item_tasks: list[int] = []
    record: dict[str, dict[str, int]] = {}
    for number, (task, own) in enumerate(tasks.items()):
        items = [item for s in own for item in read_items(s)]
        for item, passages in enumerate(items, start=len(item_tasks)):
            texts += passages
            owners += [item] * len(passages)
        record[task] = {"first_item": len(item_tasks), "items": len(items)}
        item_tasks += [number] * len(items)
    ngrams, items, anchors = _hash_texts(texts, np.array(owners, np.int32), config)
    limits = np.array([max(s.max_items for s in own) for own in tasks.values()])
    arrays = _arrange(ngrams, items, np.array(item_tasks, np.int32), limits, record)
    for task, counts in record.items():
        if not counts["items_searchable"]:
            raise RecipeError(
                f"evaluation set {task!r}: none of {counts['items']:,} items can be searched for "
                f"({counts['items_too_short']:,} have no text of {config.min_words} words, the "
                "n-grams of the others are boilerplate); name other columns, or raise max_items"
            )
    arrays["anchors"] = np.unique(anchors)
    arrays["ngram_bits"] = make_filter(arrays["ngrams"])
    arrays["anchor_bits"] = make_filter(arrays["anchors"])
    temporary = directory.with_name(f"{INDEX}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with disk_full_is_an_error(temporary):
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        write_json_atomically(temporary / _RECORD, {"settings": settings, "tasks": record})
    os.replace(temporary, directory)


def _arrange(
    ngrams: np.ndarray,
    items: np.ndarray,
    item_tasks: np.ndarray,
    limits: np.ndarray,
    record: dict[str, dict[str, int]],
) -> dict[str, np.ndarray]:
    """Sort n-grams, take out boilerplate, and count per task into `record`."""
    order = np.lexsort((items, ngrams))
    ngrams, items = ngrams[order], items[order]
    # Once per item; items of one task follow each other, so a task's are a run.
    once = np.ones(len(ngrams), bool)
    once[1:] = (ngrams[1:] != ngrams[:-1]) | (items[1:] != items[:-1])
    ngrams, items = ngrams[once], items[once]
    tasks = item_tasks[items]
    first = np.ones(len(ngrams), bool)
    first[1:] = (ngrams[1:] != ngrams[:-1]) | (tasks[1:] != tasks[:-1])
    runs = np.flatnonzero(first)
    lengths = np.diff(np.append(runs, len(ngrams)))
    common = lengths > limits[tasks[runs]]
    keep = ~np.repeat(common, lengths)
    has_ngram = np.bincount(items, minlength=len(item_tasks)) > 0
    searchable = np.bincount(items[keep], minlength=len(item_tasks)) > 0
    for number, counts in enumerate(record.values()):
        own = item_tasks == number
        counts["items_searchable"] = int((own & searchable).sum())
        counts["items_too_short"] = int((own & ~has_ngram).sum())
        counts["items_boilerplate_only"] = int((own & has_ngram & ~searchable).sum())
        counts["ngrams"] = int(((tasks[runs] == number) & ~common).sum())
        counts["boilerplate_ngrams"] = int(((tasks[runs] == number) & common).sum())
    known, starts = np.unique(ngrams[keep], return_index=True)
    return {
        "ngrams": known,
        "starts": np.append(starts, keep.sum()).astype(np.int64),
        "owners": items[keep],
        "item_tasks": item_tasks,
    }


class BuildIndex(PipelineStep):
    """`build_index` as a step of one task, to run where `DecontaminateStep` will."""

    name = "Index of evaluation sets"
    type = "CLEANING"

    def __init__(self, output_dir: Path, config: DecontaminateConfig) -> None:
        super().__init__()
        self.output_dir = output_dir
        self.config = config

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        build_index(self.config, self.output_dir)
        yield from ()
