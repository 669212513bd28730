"""An index of the text of token shards: a suffix array for each stretch of documents.

It lies beside the shards, as a packing plan does, and is memory-mapped. Suffixes begin at
characters, not at tokens: what stands in the text is found whichever tokens it is made of.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    DirectoryLock,
    sha256_file,
    staged_folder,
    write_json_atomically,
)
from data_recipes.text.suffixes import find_range, longest_matches, sort_suffixes
from data_recipes.tokens.shards import Manifest, TokenSource

from ..read_order import Spelling

FOLDER = "trace"
_RECORD = "index.json"
_VERSION = 1
# Bytes of text that are sorted at a time: about a GB of memory. A document is never parted.
BLOCK_BYTES = 16_000_000
_DOCUMENTS = 256  # that are spelled at a time
_END = 0xFF  # of a document; in no UTF-8 text


class Block(BaseModel):
    """A stretch of documents.

    Attributes:
        first: number of its first document.
        documents: in it.
        text_bytes: an end of a document is one of them.
        suffixes: that are indexed.
        sha256: of its files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    first: int
    documents: int
    text_bytes: int
    suffixes: int
    sha256: dict[str, str]


class TraceRecord(BaseModel):
    """What an index was made from.

    Attributes:
        version: of the format.
        data_fingerprint: of the token data.
        blocks: in their order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: int
    data_fingerprint: str
    blocks: list[Block]


@dataclass(frozen=True)
class _Arrays:
    """A block, mapped: text uint8, suffixes uint32, ends of its documents in the text uint64."""

    block: Block
    text: np.ndarray
    suffixes: np.ndarray
    ends: np.ndarray


_FILES = {"text": "<u1", "suffixes": "<u4", "ends": "<u8"}


@dataclass(frozen=True)
class TracePlace:
    """Where a text stands.

    Attributes:
        document: its number in the shards of the source.
        begin: byte of the document's text.
    """

    document: int
    begin: int


def _read_record(directory: Path, manifest: Manifest) -> TraceRecord | None:
    path = directory / FOLDER / _RECORD
    if not path.is_file():
        return None
    try:
        record = TraceRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: damaged; delete {path.parent}, it is made again") from error
    made = record.version, record.data_fingerprint
    return record if made == (_VERSION, manifest.fingerprint) else None


def _blocks(source: TokenSource, spelling: Spelling, bar: tqdm) -> Iterator[list[bytes]]:
    """Texts of documents, each with its end, about `BLOCK_BYTES` at a time."""
    held, size = [], 0
    for starts, lengths in source.document_blocks(_DOCUMENTS):
        for start, length in zip(starts.tolist(), lengths.tolist()):
            text = spelling.text(source.tokens_at(start, length)) + bytes([_END])
            if held and size + len(text) > BLOCK_BYTES:
                yield held
                held, size = [], 0
            held.append(text)
            size += len(text)
            bar.update(length)
    if held:
        yield held


def _write_block(folder: Path, number: int, first: int, texts: list[bytes]) -> Block:
    text = np.frombuffer(b"".join(texts), np.uint8)
    suffixes = sort_suffixes(text.astype(np.int32), _END)
    # Nothing that is asked for begins within a character, or at an end.
    begins = (text & 0xC0) != 0x80
    begins &= text != _END
    arrays = {
        "text": text,
        "suffixes": suffixes[begins[suffixes]],
        "ends": np.cumsum([len(t) for t in texts]),
    }
    hashes = {}
    for name, array in arrays.items():
        path = folder / f"{name}_{number:05d}.bin"
        array.astype(_FILES[name]).tofile(path)
        hashes[name] = sha256_file(path)
    return Block(
        first=first,
        documents=len(texts),
        text_bytes=len(text),
        suffixes=len(arrays["suffixes"]),
        sha256=hashes,
    )


def make_index(source: TokenSource, spelling: Spelling) -> TraceRecord:
    """Index a data set, unless that is done. An index of other data is replaced.

    Raises:
        RecipeError: the folder of the shards cannot be written to, or is full.
    """
    # Two commands that start together would write into each other's files.
    with DirectoryLock(source.directory, "data.shards", f".{FOLDER}.lock", wait=True):
        record = _read_record(source.directory, source.manifest)
        if record is not None:
            return record
        total = source.manifest.tokens
        name = f"index of {source.manifest.name}"
        with (
            staged_folder(source.directory / FOLDER) as staging,
            tqdm(total=total, unit="token", unit_scale=True, desc=name, file=sys.stderr) as bar,
        ):
            blocks, first = [], 0
            for texts in _blocks(source, spelling, bar):
                blocks.append(_write_block(staging, len(blocks), first, texts))
                first += len(texts)
            record = TraceRecord(
                version=_VERSION, data_fingerprint=source.manifest.fingerprint, blocks=blocks
            )
            write_json_atomically(staging / _RECORD, record.model_dump())
    return record


class TraceIndex:
    """The text of a data set, searchable.

    Args:
        source: the shards.
        spelling: of their tokens.

    Raises:
        RecipeError: the index is damaged, or cannot be made.
    """

    def __init__(self, source: TokenSource, spelling: Spelling) -> None:
        self.source, self.spelling = source, spelling
        self.record = make_index(source, spelling)
        folder = source.directory / FOLDER
        for number, block in enumerate(self.record.blocks):
            rows = {
                "text": block.text_bytes,
                "suffixes": block.suffixes,
                "ends": block.documents,
            }
            for name, dtype in _FILES.items():
                path = folder / f"{name}_{number:05d}.bin"
                size = rows[name] * np.dtype(dtype).itemsize
                if not path.is_file() or path.stat().st_size != size:
                    raise RecipeError(f"{path}: damaged; delete {folder}, it is made again")

    @cached_property
    def _arrays(self) -> list[_Arrays]:
        folder = self.source.directory / FOLDER
        return [
            _Arrays(
                block,
                *(
                    np.memmap(folder / f"{name}_{number:05d}.bin", dtype, "r")
                    for name, dtype in _FILES.items()
                ),
            )
            for number, block in enumerate(self.record.blocks)
        ]

    def longest(self, query: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Bytes of the query that stand in the data, from each of its places on.

        Args:
            query: uint8, UTF-8.
            begins: int64, where characters begin in it.
        """
        longest = np.zeros(len(begins), np.int64)
        for own in self._arrays:
            found = longest_matches(np.asarray(own.text), np.asarray(own.suffixes), query, begins)
            longest = np.maximum(longest, found)
        return longest

    def places(self, wanted: bytes, most: int) -> tuple[int, list[TracePlace]]:
        """How often a text stands in the data, and the first places, `most` of them."""
        query = np.frombuffer(wanted, np.uint8)
        count, places = 0, []
        for own in self._arrays:
            low, high = find_range(np.asarray(own.text), np.asarray(own.suffixes), query)
            count += high - low
            taken = np.asarray(own.suffixes[low : min(high, low + most - len(places))])
            for place in taken.astype(np.int64).tolist():
                document = int(np.searchsorted(own.ends, place, side="right"))
                begin = int(own.ends[document - 1]) if document else 0
                places.append(TracePlace(own.block.first + document, place - begin))
        return count, places

    def stretch(self, place: TracePlace, size: int) -> tuple[int, int]:
        """Where a text begins in the source's stream of tokens, and how many tokens it touches."""
        start, length = self.source.document_bounds(place.document)
        tokens = self.source.tokens_at(start, length)
        first, end = self.spelling.tokens_of(tokens, place.begin, place.begin + size)
        return start + first, end - first
