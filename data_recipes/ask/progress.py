"""Counts of a run, and its progress on stderr: requests and tokens per second, cost, ETA."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from operator import add
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from ..common.terminal import TaskFile, follow_tasks


@dataclass
class Totals:
    """Counts of this run alone.

    Attributes:
        stored: requests whose answers were in the store.
        answered: requests answered.
        refused: requests that the server would not have.
        failed: requests without an answer in all attempts.
        retries: further tries.
        prompt_tokens: read, unusable answers included.
        completion_tokens: written, likewise.
        cost: by the endpoints' prices, likewise.
    """

    stored: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    @property
    def settled(self) -> int:
        """Requests that will not be asked any more in this run."""
        return self.stored + self.answered + self.refused + self.failed

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*map(add, astuple(self), astuple(other)))

    def figures(self, seconds: float) -> str:
        """Format rate, cost and troubles for a progress bar."""
        parts = [f"{self.completion_tokens / max(seconds, 1e-9):,.0f} tokens/s"]
        if self.cost:
            parts.append(f"cost {self.cost:,.4f}")
        for name in ("retries", "refused", "failed"):
            if count := getattr(self, name):
                parts.append(f"{name} {count:,}")
        return ", ".join(parts)


Follow = Callable[[Totals], None]


@contextmanager
def progress_bar(
    total: int | None, follow: Follow | None = None, file: TextIO | None = None
) -> Iterator[Follow]:
    """Show a bar, and yield what is to be told the totals.

    Args:
        total: number of requests, for the ETA; `None` where it is not known.
        follow: yielded as it is, and no bar is shown.
        file: where to; stderr by default.
    """
    if follow is not None:
        yield follow
        return
    start = time.monotonic()
    with tqdm(total=total, unit=" requests", file=file or sys.stderr, smoothing=0.05) as bar:

        def update(totals: Totals) -> None:
            # What was in the store came at once, and says nothing about the time that is left.
            bar.initial = totals.stored
            if bar.update(totals.settled - bar.n):
                bar.set_postfix_str(totals.figures(time.monotonic() - start), refresh=False)

        yield update


class TaskTotals:
    """Write the totals of one of several tasks to a file about once a second; see `show_tasks`.

    Args:
        folder: where all tasks write.
        rank: the task.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self._file = TaskFile(folder, rank)
        self._before = Totals()

    @contextmanager
    def part(self) -> Iterator[Follow]:
        """Yield what is to be told the totals of one call of `ask`; the task may make several."""
        last = Totals()

        def follow(totals: Totals) -> None:
            nonlocal last
            last = totals
            self._file.write(json.dumps(vars(self._before + totals)))

        try:
            yield follow
        finally:
            self._before += last
            self._file.write(json.dumps(vars(self._before)), last=True)


@contextmanager
def show_tasks(folder: Path, total: int) -> Iterator[None]:
    """Show one bar for tasks in other processes, or on other machines, that write `TaskTotals`.

    Args:
        folder: where they write.
        total: requests that they will report.
    """

    @contextmanager
    def show(file: TextIO) -> Iterator[Callable[[list[str]], None]]:
        with progress_bar(total, file=file) as update:
            yield lambda texts: update(sum((Totals(**json.loads(t)) for t in texts), Totals()))

    with follow_tasks(folder, show):
        yield
