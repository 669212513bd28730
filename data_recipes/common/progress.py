"""Progress of a step whose tasks run in other processes, or on other machines.

Each task keeps one small file with the bytes it has worked through; whoever started the step adds
them up and shows a bar with an ETA.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tqdm import tqdm

_EVERY_SECONDS = 1.0
_STDERR = 2


def _folder(output_dir: Path) -> Path:
    return output_dir / "progress"


class Progress(AbstractContextManager):
    """A task's side: bytes worked through, written down about once a second.

    Args:
        output_dir: the step's directory.
        rank: the task.
    """

    def __init__(self, output_dir: Path, rank: int) -> None:
        self._path = _folder(output_dir) / f"{rank:05d}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._bytes = 0
        self._written = 0.0

    def update(self, size: int) -> None:
        """`size` more bytes are done."""
        self._bytes += size
        if time.monotonic() - self._written > _EVERY_SECONDS:
            self._write()

    def _write(self) -> None:
        self._path.write_text(str(self._bytes))
        self._written = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write()


def _done(output_dir: Path) -> int:
    sizes = (path.read_text() for path in _folder(output_dir).glob("*"))
    return sum(int(size) for size in sizes if size)


@contextmanager
def show_progress(output_dir: Path, total_bytes: int, description: str) -> Iterator[None]:
    """A bar with an ETA on stderr, fed by the `Progress` of the tasks.

    Args:
        output_dir: the step's directory.
        total_bytes: bytes that the tasks will report.
        description: name of the step.
    """
    for old in _folder(output_dir).glob("*"):
        old.unlink()
    stop = threading.Event()
    # The caller sends what libraries print on stderr to a file; the bar keeps the terminal.
    with (
        os.fdopen(os.dup(_STDERR), "w") as terminal,
        tqdm(total=total_bytes, unit="B", unit_scale=True, desc=description, file=terminal) as bar,
    ):

        def catch_up() -> None:
            # A step of several phases counts anew in each; the bar does not go back.
            bar.update(max(0, _done(output_dir) - bar.n))

        def follow() -> None:
            while not stop.wait(_EVERY_SECONDS):
                catch_up()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            catch_up()
