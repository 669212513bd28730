"""Progress of tasks that run in other processes, or on other machines: totals in small files."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..ask import Totals, progress_bar

_EVERY_SECONDS = 1.0
_STDERR = 2


def _folder(text_dir: Path) -> Path:
    return text_dir / "progress"


class Follower:
    """A task's side: what it has done, over all of its shards, written down about once a second.

    Args:
        text_dir: `<output_dir>/text`.
        rank: the task.
    """

    def __init__(self, text_dir: Path, rank: int) -> None:
        self._path = _folder(text_dir) / f"{rank:05d}"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._before = Totals()
        self._written = 0.0

    @contextmanager
    def shard(self) -> Iterator[Callable[[Totals], None]]:
        """What is to be told the totals of one shard."""
        last = Totals()

        def follow(totals: Totals) -> None:
            nonlocal last
            last = totals
            if time.monotonic() - self._written > _EVERY_SECONDS:
                self._write(totals)

        try:
            yield follow
        finally:
            self._write(last)
            self._before += last

    def _write(self, totals: Totals) -> None:
        self._path.write_text(json.dumps(vars(self._before + totals)))
        self._written = time.monotonic()


def _sum(text_dir: Path) -> Totals:
    done = Totals()
    for path in _folder(text_dir).glob("*"):
        if text := path.read_text():  # empty while it is being written
            done += Totals(**json.loads(text))
    return done


@contextmanager
def show_tasks(text_dir: Path, total: int) -> Iterator[None]:
    """A bar on stderr, fed by the followers of the tasks.

    Args:
        text_dir: `<output_dir>/text`.
        total: requests that tasks will report.
    """
    for old in _folder(text_dir).glob("*"):
        old.unlink()
    stop = threading.Event()
    # What libraries print on stderr goes to a file meanwhile; the bar keeps the terminal.
    with (
        os.fdopen(os.dup(_STDERR), "w") as terminal,
        progress_bar(total, file=terminal) as update,
    ):

        def follow() -> None:
            while not stop.wait(_EVERY_SECONDS):
                update(_sum(text_dir))

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            update(_sum(text_dir))
