"""The step that removes or flags documents which hold text of evaluation sets."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..common.errors import RecipeError
from ..engine.steps import Outcome, ShardStep, decide
from ..text.words import Words
from .config import DecontaminateConfig
from .index import INDEX, Index
from .text import compare, compared_by

CONTAMINATED = "contaminated"
FLAG = pa.field("contaminated_by", pa.list_(pa.string()))
# Of the matched text in a rejected document's detail, and in the counts.
_SHOWN_CHARACTERS = 200


class DecontaminateStep(ShardStep):
    """Looks for n-grams of evaluation items in every document.

    With `action: flag`, all documents are kept and gain `contaminated_by`, list of string: the
    tasks, an empty list for none. Counted, by task: `documents` and `bytes` found, in how many
    documents each of its `items` was found (by number), and `matches`: the first matched text of
    each document, with the number of documents.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/decontaminate`, with the index that `build_index` made.
        config: the step.
    """

    name = "Decontamination"

    def __init__(
        self, inputs: dict[str, Path], output_dir: Path, config: DecontaminateConfig
    ) -> None:
        super().__init__(inputs, output_dir)
        self.config = config

    def setup(self) -> None:
        """Open the index.

        Raises:
            RecipeError: it is missing or damaged, or was made by other rules for words.
        """
        self._index = Index.load(self.output_dir / INDEX)
        if self._index.record["settings"]["words"] != compared_by():
            raise RecipeError(
                f"{self.output_dir / INDEX}: made with another release of `regex`, whose words are "
                "not those of this machine; install the same everywhere, or delete it and run the "
                "step again"
            )

    def schema(self, schema: pa.Schema) -> pa.Schema:
        return schema.append(FLAG) if self.config.action == "flag" else schema

    def _matches(self, words: Words) -> dict[int, dict[str, list[tuple[np.ndarray, int]]]]:
        """By text and task: finds of different n-grams, each with one item, where enough."""
        matches: dict[int, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
        for find in self._index.find(words, self.config):
            for item in self._index.items(find[3]):
                task, number = self._index.task_of(item)
                ngrams = matches[int(find[0])][task]
                ngrams.setdefault(int(find[3]), (find, []))[1].append(number)
        return {
            text: enough
            for text, tasks in matches.items()
            if (
                enough := {
                    task: list(ngrams.values())
                    for task, ngrams in tasks.items()
                    if len(ngrams) >= self.config.min_matches
                }
            )
        }

    def process(self, batch: pa.RecordBatch) -> Outcome:
        texts = batch.column("text").to_pylist()
        compared = compare(texts)
        matches = self._matches(compared.words)
        reasons: list[str | None] = [None] * len(texts)
        details = [""] * len(texts)
        flags: list[list[str]] = [[] for _ in texts]
        counts: dict[str, dict[str, Any]] = {}
        for text, tasks in matches.items():
            flags[text] = sorted(tasks)
            reasons[text] = CONTAMINATED
            size = len(texts[text].encode())
            for task in flags[text]:
                finds = tasks[task]
                (_, first, length, _), numbers = finds[0]
                shown = compared.text(first, length)[:_SHOWN_CHARACTERS]
                if not details[text]:
                    details[text] = f'{task}, item {numbers[0]}: "{shown}"'
                found = {str(n) for _, own in finds for n in own}
                own = counts.setdefault(
                    task, {"documents": 0, "bytes": 0, "items": {}, "matches": {}}
                )
                own["documents"] += 1
                own["bytes"] += size
                own["matches"][shown] = own["matches"].get(shown, 0) + 1
                for number in found:
                    own["items"][number] = own["items"].get(number, 0) + 1
            total = sum(map(len, tasks.values()))
            details[text] += f" ({total} n-grams"
            details[text] += f"; {', '.join(flags[text])})" if len(tasks) > 1 else ")"
        if self.config.action == "remove":
            return decide(batch, reasons, details, tasks=counts)
        outcome = decide(batch, [None] * len(texts), details, tasks=counts)
        kept = outcome.kept.append_column(FLAG, pa.array(flags, FLAG.type))
        return Outcome(kept, outcome.rejected, outcome.counts)
