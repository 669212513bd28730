"""Work done ahead by threads, handed over in order: a bounded number of items at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
_END = object()


def map_ahead(
    function: Callable[[In], Out], items: Iterable[In], pool: Executor, ahead: int
) -> Iterator[Out]:
    """`map`, with up to `ahead` results being made in `pool` while the caller is busy."""
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def read_ahead(items: Iterator[In], pool: Executor, ahead: int) -> Iterator[In]:
    """`items`, with up to `ahead` of them fetched in `pool`, which must have one thread."""
    waiting = deque(pool.submit(next, items, _END) for _ in range(ahead))
    while (item := waiting.popleft().result()) is not _END:
        waiting.append(pool.submit(next, items, _END))
        yield item


class Behind:
    """Calls made in order by one thread of `pool`, at most `limit` of them waiting.

    Args:
        pool: an executor of one thread.
        limit: `submit` waits while there are more.
    """

    def __init__(self, pool: Executor, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._waiting: deque[Future[None]] = deque()

    def submit(self, function: Callable[..., None], *args: object) -> None:
        """Call it later.

        Raises:
            Exception: whatever an earlier call raised.
        """
        self._waiting.append(self._pool.submit(function, *args))
        while len(self._waiting) > self._limit:
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Until every call has returned.

        Raises:
            Exception: whatever a call raised.
        """
        while self._waiting:
            self._waiting.popleft().result()
