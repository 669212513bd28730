"""The plan of a packed data set: which parts of which documents share a window. Made once, stored.

Concatenated windows need no plan: they are the stream, cut. Best-fit windows (`best_fit.py`) do; it
lies beside the shards as three flat arrays that are read through a memory map, so that a window is
found in constant time at any size. The plan is a pure function of the data and of the numbers here.
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from ..common.config_files import Strict
from ..common.errors import RecipeError
from ..common.files import DirectoryLock, sha256_file, staged_folder, write_json_atomically
from .shards import VERIFY_ON_OPEN_BYTES, TokenSource, Window, read_manifest

RECORD = "plan.json"
# Documents that are packed together. Blocks bound the memory (about 200 bytes a document) and cost
# next to nothing: at a million documents padding is below 0.01 % already (our choice). They follow
# the order of the files, in which documents lie shuffled, so a window reads from one stretch of
# the disk.
BLOCK_DOCUMENTS = 1_000_000
_VERSION = 1
# Arrays of a plan: where pieces start in the stream, their lengths, and for each window the number
# of pieces up to its end. Raw, as the shards are: blocks are appended to them.
_ARRAYS = {"starts": "<u8", "lengths": "<u4", "window_ends": "<u8"}


class PlanRecord(Strict):
    """What a plan was made from, and its checksums.

    Attributes:
        version: of the algorithm.
        data_fingerprint: of the token data.
        sequence_length: tokens per window.
        block_documents: documents packed together.
        windows: number of windows.
        pieces: documents, or parts of those longer than a window, in all windows.
        sha256: checksum of each array.
    """

    version: int
    data_fingerprint: str
    sequence_length: int
    block_documents: int
    windows: int
    pieces: int
    sha256: dict[str, str]


def plan_dir(directory: Path, sequence_length: int) -> Path:
    """Where the plan of a data set lies."""
    return directory / f"best_fit_{sequence_length}"


def _command(directory: Path, sequence_length: int) -> str:
    return f"`python -m data_recipes packing {directory} --sequence-length {sequence_length}`"


def read_record(directory: Path, sequence_length: int) -> PlanRecord | None:
    """Record of the plan of a data set; `None` if there is none for the data as they are now.

    Raises:
        RecipeError: no data set, or a record that cannot be read.
    """
    fingerprint = read_manifest(directory).fingerprint
    path = plan_dir(directory, sequence_length) / RECORD
    if not path.is_file():
        return None
    try:
        record = PlanRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path}: not a valid packing plan; delete {path.parent} and make it again with "
            f"{_command(directory, sequence_length)}"
        ) from error
    wanted = (_VERSION, fingerprint, sequence_length, BLOCK_DOCUMENTS)
    made = (record.version, record.data_fingerprint, record.sequence_length, record.block_documents)
    return record if made == wanted else None


def _write_arrays(source: TokenSource, sequence_length: int, directory: Path) -> PlanRecord:
    # Imported here: training reads plans, and only what makes them needs numba.
    from .packing import pack

    windows = pieces = 0
    paths = {name: directory / f"{name}.bin" for name in _ARRAYS}
    with ExitStack() as stack:
        handles = {name: stack.enter_context(path.open("wb")) for name, path in paths.items()}
        for starts, lengths in source.document_blocks(BLOCK_DOCUMENTS):
            piece_starts, piece_lengths, counts = pack(starts, lengths, sequence_length)
            parts = (piece_starts, piece_lengths, pieces + np.cumsum(counts))
            for (name, dtype), part in zip(_ARRAYS.items(), parts):
                part.astype(dtype).tofile(handles[name])
            windows += len(counts)
            pieces += len(piece_starts)
    return PlanRecord(
        version=_VERSION,
        data_fingerprint=source.manifest.fingerprint,
        sequence_length=sequence_length,
        block_documents=BLOCK_DOCUMENTS,
        windows=windows,
        pieces=pieces,
        sha256={name: sha256_file(path) for name, path in paths.items()},
    )


def make_plan(source: TokenSource, sequence_length: int) -> PlanRecord:
    """Pack a data set, unless its plan is there already. A plan for other data is replaced.

    The directory of the plan appears under its name only when it is whole.

    Raises:
        RecipeError: fewer than 2 tokens a window, or a record that cannot be read.
    """
    if sequence_length < 2:
        raise RecipeError(f"sequence length {sequence_length}: a window has at least 2 tokens")
    final = plan_dir(source.directory, sequence_length)
    # Two runs that start together would write the same plan into each other's files.
    with DirectoryLock(source.directory, "data.shards", f".{final.name}.lock", wait=True):
        record = read_record(source.directory, sequence_length)
        if record is None:
            with staged_folder(final) as staging:
                record = _write_arrays(source, sequence_length, staging)
                write_json_atomically(staging / RECORD, record.model_dump())
    return record


class BestFitSource(TokenSource):
    """A token data set on disk, seen as windows of whole documents.

    Args:
        directory: `<shards>/<source>/<split>`, with a manifest and the plan for this length.
        sequence_length: tokens per window.
        pad_token_id: fills what no document does; the tokenizer's.

    Raises:
        RecipeError: bad shards (see `TokenSource`); a plan that is missing, was made for other
            data, or is corrupt.
    """

    def __init__(self, directory: Path, sequence_length: int, pad_token_id: int) -> None:
        super().__init__(directory)
        self.sequence_length = sequence_length
        self.pad_token_id = pad_token_id
        record = read_record(directory, sequence_length)
        if record is None:
            raise RecipeError(
                f"{directory}: no packing plan for these data and windows of {sequence_length:,}; "
                f"make it with {_command(directory, sequence_length)}"
            )
        self.record = record
        folder = plan_dir(directory, sequence_length)
        rows = {
            "starts": record.pieces,
            "lengths": record.pieces,
            "window_ends": record.windows,
        }
        sizes = {name: rows[name] * int(dtype[-1]) for name, dtype in _ARRAYS.items()}
        checksums = sum(sizes.values()) <= VERIFY_ON_OPEN_BYTES
        arrays = {}
        for name, dtype in _ARRAYS.items():
            path = folder / f"{name}.bin"
            whole = path.is_file() and path.stat().st_size == sizes[name]
            if not whole or (checksums and sha256_file(path) != record.sha256[name]):
                raise RecipeError(
                    f"{path}: corrupt packing plan, size or checksum differs; delete {folder} and "
                    f"make it again with {_command(directory, sequence_length)}"
                )
            arrays[name] = np.memmap(path, dtype, "r")
        self._starts, self._lengths = arrays["starts"], arrays["lengths"]
        self._window_ends = arrays["window_ends"]

    def windows(self, sequence_length: int) -> int:
        """Number of windows; every token is in one of them.

        Raises:
            ValueError: a length that the plan was not made for.
        """
        self._check(sequence_length)
        return self.record.windows

    def window(self, index: int, sequence_length: int, epoch: int = 0) -> Window:
        """The `index`-th window of the plan, which is the same in every epoch.

        Raises:
            ValueError: a length that the plan was not made for.
        """
        self._check(sequence_length)
        first = int(self._window_ends[index - 1]) if index else 0
        pieces = slice(first, int(self._window_ends[index]))
        starts = np.asarray(self._starts[pieces], dtype=np.int64)
        lengths = np.asarray(self._lengths[pieces], dtype=np.int64)
        ends = np.cumsum(lengths)
        padding = sequence_length - int(ends[-1])
        parts = [self.tokens_at(s, n) for s, n in zip(starts.tolist(), lengths.tolist())]
        if padding:
            parts.append(np.full(padding, self.pad_token_id, dtype=np.int64))
            ends = np.append(ends, sequence_length)
        return Window(np.concatenate(parts), ends, starts, padding)

    def windows_showing(
        self, start: int, length: int, sequence_length: int, epochs: int
    ) -> list[tuple[int, int]]:
        """Epoch and number of the windows that show a part of a stretch of the stream.

        Raises:
            ValueError: a length that the plan was not made for.
        """
        self._check(sequence_length)
        ends = self._starts + self._lengths
        pieces = np.flatnonzero((self._starts < start + length) & (ends > start))
        numbers = np.unique(np.searchsorted(self._window_ends, pieces, side="right")).tolist()
        return [(epoch, number) for epoch in range(epochs) for number in numbers]

    def _check(self, sequence_length: int) -> None:
        if sequence_length != self.sequence_length:
            raise ValueError(f"packed for {self.sequence_length}, not for {sequence_length} tokens")
