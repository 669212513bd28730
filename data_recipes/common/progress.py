"""Progress of work whose tasks run in other processes, or on other machines.

Each task keeps one small file with what it has done; whoever started them adds these up and shows a
bar with an ETA.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

_EVERY_SECONDS = 1.0
_STDERR = 2


class TaskFile:
    """A task's side: what it has done, written down about once a second.

    Args:
        folder: where all tasks write.
        rank: the task.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self._path = folder / f"{rank:05d}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._written = 0.0

    def write(self, text: str, last: bool = False) -> None:
        """Say what is done; left for the next time if this comes soon and is not the last."""
        if last or time.monotonic() - self._written > _EVERY_SECONDS:
            self._path.write_text(text)
            self._written = time.monotonic()


@contextmanager
def follow_tasks(
    folder: Path,
    show: Callable[[TextIO], AbstractContextManager[Callable[[list[str]], None]]],
) -> Iterator[None]:
    """Show what tasks write into their `TaskFile`s while the body runs.

    Args:
        folder: where they write.
        show: opens a bar on a stream, and yields what is to be told the texts of all tasks.
    """
    for old in folder.glob("*"):
        old.unlink()

    def texts() -> list[str]:
        # A file is empty while it is being written.
        return [text for path in folder.glob("*") if (text := path.read_text())]

    stop = threading.Event()
    # The caller sends what libraries print on stderr to a file; the bar keeps the terminal.
    with os.fdopen(os.dup(_STDERR), "w") as terminal, show(terminal) as update:

        def follow() -> None:
            while not stop.wait(_EVERY_SECONDS):
                update(texts())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            update(texts())


def _folder(output_dir: Path) -> Path:
    return output_dir / "progress"


class Progress(AbstractContextManager):
    """A task's side of `show_progress`: bytes worked through.

    Args:
        output_dir: the step's directory.
        rank: the task.
    """

    def __init__(self, output_dir: Path, rank: int) -> None:
        self._file = TaskFile(_folder(output_dir), rank)
        self._bytes = 0

    def update(self, size: int) -> None:
        """`size` more bytes are done."""
        self._bytes += size
        self._file.write(str(self._bytes))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._file.write(str(self._bytes), last=True)


@contextmanager
def show_progress(output_dir: Path, total_bytes: int, description: str) -> Iterator[None]:
    """A bar with an ETA on stderr, fed by the `Progress` of the tasks.

    Args:
        output_dir: the step's directory.
        total_bytes: bytes that the tasks will report.
        description: name of the step.
    """

    @contextmanager
    def show(file: TextIO) -> Iterator[Callable[[list[str]], None]]:
        unit = {"unit": "B", "unit_scale": True}
        with tqdm(total=total_bytes, desc=description, file=file, **unit) as bar:
            # A step of several phases counts anew in each; the bar does not go back.
            yield lambda sizes: bar.update(max(0, sum(map(int, sizes)) - bar.n))

    with follow_tasks(_folder(output_dir), show):
        yield
