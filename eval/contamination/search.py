"""Looks for evaluation items in training data; a corpus that is done is not read again."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_recipes.common.files import write_json_atomically
from data_recipes.decontaminate.compare import compare
from data_recipes.decontaminate.config import DecontaminateConfig
from data_recipes.decontaminate.index import INDEX, Index, build_index, first_rows
from data_recipes.engine.documents import BATCH_BYTES

from .corpora import Corpus, Document

_DONE = "corpora"
# Of the documents that hold an item, this many are named; all are counted.
_NAMED = 5


class Search:
    """A search for the items of some evaluation sets.

    Args:
        config: the sets, and how many words in a row count.
        out: directory for the index, and for what was found in each corpus.

    Raises:
        RecipeError: an evaluation set that cannot be read, or `out` is of other sets.
    """

    def __init__(self, config: DecontaminateConfig, out: Path) -> None:
        self.config, self.out = config, out
        build_index(config, out)
        self.index = Index.load(out / INDEX)
        # Other items are another search: what was found of these says nothing about them.
        settings = json.dumps(self.index.record["settings"], sort_keys=True)
        self._items = hashlib.sha256(settings.encode()).hexdigest()

    def run(self, corpora: list[Corpus]) -> dict[str, dict[str, Any]]:
        """What was found, by corpus: `documents` read; `found`: task -> item -> finds."""
        sizes = [corpus.size for corpus in corpora]
        results = {}
        with tqdm(
            total=sum(sizes), unit="B", unit_scale=True, desc="contamination", file=sys.stderr
        ) as bar:
            for corpus, size in zip(corpora, sizes):
                before = bar.n
                results[corpus.name] = self._corpus(corpus, bar)
                bar.update(size - (bar.n - before))
        return results

    def _corpus(self, corpus: Corpus, bar: tqdm) -> dict[str, Any]:
        identity = {"name": corpus.name, "data": corpus.identity(), "items": self._items}
        path = self.out / _DONE / f"{hashlib.sha256(corpus.name.encode()).hexdigest()[:16]}.json"
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["identity"] == identity:
                bar.initial += corpus.size  # for the ETA: this took no time
                return known["result"]
        # By task and item: documents that hold it, and some of them by name.
        found: dict[str, dict[int, dict[str, Any]]] = {}
        read = 0
        for batch in _batches(corpus, bar):
            read += len(batch)
            self._batch(batch, found)
        result = {
            "documents": read,
            "found": {
                task: {str(item): find for item, find in sorted(items.items())}
                for task, items in found.items()
            },
        }
        path.parent.mkdir(exist_ok=True)
        write_json_atomically(path, {"identity": identity, "result": result})
        return result

    def _batch(
        self, documents: list[Document], found: dict[str, dict[int, dict[str, Any]]]
    ) -> None:
        texts = [len(document.texts) for document in documents]
        owners = np.repeat(np.arange(len(documents)), texts)
        compared = compare([text for document in documents for text in document.texts])
        finds = self.index.find(compared)
        keys = owners[finds.texts] * len(self.index.item_tasks) + finds.items
        for row in first_rows(keys):
            task, number = self.index.task_of(finds.items[row])
            new = {"documents": 0, "named": []}
            find = found.setdefault(task, {}).setdefault(number, new)
            find["documents"] += 1
            if len(find["named"]) < _NAMED:
                named = documents[owners[finds.texts[row]]].name
                matched = compared.passage(finds.starts[row], finds.ends[row])
                find["named"].append({"document": named, "text": matched})


def _batches(corpus: Corpus, bar: tqdm) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in corpus.documents():
        batch.append(document)
        size += document.size
        if size >= BATCH_BYTES:
            yield batch
            bar.update(size)
            batch, size = [], 0
    if batch:
        yield batch
        bar.update(size)
