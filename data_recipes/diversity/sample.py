"""Samples of equal size, by synthesizer, drawn by a hash from text that is read once."""

import hashlib
import heapq
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
from tqdm import tqdm

from ..common.errors import RecipeError
from ..engine.documents import text_buffers
from ..read.files import Row, check_column, read_file, read_hub, resolve_files
from ..read.rows import Form
from ..text.words import Words, split_words
from .config import DiversityConfig

PEOPLE = "people"
TOGETHER = "all together"  # a mixture
FIELD = "synthesizer"  # of rows that say themselves who wrote them
_LIMIT = 50_000_000  # bytes of the longest document that is read


@dataclass(frozen=True)
class Input:
    """Text to look at.

    Attributes:
        name: of the source.
        path: file, directory, glob or `hub://…`.
        form: how the text is made of a row.
        language: its code.
        synthesizer: who wrote it; `None` for the rows' own field, and people where they have none.
        seed_column: column with the text that a document was made from, if there is one.
    """

    name: str
    path: str
    form: Form
    language: str
    synthesizer: str | None
    seed_column: str | None = None

    @property
    def on_hub(self) -> bool:
        """Whether it is streamed from the Hub."""
        return self.path.startswith("hub://")


@dataclass(frozen=True)
class Document:
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
class Sample:
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
    documents: list[Document]
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

    def cut(self, size: int) -> "Sample":
        """The documents that come first, up to `size` bytes; the last one is cut."""
        kept: list[Document] = []
        for document in self.documents:
            if document.size > size:
                # Half a character at the end is dropped.
                if text := document.text.encode()[:size].decode(errors="ignore").strip():
                    kept.append(Document(text, document.seed))
                break
            kept.append(document)
            size -= document.size
        return Sample(self.name, self.language, self.sources, kept, self.total, self.written)


def words_of(texts: list[str]) -> Words:
    """Words of some texts that have a letter or a digit."""
    batch = pa.RecordBatch.from_pydict({"text": texts}, pa.schema([("text", pa.string())]))
    return split_words(*text_buffers(batch), word_like_only=True)


@dataclass
class _Drawn:
    """The documents with the lowest hashes, up to some bytes, of a stream."""

    budget: int
    heap: list[tuple[int, int, Document]] = field(default_factory=list)
    held: int = 0
    total: int = 0
    sources: dict[str, None] = field(default_factory=dict)

    def offer(self, key: int, document: Document, source: str) -> None:
        self.sources[source] = None
        self.total += document.size
        # The largest hash is on top; the count keeps equal ones from comparing documents.
        heapq.heappush(self.heap, (-key, self.total, document))
        self.held += document.size
        while self.held - self.heap[0][2].size >= self.budget:
            self.held -= heapq.heappop(self.heap)[2].size

    def documents(self) -> list[Document]:
        return [document for _, _, document in sorted(self.heap, key=lambda own: -own[0])]


def _rows(source: Input) -> Iterator[Row]:
    if source.on_hub:
        parts = [read_hub(source.path, source.form, _LIMIT)]
    else:
        files = resolve_files(source.path)
        check_column(files, source.form, _LIMIT)
        parts = (read_file(file, source.form, _LIMIT) for file in files)
    yield from (row for part in parts for row in part if isinstance(row, Row))


def _seed_of(source: Input, fields: dict[str, object]) -> str:
    if source.seed_column is None:
        return ""
    if source.seed_column not in fields:
        raise RecipeError(
            f"{source.path}: no column {source.seed_column!r} with the seed of a document; "
            f"columns are {', '.join(map(repr, fields))}"
        )
    return str(fields[source.seed_column] or "")


def draw_samples(inputs: list[Input], config: DiversityConfig) -> list[Sample]:
    """Read the inputs, and draw from each synthesizer and language what has the lowest hashes.

    A hash depends on the seed, the source and the place of the document in it, so that a sample
    is the same on every machine and holds copies of a text in proportion.

    Args:
        inputs: text to look at.
        config: sizes.

    Returns:
        samples of equal size within a language, people's text last.

    Raises:
        RecipeError: text that cannot be read, or too little of a synthesizer.
    """
    drawn: dict[tuple[str, str], _Drawn] = {}
    named: set[tuple[str, str]] = set()
    bound = int(config.read_megabytes * 1e6)
    with tqdm(unit="B", unit_scale=True, desc="read", file=sys.stderr) as bar:
        bar.total = sum(_size(source, bound) for source in inputs) or None
        for source in inputs:
            read = 0
            for number, row in enumerate(_rows(source)):
                fields = json.loads(row.metadata)
                own = source.synthesizer or fields.get(FIELD)
                key = (source.language, str(own or PEOPLE))
                if own:
                    named.add(key)
                document = Document(row.text, _seed_of(source, fields))
                place = f"{config.seed}/{source.name}/{number}".encode()
                hashed = int.from_bytes(hashlib.blake2b(place, digest_size=8).digest())
                budget = int(config.sample_megabytes * 1e6)
                drawn.setdefault(key, _Drawn(budget)).offer(hashed, document, source.name)
                read += document.size
                bar.update(document.size)
                if read >= bound:
                    break
    samples = [
        Sample(name, language, tuple(own.sources), own.documents(), own.total, key in named)
        for key, own in drawn.items()
        for language, name in [key]
    ]
    return _equal(sorted(samples, key=lambda s: (s.language, not s.written, s.name)), config)


def _size(source: Input, bound: int) -> int:
    """Bytes that reading may take, for the bar; none is known of the Hub."""
    if source.on_hub:
        return 0
    return min(bound, sum(file.stat().st_size for file in resolve_files(source.path)))


def _equal(samples: list[Sample], config: DiversityConfig) -> list[Sample]:
    least = int(config.least_megabytes * 1e6)
    equal = []
    for sample in samples:
        if sample.size < least:
            raise RecipeError(
                f"{sample.label}: {sample.total / 1e6:,.3f} MB of text are too little to measure; "
                "give more of it, leave it out, or lower least_megabytes "
                f"({config.least_megabytes:g})"
            )
        same = [other.size for other in samples if other.language == sample.language]
        equal.append(sample.cut(min(int(config.sample_megabytes * 1e6), *same)))
    if not equal:
        raise RecipeError("no text: none of the inputs has a document")
    return equal


def mixture_of(samples: list[Sample]) -> Sample:
    """The synthetic text of a language together, each synthesizer by its share, in one size.

    Args:
        samples: two or more of one language, equally large.
    """
    total = sum(sample.total for sample in samples)
    size = min(sample.size for sample in samples)
    parts = [sample.cut(int(size * sample.total / total)) for sample in samples]
    documents = [document for part in parts for document in part.documents]
    sources = tuple(name for sample in samples for name in sample.sources)
    return Sample(TOGETHER, samples[0].language, sources, documents, total)
