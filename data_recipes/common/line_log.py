"""JSON lines that grow while a run is at work, and of which `kill -9` costs at most the last."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from .errors import RecipeError
from .files import disk_full_is_an_error


class LineLog:
    """Rows in the order in which they were added.

    As a context manager it is open for adding: the half of a line that a killed run may have left
    is cut off first.

    Args:
        path: the file; made when first opened for adding.
        remedy: for a damaged line; what is in the file may be made again, or be all there is.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        self.path = path
        self._remedy = remedy
        self._file: BinaryIO | None = None

    def count(self) -> int:
        """Whole lines."""
        return sum(1 for _ in self._lines())

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows.

        Raises:
            RecipeError: a line is no JSON: the file was changed by something else.
        """
        for number, line in enumerate(self._lines(), 1):
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise RecipeError(f"{self.path}:{number}: {error}; {self._remedy}") from error

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; it outlives the death of the process."""
        with disk_full_is_an_error(self.path):
            self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()

    def _lines(self) -> Iterator[bytes]:
        if self.path.is_file():
            with self.path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def __enter__(self) -> "LineLog":
        whole = sum(len(line) for line in self._lines())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")
        self._file.truncate(whole)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` rows; the last may be shorter."""
    left = iter(rows)
    while batch := list(itertools.islice(left, size)):
        yield batch
