"""Samples of equal size, by synthesizer, drawn by a hash from text that is read once."""

import hashlib
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
from tqdm import tqdm

from ..common.errors import RecipeError
from ..common.sample import LowestHashes
from ..engine.documents import text_buffers
from ..read.files import read_documents, resolve_files
from ..read.source import SourceConfig
from ..text.words import Words, split_words
from .config import DiversityConfig

PEOPLE = "people"
TOGETHER = "all together"  # a mixture
FIELD = "synthesizer"  # of rows that say themselves who wrote them


@dataclass(frozen=True)
class SampledDocument:
    """A document of a sample.

    Attributes:
        text: of it.
        seed: what it was made from; empty if that is not known.
    """

    text: str
    seed: str = ""

    @cached_property
    def size(self) -> int:
        """UTF-8 bytes."""
        return len(self.text.encode())


@dataclass(frozen=True)
class TextSample:
    """Text of one synthesizer in one language, or of several together.

    Attributes:
        name: of the synthesizer.
        language: code.
        sources: where it was read.
        documents: in the order of their hashes.
        total: bytes that they were drawn from.
        written: by a model or program, not by people.
    """

    name: str
    language: str
    sources: tuple[str, ...]
    documents: list[SampledDocument]
    total: int
    written: bool = True

    @property
    def label(self) -> str:
        """For messages: language, name and where it was read."""
        return f"{self.language}, {self.name} ({', '.join(self.sources)})"

    @property
    def size(self) -> int:
        """UTF-8 bytes of the sample."""
        return sum(document.size for document in self.documents)

    @cached_property
    def words(self) -> Words:
        """Words with a letter or digit; a Korean eojeol is one."""
        return words_of([document.text for document in self.documents])

    def cut(self, size: int) -> "TextSample":
        """Keep the documents that come first, up to `size` bytes; the last one is cut."""
        kept: list[SampledDocument] = []
        for document in self.documents:
            if document.size > size:
                # Half a character at the end is dropped.
                if text := document.text.encode()[:size].decode(errors="ignore").strip():
                    kept.append(SampledDocument(text, document.seed))
                break
            kept.append(document)
            size -= document.size
        return replace(self, documents=kept)


def words_of(texts: list[str]) -> Words:
    """Split texts into those of their words that have a letter or a digit."""
    batch = pa.RecordBatch.from_pydict({"text": texts}, pa.schema([("text", pa.string())]))
    return split_words(*text_buffers(batch), word_like_only=True)


def _seed_of(source: SourceConfig, column: str | None, fields: dict[str, object]) -> str:
    if column is None:
        return ""
    if column not in fields:
        raise RecipeError(
            f"{source.path}: no column {column!r} with the seed of a document; "
            f"columns are {', '.join(map(repr, fields))}"
        )
    return str(fields[column] or "")


def draw_samples(
    sources: list[SourceConfig], config: DiversityConfig, seed_column: str | None = None
) -> list[TextSample]:
    """Read the sources, and draw from each synthesizer and language what has the lowest hashes.

    A hash depends on the seed, the source and the place of the document in it, so that a sample
    is the same on every machine and holds copies of a text in proportion.

    Args:
        sources: text to look at; of one without a synthesizer the rows' own field counts.
        config: sizes.
        seed_column: column with the text that a document was made from, if there is one.

    Returns:
        samples of equal size within a language, people's text last.

    Raises:
        RecipeError: text that cannot be read, or too little of a synthesizer.
    """
    budget, bound = int(config.sample_megabytes * 1e6), int(config.read_megabytes * 1e6)
    # By language, synthesizer, and whether it is one.
    drawn: dict[tuple[str, str, bool], LowestHashes[SampledDocument]]
    drawn = defaultdict(lambda: LowestHashes(budget))
    totals: dict[tuple[str, str, bool], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with tqdm(unit="B", unit_scale=True, desc="read", file=sys.stderr) as bar:
        bar.total = sum(_size(source, bound) for source in sources) or None
        for source in sources:
            read = 0
            for number, row in enumerate(read_documents(source.path, source.form)):
                fields = json.loads(row.metadata)
                own = source.synthesizer or fields.get(FIELD)
                key = (source.language, str(own or PEOPLE), bool(own))
                document = SampledDocument(row.text, _seed_of(source, seed_column, fields))
                place = f"{config.seed}/{source.name}/{number}".encode()
                value = int.from_bytes(hashlib.blake2b(place, digest_size=8).digest())
                drawn[key].add(value, document, document.size)
                totals[key][source.name] += document.size
                read += document.size
                bar.update(document.size)
                if read >= bound:
                    break
    samples = [
        TextSample(name, language, (*totals[key],), own.items(), sum(totals[key].values()), written)
        for key, own in drawn.items()
        for language, name, written in [key]
    ]
    return _equal(sorted(samples, key=lambda s: (s.language, not s.written, s.name)), config)


def _size(source: SourceConfig, bound: int) -> int:
    """Bytes that reading may take, for the bar; none is known of the Hub."""
    if source.on_hub:
        return 0
    return min(bound, sum(file.stat().st_size for file in resolve_files(source.path)))


def _equal(samples: list[TextSample], config: DiversityConfig) -> list[TextSample]:
    if not samples:
        raise RecipeError("no text: none of the inputs has a document")
    for sample in samples:
        if sample.size < int(config.least_megabytes * 1e6):
            raise RecipeError(
                f"{sample.label}: {sample.total / 1e6:,.3f} MB of text are too little to measure; "
                "give more of it, leave it out, or lower least_megabytes "
                f"({config.least_megabytes:g})"
            )
    most = int(config.sample_megabytes * 1e6)
    return [
        s.cut(min(most, *(o.size for o in samples if o.language == s.language))) for s in samples
    ]


def mixture_of(samples: list[TextSample]) -> TextSample:
    """Mix the synthetic text of a language, each synthesizer by its share, in one size.

    Args:
        samples: two or more of one language, equally large.
    """
    total = sum(sample.total for sample in samples)
    size = min(sample.size for sample in samples)
    parts = [sample.cut(int(size * sample.total / total)) for sample in samples]
    documents = [document for part in parts for document in part.documents]
    sources = tuple(name for sample in samples for name in sample.sources)
    return TextSample(TOGETHER, samples[0].language, sources, documents, total)
