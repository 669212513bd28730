"""Remove copies and near-copies of whole documents with datatrove's exact and MinHash blocks.

Both work in the same way over all sources together: a signature of every document, a search for
signatures that meet, and a list of documents to remove. To datatrove, a task is a file of input;
here its number is that of a shard, so that the number of tasks does not show in the result. Nothing
is resumed: a run that was killed begins the step again.

MinHash clusters documents whose sets of word n-grams are alike and keeps one of each cluster. Two
with a share s of common n-grams (Jaccard) meet with probability 1 - (1 - s^8)^14, which is 0.5 at
s = 0.70 and 0.92 at s = 0.8. Exact keeps the first copy, in the order of sources, shards and rows;
it compares hashes of 64 bits.
"""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import exact_dedup, minhash
from datatrove.utils.word_tokenizers import WhitespaceTokenizer

from ..common.terminal import Progress
from ..engine.documents import read_batches, text_bytes
from ..engine.executors import Call
from ..engine.steps import Outcome, ShardStep, StepFolder, Tally, decide
from .config import ExactConfig, MinhashConfig

# datatrove's priorities, 1 to 65,535, tell shards apart.
_MOST_SHARDS = 65_535
_DETAILS = {
    "near_duplicate": "one of the documents that are like it is kept",
    "exact_duplicate": "the text of an earlier document, byte for byte",
}


def _work_dir(output_dir: Path) -> Path:
    """Name the folder of signatures and matches; no source can have this name."""
    return output_dir / ".work"


def _text(document: Document) -> str:
    return document.text


def _priority(document: Document) -> int:
    return _MOST_SHARDS - document.metadata["shard"]


class SpacedWords(WhitespaceTokenizer):
    """Cuts words at spaces; datatrove's own splitters need spaCy or Kiwi."""

    def word_tokenize(self, text: str) -> list[str]:
        """Cut a text that has no punctuation any more."""
        return text.split()


class Signatures(PipelineStep):
    """Runs a signature block of datatrove over every shard.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/deduplicate`.
        block: the block; it writes one file a shard.
    """

    name = "Signatures"
    type = "DEDUP"

    def __init__(self, inputs: dict[str, Path], output_dir: Path, block: PipelineStep) -> None:
        super().__init__()
        self.inputs = {name: StepFolder(folder) for name, folder in inputs.items()}
        self.output_dir = output_dir
        self.block = block

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        shards = _shards(self.inputs)
        with Progress(self.output_dir, rank) as progress:
            for number in range(rank, len(shards), world_size):
                documents = self._documents(number, *shards[number], progress)
                self.block.run(documents, number, len(shards))
        yield from ()

    def _documents(
        self, number: int, source: str, shard: str, progress: Progress
    ) -> Iterator[Document]:
        for batch in read_batches(self.inputs[source].kept(shard), columns=["text"]):
            for text in batch.column("text").to_pylist():
                yield Document(text, id="", metadata={"shard": number})
            progress.update(int(text_bytes(batch).sum()))


def _shards(inputs: dict[str, StepFolder]) -> list[tuple[str, str]]:
    """(source, shard) pairs in the order of their numbers."""
    return [(name, shard) for name, folder in inputs.items() for shard in folder.shards()]


class RemoveListed(ShardStep):
    """Removes the rows that a block of datatrove listed.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/deduplicate`.
        pattern: name of a shard's list in the work folder, given its number; four bytes a row.
        reason: of the rejection.
    """

    name = "Duplicates"

    def __init__(
        self, inputs: dict[str, Path], output_dir: Path, pattern: str, reason: str
    ) -> None:
        super().__init__(inputs, output_dir)
        self.pattern = pattern
        self.reason = reason

    def pending(self, rank: int = 0, world_size: int = 1) -> list[tuple[str, str]]:
        """List all shards of a task: those of a killed run were made from other lists."""
        return _shards(self.inputs)[rank::world_size]

    def _process_shard(self, name: str, shard: str, progress: Progress) -> Tally:
        number = _shards(self.inputs).index((name, shard))
        path = _work_dir(self.output_dir) / self.pattern.format(number)
        self._listed = np.fromfile(path, "<u4") if path.is_file() else np.zeros(0, np.uint32)
        self._row = 0
        return super()._process_shard(name, shard, progress)

    def process(self, batch: pa.RecordBatch) -> Outcome:
        listed = np.isin(np.arange(self._row, self._row + batch.num_rows), self._listed)
        self._row += batch.num_rows
        detail = _DETAILS[self.reason]
        reasons = [self.reason if out else None for out in listed]
        return decide(batch, reasons, [detail] * batch.num_rows)


def whole_document_phases(
    inputs: dict[str, Path], output_dir: Path, config: MinhashConfig | ExactConfig, tasks: int
) -> list[tuple[PipelineStep, int]]:
    """List the steps in order, each with its number of tasks.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/deduplicate`.
        config: the section.
        tasks: parts that work on shards is dealt into.
    """
    work = _work_dir(output_dir)
    signatures, matches, listed = (str(work / n) for n in ("signatures", "matches", "remove"))
    if isinstance(config, ExactConfig):
        exact = exact_dedup.ExactDedupConfig(content_getter=_text, document_priority=_priority)
        block = exact_dedup.ExactDedupSignature(signatures, exact)
        search = [(exact_dedup.ExactFindDedups(signatures, listed, config=exact), 1)]
        remove = RemoveListed(inputs, output_dir, "remove/00000/{:05d}.c4_dup", "exact_duplicate")
    else:
        own = minhash.MinhashConfig(
            n_grams=config.ngram_size,
            num_buckets=config.buckets,
            hashes_per_bucket=config.hashes_per_bucket,
        )
        block = minhash.MinhashDedupSignature(signatures, own, language=SpacedWords())
        search = [
            (minhash.MinhashDedupBuckets(signatures, matches, config=own), config.buckets),
            (minhash.MinhashDedupCluster(matches, listed, config=own), 1),
        ]
        remove = RemoveListed(inputs, output_dir, "remove/{:06d}.remove", "near_duplicate")
    clear = Call(partial(shutil.rmtree, work, ignore_errors=True))
    return [
        # What a killed run left: datatrove reads every file that it finds.
        (clear, 1),
        (Signatures(inputs, output_dir, block), tasks),
        *search,
        (remove, tasks),
        (clear, 1),
    ]
