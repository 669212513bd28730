"""Training data as documents, each with a name by which to find it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from data_recipes.read.conversations import read_rows
from data_recipes.read.files import resolve_files
from data_recipes.read.hub import HUB
from data_recipes.tokens.manifest import read_manifest
from data_recipes.tokens.windows import TokenSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BLOCK = 1024  # documents decoded at a time


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        name: where it stands.
        texts: its texts, searched each on its own.
    """

    name: str
    texts: list[str]


class Corpus(Protocol):
    """Some training data."""

    @property
    def name(self) -> str:
        """Source and place, the same for every stage that uses it."""

    @property
    def size(self) -> int:
        """Bytes, for the progress bar; 0 where nobody knows."""

    def identity(self) -> str:
        """Changes whenever the data could."""

    def documents(self) -> Iterator[tuple[Document, int]]:
        """Documents, with their share of `size`."""


@dataclass(frozen=True)
class ShardCorpus:
    """The training split of a source, decoded.

    Attributes:
        directory: `<shards>/<source>/train`.
        tokenizer: that made them.
    """

    directory: Path
    tokenizer: PreTrainedTokenizerBase

    @property
    def name(self) -> str:
        return str(self.directory)

    @property
    def size(self) -> int:
        manifest = read_manifest(self.directory)
        return manifest.tokens * int(manifest.dtype[-1])

    def identity(self) -> str:
        return read_manifest(self.directory).fingerprint

    def documents(self) -> Iterator[tuple[Document, int]]:
        source = TokenSource(self.directory)
        width = int(source.manifest.dtype[-1])
        decode = self.tokenizer.backend_tokenizer.decode_batch
        number = 0
        for starts, lengths in source.document_blocks(_BLOCK):
            places = zip(starts.tolist(), lengths.tolist())
            ids = [source.tokens_at(start, length).tolist() for start, length in places]
            for own, text in zip(ids, decode(ids, skip_special_tokens=True)):
                yield Document(f"document {number}", [text]), len(own) * width
                number += 1


@dataclass(frozen=True)
class RowCorpus:
    """Rows of conversations, preferences or questions; all text in them, whatever their shape.

    Attributes:
        path: file, directory, glob or `hub://…`.
        max_rows: rows from the start; `None` is all.
    """

    path: str
    max_rows: int | None

    @property
    def name(self) -> str:
        return self.path if self.max_rows is None else f"{self.path} (first {self.max_rows:,} rows)"

    @property
    def size(self) -> int:
        if self.path.startswith(HUB):
            return 0
        return sum(file.stat().st_size for file in resolve_files(self.path))

    def identity(self) -> str:
        if self.path.startswith(HUB):
            return self.path
        facts = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in resolve_files(self.path)]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def documents(self) -> Iterator[tuple[Document, int]]:
        for where, row in islice(read_rows(self.path), self.max_rows):
            texts = list(_texts(row))
            yield (
                Document(where.rpartition("/")[2], texts),
                sum(len(text.encode()) for text in texts),
            )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
