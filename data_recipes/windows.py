"""Windows of `sequence_length` tokens, read from shards through a memory map.

Which window comes at which place of which epoch is a pure function of (seed, epoch, index): a
format-preserving permutation, so that nothing is stored and resuming costs nothing at any size.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import RecipeError
from .manifest import VERIFY_ON_OPEN_BYTES, Manifest, read_manifest, verify_files

_ROUNDS = 4


def permute(index: int, size: int, key: str) -> int:
    """The `index`-th element of a pseudorandom permutation of `range(size)`.

    A balanced Feistel network over the next even number of bits, walked until the value falls in
    range (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").

    Args:
        index: 0 <= index < size.
        size: number of elements.
        key: names the permutation.
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    round_keys = [f"{key}/{r}/".encode() for r in range(_ROUNDS)]
    value = index
    while True:
        left, right = value >> half_bits, value & mask
        for round_key in round_keys:
            digest = hashlib.blake2b(round_key + right.to_bytes(8, "little"), digest_size=8)
            left, right = right, left ^ (int.from_bytes(digest.digest(), "little") & mask)
        value = (left << half_bits) | right
        if value < size:
            return value


@dataclass(frozen=True)
class Window:
    """A run of tokens and the documents in it.

    Attributes:
        tokens: int64 [sequence_length].
        document_ends: int64, positions in the window where documents (or their visible parts) end;
            the last is `sequence_length`.
        first_document: number, in the data set, of the document that the window starts in.
    """

    tokens: np.ndarray
    document_ends: np.ndarray
    first_document: int


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
        """Number of whole windows; the rest of the last one is left out."""
        return self.manifest.tokens // sequence_length

    def window(self, index: int, sequence_length: int) -> Window:
        """The `index`-th window in file order."""
        start = index * sequence_length
        stop = start + sequence_length
        parts: list[np.ndarray] = []
        ends: list[np.ndarray] = []
        first_document = -1
        file = int(np.searchsorted(self._token_starts, start, side="right")) - 1
        while start < stop:
            offset = int(self._token_starts[file])
            low, high = start - offset, min(stop - offset, len(self._tokens[file]))
            parts.append(np.asarray(self._tokens[file][low:high], dtype=np.int64))
            first = int(np.searchsorted(self._ends[file], low, side="right"))
            last = int(np.searchsorted(self._ends[file], high, side="left"))
            if first_document < 0:
                first_document = int(self._document_starts[file]) + first
            inside = np.asarray(self._ends[file][first:last], dtype=np.int64) + offset
            ends.append(inside - index * sequence_length)
            start = high + offset
            # The end of a file is the end of a document, and so is the end of the window.
            ends.append(np.array([start - index * sequence_length], dtype=np.int64))
            file += 1
        return Window(np.concatenate(parts), np.unique(np.concatenate(ends)), first_document)

    def documents_in(self, window: Window) -> range:
        """Numbers of the documents that a window shows, for error reports."""
        return range(window.first_document, window.first_document + len(window.document_ends))
