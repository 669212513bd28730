"""Token shards as training reads them: the manifest, and windows of so many tokens.

A manifest says what a data set holds, where it came from, and its checksums. Windows are read
through a memory map. Which one comes at which place of which epoch is a pure function of (seed,
epoch, index): a format-preserving permutation, so that nothing is stored and resuming costs nothing
at any size.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..common.config_files import Strict
from ..common.errors import RecipeError
from ..common.files import MANIFEST, sha256_file

_ROUNDS = 4
# Data sets up to this size are hashed whole whenever they are opened; larger ones by `verify`.
VERIFY_ON_OPEN_BYTES = 2 * 2**30


class ShardFile(Strict):
    """One `.ds` file and its `.index`."""

    path: str
    tokens: int
    documents: int
    sha256: str
    index_sha256: str


class Manifest(Strict):
    """One token data set.

    Attributes:
        name: name of the source in mixtures.
        split: "train" or "heldout".
        tokenizer_sha256: hash of the `tokenizer.json` that made the tokens.
        dtype: "<u2" or "<u4", little-endian.
        documents: number of documents.
        tokens: number of tokens, BOS and EOS included.
        language: language code, e.g. "ko".
        licence: licence of the text.
        source: where the text was read from.
        synthesizer: the model or program that wrote the text; `None` for text by people.
        files: the shard files, in reading order.
    """

    name: str
    split: str
    tokenizer_sha256: str
    dtype: str
    documents: int
    tokens: int
    language: str
    licence: str
    source: str
    synthesizer: str | None
    pipeline: dict[str, Any]
    files: list[ShardFile]

    @property
    def fingerprint(self) -> str:
        """Hash of the token data; equal exactly when the tokens and their order are equal."""
        parts = [self.tokenizer_sha256, self.dtype]
        parts += [f"{f.sha256}{f.index_sha256}" for f in self.files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest of a data set directory.

    Raises:
        RecipeError: no manifest (the data set was never finished), or not a valid one.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise RecipeError(
            f"{directory}: no {MANIFEST}; make the data set with "
            "`python -m data_recipes prepare --config …`"
        )
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a valid manifest ({error})") from error


def verify_files(directory: Path, manifest: Manifest, checksums: bool) -> None:
    """Compare the shard files with the manifest: sizes always, contents if `checksums`.

    Raises:
        RecipeError: a file is missing, has another size or other contents.
    """
    remedy = "delete the directory and make the data set again"
    token_bytes = int(manifest.dtype[-1])
    for shard in manifest.files:
        for path, size, digest in (
            (directory / shard.path, shard.tokens * token_bytes, shard.sha256),
            (directory / f"{shard.path}.index", shard.documents * 8, shard.index_sha256),
        ):
            if not path.is_file():
                raise RecipeError(f"{path}: shard missing; {remedy}")
            if path.stat().st_size != size:
                raise RecipeError(
                    f"{path}: corrupt shard, {path.stat().st_size:,} bytes instead of {size:,}; "
                    f"{remedy}"
                )
            if checksums and sha256_file(path) != digest:
                raise RecipeError(f"{path}: corrupt shard, checksum differs; {remedy}")


def permute(index: int, size: int, key: str) -> int:
    """The `index`-th element of a pseudorandom permutation of `range(size)`.

    A balanced Feistel network over the next even number of bits, walked until the value falls in
    range (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").

    Args:
        index: 0 <= index < size.
        size: number of elements.
        key: names the permutation.
    """
    half_bits, mask, round_keys = _feistel(size, key)
    value = index
    while True:
        left, right = value >> half_bits, value & mask
        for round_key in round_keys:
            left, right = right, left ^ (_round(round_key, right) & mask)
        value = (left << half_bits) | right
        if value < size:
            return value


def unpermute(value: int, size: int, key: str) -> int:
    """The index at which `permute` has `value`: the same rounds, backwards.

    Args:
        value: 0 <= value < size.
        size: number of elements.
        key: names the permutation.
    """
    half_bits, mask, round_keys = _feistel(size, key)
    index = value
    while True:
        left, right = index >> half_bits, index & mask
        for round_key in reversed(round_keys):
            left, right = right ^ (_round(round_key, left) & mask), left
        index = (left << half_bits) | right
        if index < size:
            return index


def _feistel(size: int, key: str) -> tuple[int, int, list[bytes]]:
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    return half_bits, (1 << half_bits) - 1, [f"{key}/{r}/".encode() for r in range(_ROUNDS)]


def _round(round_key: bytes, half: int) -> int:
    digest = hashlib.blake2b(round_key + half.to_bytes(8, "little"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


@dataclass(frozen=True)
class Window:
    """The tokens of one training row and the documents in it.

    Attributes:
        tokens: int64 [sequence_length].
        document_ends: int64, positions in the window where documents (or their visible parts) end;
            the last is `sequence_length`. Padding ends like a document of its own.
        starts: int64 [documents], where in the data set's stream of tokens each document (or its
            visible part) begins; padding has no entry.
        padding: tokens at the end that are no text.
    """

    tokens: np.ndarray
    document_ends: np.ndarray
    starts: np.ndarray
    padding: int = 0


class TokenSource:
    """A token data set on disk, seen as one stream of tokens cut into windows.

    Args:
        directory: `<shards>/<source>/<split>`, with a manifest.

    Raises:
        RecipeError: unfinished, missing or corrupt shards.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest: Manifest = read_manifest(directory)
        size = self.manifest.tokens * int(self.manifest.dtype[-1])
        verify_files(directory, self.manifest, checksums=size <= VERIFY_ON_OPEN_BYTES)
        files = self.manifest.files
        self._tokens = [np.memmap(directory / f.path, self.manifest.dtype, "r") for f in files]
        self._ends = [np.memmap(directory / f"{f.path}.index", "<u8", "r") for f in files]
        self._token_starts = np.cumsum([0, *(f.tokens for f in files)])
        self._document_starts = np.cumsum([0, *(f.documents for f in files)])
        for file, ends in zip(files, self._ends):
            if int(ends[-1]) != file.tokens or bool((np.diff(ends.astype(np.int64)) <= 0).any()):
                raise RecipeError(f"{directory / file.path}.index: corrupt document index")

    def windows(self, sequence_length: int) -> int:
        """Number of whole windows in an epoch; the rest of the stream opens the next epoch."""
        return self.manifest.tokens // sequence_length

    def window(self, index: int, sequence_length: int, epoch: int = 0) -> Window:
        """The `index`-th window of an epoch.

        The stream is read as a ring: each epoch begins where the last one ended, so that the tokens
        behind its last whole window open the next. None is left out for ever.
        """
        total = self.manifest.tokens
        begin = (epoch * self.windows(sequence_length) + index) * sequence_length % total
        parts: list[np.ndarray] = []
        ends: list[np.ndarray] = []
        starts: list[np.ndarray] = []
        filled = 0
        while filled < sequence_length:
            start = (begin + filled) % total
            file, offset = self._file_at(start)
            low = start - offset
            high = min(low + sequence_length - filled, len(self._tokens[file]))
            parts.append(np.asarray(self._tokens[file][low:high], dtype=np.int64))
            first = int(np.searchsorted(self._ends[file], low, side="right"))
            last = int(np.searchsorted(self._ends[file], high, side="left"))
            inside = np.asarray(self._ends[file][first:last], dtype=np.int64)
            starts.append(np.concatenate([[low], inside]) + offset)
            # The end of a file is the end of a document, and so is the end of the window.
            ends.append(np.concatenate([inside, [high]]) - low + filled)
            filled += high - low
        return Window(np.concatenate(parts), np.concatenate(ends), np.concatenate(starts))

    def documents_in(self, window: Window) -> list[int]:
        """Numbers, in the data set, of the documents that a window shows, for error reports."""
        numbers = []
        for start in window.starts.tolist():
            file, offset = self._file_at(start)
            inside = int(np.searchsorted(self._ends[file], start - offset, side="right"))
            numbers.append(int(self._document_starts[file]) + inside)
        return numbers

    def windows_showing(
        self, start: int, length: int, sequence_length: int, epochs: int
    ) -> list[tuple[int, int]]:
        """Epoch and number of the windows that show a part of a stretch of the stream.

        Args:
            start: of the stretch.
            length: of it in tokens, at least 1.
            sequence_length: tokens per window.
            epochs: look at the first so many.
        """
        total, per_epoch = self.manifest.tokens, self.windows(sequence_length)
        end = epochs * per_epoch * sequence_length  # of what so many epochs read of the ring
        found: dict[int, None] = {}
        for begin in range(start, end, total):
            last = min(begin + length, end) - 1
            found |= dict.fromkeys(range(begin // sequence_length, last // sequence_length + 1))
        return [divmod(window, per_epoch) for window in found]

    def document_bounds(self, document: int) -> tuple[int, int]:
        """Where a document begins in the stream of tokens, and its length."""
        file = int(np.searchsorted(self._document_starts, document, side="right")) - 1
        inside = document - int(self._document_starts[file])
        begin = int(self._ends[file][inside - 1]) if inside else 0
        length = int(self._ends[file][inside]) - begin
        return int(self._token_starts[file]) + begin, length

    def tokens_at(self, start: int, length: int) -> np.ndarray:
        """Tokens of a part of one document, by its place in the stream. int64 [length]."""
        file, offset = self._file_at(start)
        return np.asarray(self._tokens[file][start - offset :][:length], dtype=np.int64)

    def document_blocks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Where documents start in the stream, and their lengths: int64, `size` of them at a time.

        In file order, across the ends of files; the last block may be shorter.
        """
        held: list[np.ndarray] = []
        first = 0
        for file, ends in enumerate(self._ends):
            taken = 0
            while taken < len(ends):
                room = size - sum(map(len, held))
                part = np.asarray(ends[taken : taken + room], dtype=np.int64)
                held.append(part + self._token_starts[file])
                taken += len(part)
                if len(part) == room:
                    yield _bounds(first, held)
                    first = int(held[-1][-1])
                    held = []
        if held:
            yield _bounds(first, held)

    def _file_at(self, position: int) -> tuple[int, int]:
        # Number of the file that holds a place of the stream, and where that file begins.
        file = int(np.searchsorted(self._token_starts, position, side="right")) - 1
        return file, int(self._token_starts[file])


def _bounds(first: int, ends: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    joined = np.concatenate(ends)
    starts = np.concatenate([[first], joined[:-1]])
    return starts, joined - starts
