"""The step that removes or flags documents with text of evaluation sets, and what it reports."""

import json
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from ..common.files import write_json_atomically
from ..engine.steps import Outcome, ShardStep, StepFolder, Tally, decide
from ..text.kernels import compile_once
from .compare import compare
from .config import DecontaminateConfig, EvaluationSet
from .index import INDEX, Finds, Index, build_index

CONTAMINATED = "contaminated"
FLAG = pa.field("contaminated_by", pa.list_(pa.string()))
# Of the matched text in a rejected document's detail, and in the counts.
_SHOWN_CHARACTERS = 200
REPORT = "report.json"
_EXAMPLES = 10


def _compile() -> None:
    with TemporaryDirectory() as directory:
        items = Path(directory) / "items.jsonl"
        items.write_text(json.dumps({"q": "a b c"}) + "\n" + json.dumps({"q": "가나다 라마바"}))
        config = DecontaminateConfig(
            evaluation_sets=[EvaluationSet(task="t", path=str(items), columns=["q"])],
            ngram_size=4,
            min_words=2,
            ngram_characters=8,
            min_characters=2,
        )
        build_index(config, Path(directory))
        Index.load(Path(directory) / INDEX).find(compare(["a b c", "가나다 라마바"]))


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

    def compile_kernels(self) -> None:
        """Compile the kernels of the search, unless an earlier process did."""
        compile_once("decontaminate", _compile)

    def setup(self) -> None:
        """Open the index.

        Raises:
            RecipeError: it is missing or damaged, or was made by other rules for words.
        """
        self._index = Index.load(self.output_dir / INDEX)

    def schema(self, schema: pa.Schema) -> pa.Schema:
        return schema.append(FLAG) if self.config.action == "flag" else schema

    def _matches(self, finds: Finds) -> tuple[np.ndarray, np.ndarray, dict[str, dict[str, int]]]:
        """Tell the documents with enough n-grams of a task.

        Returns:
            For every document and task, the first row of `finds`, int64, and how many n-grams; by
            task, in how many of these documents each item is.
        """
        index = self._index
        pairs = finds.texts * len(index.tasks) + index.item_tasks[finds.items]
        _, firsts, own = np.unique(pairs, return_index=True, return_inverse=True)
        different = np.unique(own * len(index.ngrams) + finds.ngrams) // len(index.ngrams)
        ngrams = np.bincount(different, minlength=len(firsts))
        enough = ngrams >= self.config.min_matches
        held, items = np.divmod(
            np.unique(own * len(index.item_tasks) + finds.items), len(index.item_tasks)
        )
        by_task: dict[str, dict[str, int]] = defaultdict(dict)
        for item, documents in zip(*np.unique(items[enough[held]], return_counts=True)):
            task, number = index.task_of(item)
            by_task[task][str(number)] = int(documents)
        return firsts[enough], ngrams[enough], by_task

    def process(self, batch: pa.RecordBatch) -> Outcome:
        texts = batch.column("text").to_pylist()
        compared = compare(texts)
        finds = self._index.find(compared)
        firsts, ngrams, items = self._matches(finds)
        matches: dict[int, dict[str, tuple[str, int, int]]] = defaultdict(dict)
        for row, count in zip(firsts, ngrams):
            task, number = self._index.task_of(finds.items[row])
            shown = compared.passage(finds.starts[row], finds.ends[row])[:_SHOWN_CHARACTERS]
            matches[int(finds.texts[row])][task] = shown, number, int(count)
        reasons: list[str | None] = [None] * len(texts)
        details = [""] * len(texts)
        flags: list[list[str]] = [[] for _ in texts]
        counts: dict[str, dict[str, Any]] = {
            task: {"documents": 0, "bytes": 0, "items": own, "matches": {}}
            for task, own in items.items()
        }
        for text, tasks in matches.items():
            flags[text] = sorted(tasks)
            reasons[text] = CONTAMINATED
            size = len(texts[text].encode())
            shown, number, _ = tasks[flags[text][0]]
            total = sum(count for _, _, count in tasks.values())
            details[text] = f'{flags[text][0]}, item {number}: "{shown}" ({total} n-grams'
            details[text] += f"; {', '.join(flags[text])})" if len(tasks) > 1 else ")"
            for task, (shown, _, _) in tasks.items():
                own = counts[task]
                own["documents"] += 1
                own["bytes"] += size
                own["matches"][shown] = own["matches"].get(shown, 0) + 1
        if self.config.action == "remove":
            return decide(batch, reasons, details, tasks=counts)
        outcome = decide(batch, [None] * len(texts), details, tasks=counts)
        kept = outcome.kept.append_column(FLAG, pa.array(flags, FLAG.type))
        return Outcome(kept, outcome.rejected, outcome.counts)


def write_report(config: DecontaminateConfig, sources: list[str], output_dir: Path) -> None:
    """Add up the counts of all shards into `<output_dir>/report.json`.

    Per task: items in all, those that could be searched for and why the others could not, n-grams
    searched for and left out as boilerplate, items found and their share of the searchable ones,
    documents and bytes they were found in (in all and by source), and the matched texts that most
    documents hold first.

    Args:
        config: the step.
        sources: names.
        output_dir: directory of the finished step.

    Raises:
        RecipeError: there is no index.
    """
    tallies = {source: StepFolder(output_dir / source).tally() for source in sources}
    total = sum(tallies.values(), Tally())
    tasks = {}
    for task, known in Index.load(output_dir / INDEX).record["tasks"].items():
        found: dict[str, Any] = total.counts.get("tasks", {}).get(task, {})
        matches = sorted(found.get("matches", {}).items(), key=lambda m: (-m[1], m[0]))
        items = found.get("items", {})
        tasks[task] = {
            **{name: count for name, count in known.items() if name != "first_item"},
            "items_found": len(items),
            "share_found": len(items) / known["items_searchable"],
            "documents": found.get("documents", 0),
            "bytes": found.get("bytes", 0),
            "documents_by_source": {
                source: tally.counts.get("tasks", {}).get(task, {}).get("documents", 0)
                for source, tally in tallies.items()
            },
            "examples": [{"text": t, "documents": n} for t, n in matches[:_EXAMPLES]],
            "found": sorted(map(int, items)),
        }
    report = {
        "action": config.action,
        "sizes": config.sizes(),
        "min_matches": config.min_matches,
        "documents": total.documents_in,
        "documents_removed": total.documents_rejected,
        "bytes_removed": total.bytes_rejected,
        "tasks": tasks,
    }
    write_json_atomically(output_dir / REPORT, report)
