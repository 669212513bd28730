"""Threads before and behind: order, errors, and how much may be under way."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_recipes.deduplicate.step import Behind, map_ahead, read_ahead


def test_order_holds_and_no_more_is_under_way_than_allowed() -> None:
    fetched = handed = most = 0

    def items() -> Iterator[int]:
        nonlocal fetched
        for i in range(200):
            fetched += 1
            yield i

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(3) as pool:
        result = []
        for value in map_ahead(lambda i: i * i, read_ahead(items(), reader, 4), pool, 5):
            handed += 1
            result.append(value)
            most = max(most, fetched - handed)
    assert result == [i * i for i in range(200)]
    assert 0 < most <= 4 + 5 + 1


def test_errors_come_out_where_the_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("reading")

    def half(i: int) -> float:
        return 1 / (3 - i)

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(2) as pool:
        seen = []
        with pytest.raises(KeyError, match="reading"):
            for i in read_ahead(items(), reader, 2):
                seen.append(i)
        assert seen == list(range(5))
        with pytest.raises(ZeroDivisionError):
            for value in map_ahead(half, range(9), pool, 4):
                seen.append(value)
        assert seen[5:] == [1 / 3, 1 / 2, 1]


def test_behind_waits_rather_than_pile_up() -> None:
    gate = threading.Event()
    done: list[int] = []

    def call(i: int) -> None:
        assert gate.wait(10)
        done.append(i)

    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as other:
        behind = Behind(pool, 2)
        behind.submit(call, 0)
        behind.submit(call, 1)
        third = other.submit(behind.submit, call, 2)
        assert not third.done() and not done
        gate.set()
        third.result(10)
        assert done[0] == 0
        behind.wait()
        assert done == [0, 1, 2]
        behind.submit(call, 3)
        behind.submit(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            behind.wait()
