"""Training data as documents, each with a name by which to find it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.read.conversations import read_rows
from data_recipes.read.files import resolve_files
from data_recipes.read.hub import HUB
from data_recipes.tokens.shards import TokenSource, read_manifest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BLOCK = 1024  # documents decoded at a time


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        name: where it stands.
        texts: its texts, searched each on its own.
        size: bytes of its corpus that are read with it.
    """

    name: str
    texts: list[str]
    size: int


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
        """Place, the same for every stage that uses it."""
        return str(self.directory)

    @property
    def size(self) -> int:
        """Bytes, for the progress bar."""
        manifest = read_manifest(self.directory)
        return manifest.tokens * int(manifest.dtype[-1])

    def identity(self) -> str:
        """Tell one state of the data from another."""
        return read_manifest(self.directory).fingerprint

    def documents(self) -> Iterator[Document]:
        """Yield all documents, in order."""
        source = TokenSource(self.directory)
        width = int(source.manifest.dtype[-1])
        decode = self.tokenizer.backend_tokenizer.decode_batch
        number = 0
        for starts, lengths in source.document_blocks(_BLOCK):
            places = zip(starts.tolist(), lengths.tolist())
            ids = [source.tokens_at(start, length).tolist() for start, length in places]
            for own, text in zip(ids, decode(ids, skip_special_tokens=True)):
                yield Document(f"document {number}", [text], len(own) * width)
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
        """Place, the same for every stage that uses it."""
        return self.path if self.max_rows is None else f"{self.path} (first {self.max_rows:,} rows)"

    @property
    def size(self) -> int:
        """Bytes, for the progress bar; 0 where nobody knows."""
        if self.path.startswith(HUB):
            return 0
        return sum(file.stat().st_size for file in resolve_files(self.path))

    def identity(self) -> str:
        """Tell one state of the data from another, as far as can be."""
        if self.path.startswith(HUB):
            return self.path
        facts = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in resolve_files(self.path)]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def documents(self) -> Iterator[Document]:
        """Yield all rows, in order."""
        for where, row in islice(read_rows(self.path), self.max_rows):
            texts = list(_texts(row))
            size = sum(len(text.encode()) for text in texts)
            yield Document(where.rpartition("/")[2], texts, size)


Corpus = ShardCorpus | RowCorpus


def _texts(value: Any) -> Iterator[str]:
    """Yield all text in a row, whatever its shape."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
