"""Schema of deduplication."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..common.config_files import Strict

Mode = Literal["old-both", "paragraph", "document"]


class DedupConfig(Strict):
    """Deduplication with a Bloom filter of word n-grams.

    The defaults are those that DCLM-Baseline was made with, and KORMo after it (README of
    github.com/mlfoundations/dclm, `dedup/bff`): the tool's own differ.

    `threads`, `memory_gb` and `snapshot_minutes` do not show in what is written, so they may differ
    when a run goes on; that is why they are left out of what `model_dump` records.

    Attributes:
        mode: what is removed when more than `threshold` of its n-grams were seen before.
            `old-both`: paragraphs (ended by a newline), and whole documents by the n-grams of their
            paragraphs. `paragraph`: paragraphs alone. `document`: documents alone, by n-grams that
            may reach over newlines. What is kept enters the filter at once; what is removed does
            not, but the kept paragraphs of a removed document do.
        ngram_size: words (UAX 29) of an n-gram. Text of fewer words is never removed. 13 words are
            13 eojeol in Korean, some 25 to 30 morphemes, so the same number asks for longer copies
            there than in English.
        threshold: share of n-grams that must be exceeded.
        false_positive_rate: chance that the full filter takes a new n-gram for a known one. A run
            that comes to twice as much fails.
        expected_ngrams: what each filter is sized for; leave out to have them counted (in little
            text) or estimated from a sample.
        memory_gb: memory that one filter may take, in 1e9 bytes; a larger one is refused. So many
            filters are in memory as tasks run on a machine. The default is our choice.
        filters: filters, each for every `filters`-th shard of a source and a task of its own, so
            that machines can share the work as in DCLM (10 x 10 groups there). Duplicates across
            groups stay: measured on DCLM-Baseline, that is most of them (Zyphra/dclm-dedup).
        threads: threads that cut text into n-grams; reading, filtering and writing have one each.
        load_filter: `<output_dir>/deduplicate` of an earlier run, whose filters this one starts
            from: text seen there is removed here. They keep their size.
        snapshot_minutes: at the first shard that ends so long after the last one, the filter is
            saved, and a killed run goes on from there. While it is saved, the work rests and the
            old one is still there, so the disk must hold two.
    """

    method: Literal["bff"] = "bff"
    mode: Mode = "old-both"
    ngram_size: int = Field(default=13, gt=0)
    threshold: float = Field(default=0.8, ge=0, lt=1)
    false_positive_rate: float = Field(default=0.01, ge=1e-12, le=0.5)
    expected_ngrams: int | None = Field(default=None, gt=0)
    memory_gb: float = Field(default=8.0, gt=0, exclude=True)
    filters: int = Field(default=1, gt=0)
    threads: int = Field(default=2, gt=0, exclude=True)
    load_filter: Path | None = None
    snapshot_minutes: float = Field(default=30.0, ge=0, exclude=True)

    @model_validator(mode="after")
    def _one_size(self) -> "DedupConfig":
        if self.load_filter is not None and self.expected_ngrams is not None:
            raise ValueError("a loaded filter keeps its size; leave out `expected_ngrams`")
        return self


class _WholeDocuments(Strict):
    dropped = {
        "max_removed": "the step prints what it kept of each source; look there before you go on",
        "words": "words are those between spaces; for scripts without spaces take method: bff",
    }


class MinhashConfig(_WholeDocuments):
    """Near-duplicates of whole documents, with FineWeb-2's numbers.

    FineWeb-2 (configs of huggingface/fineweb-2: 14 buckets of 8 hashes, 5-grams, 64 bits) cuts
    Korean into morphemes first; words here are those between spaces, so n-grams of Korean are
    longer, and fewer near-duplicates are found.

    Attributes:
        ngram_size: words in an n-gram; documents with fewer words are never compared, and kept.
        buckets: chances of two documents to meet.
        hashes_per_bucket: hashes that must all agree for a meeting.
    """

    method: Literal["minhash"] = "minhash"
    ngram_size: int = Field(default=5, gt=0)
    buckets: int = Field(default=14, gt=0)
    hashes_per_bucket: int = Field(default=8, gt=0)


class ExactConfig(_WholeDocuments):
    """Copies of whole documents, byte for byte; it has no numbers."""

    method: Literal["exact"] = "exact"
