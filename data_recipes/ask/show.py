"""Progress of a run on stderr: requests and tokens per second, cost, ETA."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from .totals import Totals


def figures(totals: Totals, seconds: float) -> str:
    """What stands behind the bar."""
    parts = [f"{totals.completion_tokens / max(seconds, 1e-9):,.0f} tokens/s"]
    if totals.cost:
        parts.append(f"cost {totals.cost:,.4f}")
    for name in ("retries", "refused", "failed"):
        if count := getattr(totals, name):
            parts.append(f"{name} {count:,}")
    return ", ".join(parts)


@contextmanager
def progress_bar(
    total: int | None,
    follow: Callable[[Totals], None] | None = None,
    file: TextIO | None = None,
) -> Iterator[Callable[[Totals], None]]:
    """A bar that is told the totals.

    Args:
        total: number of requests, for the ETA; `None` where it is not known.
        follow: given back as it is, and no bar is shown.
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
                bar.set_postfix_str(figures(totals, time.monotonic() - start), refresh=False)

        yield update
