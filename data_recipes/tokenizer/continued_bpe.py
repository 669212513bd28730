"""Byte-pair encoding that goes on from merges that are there (Sennrich et al. 2016, algorithm 1).

The trainer of `tokenizers` starts from single bytes and lets every pair be merged. Here words are
already cut by the old merges, only pairs that pass a test are merged, and what is learned comes
after what was known. With a test that everything passes, both learn the same merges.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Pair = tuple[int, int]
_SEEN_ONCE = 1  # a pair that occurs once says nothing about the next text


@dataclass(frozen=True)
class Merge:
    """A learned merge.

    Attributes:
        pair: ids that are merged.
        id: of the result.
    """

    pair: Pair
    id: int


class _Words:
    """Distinct words as ids, and where which pair occurs how often."""

    def __init__(
        self, words: Iterable[tuple[list[int], int]], allowed: Callable[[Pair], bool]
    ) -> None:
        self.ids: list[list[int]] = []
        self.times: list[int] = []
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self._where: defaultdict[Pair, set[int]] = defaultdict(set)
        self._allowed = allowed
        self._known: dict[Pair, bool] = {}
        for ids, times in words:
            for pair in zip(ids, ids[1:]):
                self._count(pair, times, len(self.ids))
            self.ids.append(ids)
            self.times.append(times)

    def _count(self, pair: Pair, times: int, word: int) -> bool:
        passes = self._known.get(pair)
        if passes is None:
            passes = self._known[pair] = self._allowed(pair)
        if passes:
            self.counts[pair] += times
            if times > 0:
                self._where[pair].add(word)
        return passes

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Write `new` for the pair wherever it occurs; return pairs whose counts have changed."""
        first, second = pair
        changed: set[Pair] = set()
        for word in self._where.pop(pair, ()):
            ids, times = self.ids[word], self.times[word]
            merged: list[int] = []
            position, end = 0, len(ids)
            while position < end:
                if ids[position] != first or ids[position + 1 : position + 2] != [second]:
                    merged.append(ids[position])
                    position += 1
                    continue
                around = []
                if merged:
                    around += [((merged[-1], first), -times), ((merged[-1], new), times)]
                if position + 2 < end:
                    after = ids[position + 2]
                    around += [((second, after), -times), ((new, after), times)]
                changed.update(p for p, change in around if self._count(p, change, word))
                merged.append(new)
                position += 2
            self.ids[word] = merged
        del self.counts[pair]
        changed.discard(pair)
        return changed


def continue_merges(
    words: Iterable[tuple[list[int], int]],
    pieces: dict[int, bytes],
    more: int,
    first_id: int,
    allowed: Callable[[bytes], bool],
) -> list[Merge]:
    """Learn merges until there are `more` entries that were not there, or nothing is left to merge.

    The most frequent pair is merged first, of equals the one of smaller ids, as the trainer of
    `tokenizers` does. Pairs that make an entry that is there already are merged too, and give no
    new one. Time grows with the bytes of the distinct words.

    Args:
        words: each distinct word as ids, and how often it occurs.
        pieces: bytes of every id; those of new entries are added.
        more: entries.
        first_id: id of the first new entry; the next ones follow.
        allowed: whether bytes may become an entry.
    """
    ids = {data: index for index, data in pieces.items()}
    table = _Words(words, lambda pair: allowed(pieces[pair[0]] + pieces[pair[1]]))
    heap = [(-count, pair) for pair, count in table.counts.items()]
    heapq.heapify(heap)
    learned: list[Merge] = []
    last = first_id + more
    following = first_id
    while heap and following < last:
        count, pair = heapq.heappop(heap)
        if table.counts.get(pair) != -count:
            continue  # counted anew since
        if -count <= _SEEN_ONCE:
            break
        data = pieces[pair[0]] + pieces[pair[1]]
        new = ids.get(data)
        if new is None:
            new = following
            ids[data], pieces[new] = new, data
            following += 1
        learned.append(Merge(pair, new))
        for changed in table.merge(pair, new):
            if (times := table.counts[changed]) > 0:
                heapq.heappush(heap, (-times, changed))
    return learned
