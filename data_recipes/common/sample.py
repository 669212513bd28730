"""Uniform samples of bounded size from streams of any size, the same on every run."""

import heapq
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LowestHashes(Generic[Item]):
    """Keep the items of a stream with the lowest hashes, up to a total weight.

    Which items those are does not depend on the order of the stream. Of items with the same hash
    (copies, where it is one of their contents) the first counts.

    Args:
        budget: total weight; the item that reaches it is the last one kept.

    Attributes:
        held: item and weight by hash, in no order.
    """

    def __init__(self, budget: int) -> None:
        self.held: dict[int, tuple[Item, int]] = {}
        self._budget = budget
        self._weight = 0
        self._negated: list[int] = []  # so that the largest hash is on top of the heap

    def add(self, value: int, item: Item, weight: int = 1) -> bool:
        """Offer an item; tell whether it is in the sample for now.

        Args:
            value: its hash.
            item: what to keep.
            weight: what it takes of the budget.
        """
        full = self._weight >= self._budget
        if value in self.held or (full and value > -self._negated[0]):
            return False
        self.held[value] = (item, weight)
        self._weight += weight
        heapq.heappush(self._negated, -value)
        while self._weight - self.held[-self._negated[0]][1] >= self._budget:
            self._weight -= self.held.pop(-heapq.heappop(self._negated))[1]
        return value in self.held

    def items(self) -> list[Item]:
        """Return the sample in the order of its hashes."""
        return [self.held[value][0] for value in sorted(self.held)]
