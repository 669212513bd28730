"""Near-duplicate documents by MinHash, with datatrove's blocks.

Documents whose sets of word n-grams are alike are clustered, over all sources together, and one of
each cluster is kept. Numbers are FineWeb-2's (configs of huggingface/fineweb-2: 14 buckets of 8
hashes, 5-grams, 64 bits): two documents with a share s of common n-grams (Jaccard) meet with
probability 1 - (1 - s^8)^14, which is 0.5 at s = 0.70 and 0.92 at s = 0.8. FineWeb-2 cuts Korean
into morphemes first; words here are those between spaces, so n-grams of Korean are longer, and
fewer near-duplicates are found.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import regex
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import minhash as blocks
from datatrove.utils.word_tokenizers import WhitespaceTokenizer
from pydantic import Field

from ..common.config_files import Strict
from ..common.progress import Progress
from .blocks import FilterStep, ListStage, Removed, SignatureStage, Stage
from .plan import Plan, PlannedShard, allow_open_files, work_dir

# n-grams hashed at a time. datatrove takes all of a document, which needs some 2.7 kB for each.
_SHINGLES = 4096
_MOST_SHARDS = 99_999  # five digits in the names of datatrove's files


class MinhashConfig(Strict):
    """Near-duplicates of whole documents.

    Attributes:
        ngram_size: words in an n-gram; documents with fewer words are never compared, and kept.
        buckets: chances of two documents to meet.
        hashes_per_bucket: hashes that must all agree for a meeting.
        words: `whitespace`, after punctuation has become space and digits 0; or `unicode`, the
            boundaries of Unicode Standard Annex 29, for scripts without spaces: each Han character
            and each hiragana is a word there, so `ngram_size` should be larger.
        max_removed: largest share of a source's documents that may go; more is an error. Our
            choice: character 5-grams have wiped out whole sources elsewhere (marin issue 6854).
    """

    method: Literal["minhash"] = "minhash"
    ngram_size: int = Field(default=5, gt=0)
    buckets: int = Field(default=14, gt=0)
    hashes_per_bucket: int = Field(default=8, gt=0)
    words: Literal["whitespace", "unicode"] = "whitespace"
    max_removed: float = Field(default=0.9, gt=0, le=1, exclude=True)


def block_config(config: MinhashConfig) -> blocks.MinhashConfig:
    """The section as datatrove has it."""
    return blocks.MinhashConfig(
        n_grams=config.ngram_size,
        num_buckets=config.buckets,
        hashes_per_bucket=config.hashes_per_bucket,
    )


class Words(WhitespaceTokenizer):
    """Words without the packages (spaCy, Kiwi) that datatrove's splitters need.

    Args:
        words: as in `MinhashConfig`.
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self._boundary = regex.compile(r"(?V1w)\b") if words == "unicode" else None

    def word_tokenize(self, text: str) -> list[str]:
        """Words of a text that has no punctuation any more."""
        if self._boundary is None:
            return text.split()
        return [word for word in self._boundary.split(text) if not word.isspace() and word]


class Signature(blocks.MinhashDedupSignature):
    """datatrove's block, in memory that does not grow with the length of a document."""

    def get_signature(self, shingles: np.ndarray) -> list[list[int]]:
        """Smallest hashes by bucket; a minimum of minima is the minimum.

        Args:
            shingles: hashes of the n-grams, uint64 [n, 1].
        """
        parts = range(0, len(shingles), _SHINGLES)
        minima = [super(Signature, self).get_signature(shingles[i : i + _SHINGLES]) for i in parts]
        return np.array(minima, np.uint64).min(axis=0).tolist()


class Signatures(SignatureStage):
    """Writes `signatures/bucket_NNN/<shard>.minhash.sig`."""

    def __init__(self, inputs: dict[str, Path], output_dir: Path, config: MinhashConfig) -> None:
        super().__init__(inputs, output_dir)
        self.config = config

    def sign(self, documents: Iterator[Document], unit: int, units: int) -> dict[str, int]:
        """Sign the documents that have an n-gram."""
        words = Words(self.config.words)
        block = Signature(str(self.folder), block_config(self.config), language=words)
        block.run(documents, unit, units)
        path = self.folder / "bucket_000" / f"{unit:05d}.minhash.sig"
        return {"signed": path.stat().st_size // (8 * self.config.hashes_per_bucket + 4)}


class Buckets(Stage):
    """Writes pairs of documents that meet, one file a bucket."""

    name = "buckets"

    def __init__(self, output_dir: Path, config: MinhashConfig) -> None:
        super().__init__(output_dir)
        self.config = config

    def units(self, plan: list[PlannedShard]) -> int:
        return self.config.buckets

    def work_on(self, unit: int, plan: list[PlannedShard], progress: Progress) -> dict[str, int]:
        allow_open_files(len(plan))
        signatures = work_dir(self.output_dir) / Signatures.name
        block = blocks.MinhashDedupBuckets(
            str(signatures), str(self.folder), config=block_config(self.config)
        )
        block.run(None, unit, self.config.buckets)
        return {"pairs": (self.folder / f"{unit:05d}_00.dups").stat().st_size // 16}


class Clusters(ListStage):
    """Writes which documents go: all but one of each cluster. One task.

    It holds every document that met another in memory: about 300 bytes each.
    """

    name = "clusters"

    def __init__(self, output_dir: Path, config: MinhashConfig) -> None:
        super().__init__(output_dir, config.max_removed)
        self.config = config

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.remove"

    def list_removed(self, shards: int) -> None:
        block = blocks.MinhashDedupCluster(
            str(work_dir(self.output_dir) / Buckets.name),
            str(self.folder),
            config=block_config(self.config),
            save_cluster_id=True,
            save_cluster_size=True,
        )
        block.run()


class Filter(FilterStep):
    """Takes the documents out that `Clusters` named."""

    name = "Near-duplicates"
    reason = "near_duplicate"

    def block(self, removed: Removed) -> PipelineStep:
        return blocks.MinhashDedupFilter(
            str(work_dir(self.output_dir) / Clusters.name),
            exclusion_writer=removed,
            load_cluster_ids=True,
            load_cluster_sizes=True,
        )

    def detail(self, document: Document) -> str:
        facts = document.metadata
        return (
            f"cluster {facts['minhash_cluster_id']} of {facts['minhash_cluster_size']} documents "
            "that are alike, of which one is kept"
        )


def minhash_phases(
    inputs: dict[str, Path], output_dir: Path, config: MinhashConfig, tasks: int
) -> list[tuple[PipelineStep, int]]:
    """The stages in order, each with its number of tasks.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/deduplicate`.
        config: the section.
        tasks: parts that a stage which can be spread is dealt into.
    """
    settings = config.model_dump()
    return [
        (Plan(inputs, output_dir, settings, _MOST_SHARDS), 1),
        (Signatures(inputs, output_dir, config), tasks),
        (Buckets(output_dir, config), min(tasks, config.buckets)),
        (Clusters(output_dir, config), 1),
        (Filter(inputs, output_dir), tasks),
    ]
