"""Suffix arrays over bytes: where does a text stand, and how much of it from each place on?"""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _induce(
    sa: np.ndarray,
    s: np.ndarray,
    lms: np.ndarray,
    smaller: np.ndarray,
    large: np.ndarray,
    small: np.ndarray,
) -> None:
    """Sort all suffixes into `sa`, given those of `lms` in their order (see `_buckets`)."""
    n = len(s)
    sa[:] = -1
    place = small.copy()
    for i in range(len(lms)):
        sa[place[s[lms[i]]]] = lms[i]
        place[s[lms[i]]] += 1
    place = large.copy()
    sa[place[s[n - 1]]] = n - 1
    place[s[n - 1]] += 1
    for i in range(n):
        v = sa[i]
        if v >= 1 and not smaller[v - 1]:
            sa[place[s[v - 1]]] = v - 1
            place[s[v - 1]] += 1
    place = large.copy()
    for i in range(n - 1, -1, -1):
        v = sa[i]
        if v >= 1 and smaller[v - 1]:
            place[s[v - 1] + 1] -= 1
            sa[place[s[v - 1] + 1]] = v - 1


@numba.njit(cache=True, nogil=True)
def _buckets(s: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tell suffixes apart by whether they are smaller than the next, and choose those to name.

    Returns:
        Whether a suffix is smaller than the one after it; where, in the bucket of each value,
        suffixes larger than the next begin, and where smaller ones do; and the suffixes that are
        smaller than the next while the one before is not, which are to be sorted first.
    """
    n = len(s)
    smaller = np.zeros(n, np.bool_)
    for i in range(n - 2, -1, -1):
        smaller[i] = smaller[i + 1] if s[i] == s[i + 1] else s[i] < s[i + 1]
    large, small = np.zeros(largest + 2, np.int64), np.zeros(largest + 2, np.int64)
    count = 0
    for i in range(n):
        if smaller[i]:
            large[s[i] + 1] += 1
            count += i > 0 and not smaller[i - 1]
        else:
            small[s[i]] += 1
    for value in range(largest + 1):
        small[value] += large[value]
        large[value + 1] += small[value]
    lms = np.empty(count, np.int64)
    count = 0
    for i in range(1, n):
        if smaller[i] and not smaller[i - 1]:
            lms[count] = i
            count += 1
    return smaller, large, small, lms


@numba.njit(cache=True, nogil=True)
def _name(s: np.ndarray, sa: np.ndarray, lms: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the stretches between chosen suffixes by their order, equal ones alike.

    Args:
        s: int32 [n].
        sa: int32 [n], in which the stretches are in order.
        lms: int64 [count], where they begin.

    Returns:
        Number of each stretch, int32 [count], and the largest.
    """
    n, count = len(s), len(lms)
    number = np.full(n, -1, np.int32)
    for i in range(count):
        number[lms[i]] = i
    names = np.zeros(count, np.int32)
    name, before = -1, -1
    for i in range(n):
        b = np.int64(sa[i])
        own = number[b]
        if own == -1:
            continue
        same = False
        if before >= 0:
            a, last = before, number[before]
            end_a = lms[last + 1] if last + 1 < count else n
            end_b = lms[own + 1] if own + 1 < count else n
            same = end_a - a == end_b - b
            if same:
                while a < end_a and s[a] == s[b]:
                    a += 1
                    b += 1
                same = a < n and b < n and s[a] == s[b]
        name += not same
        names[own] = name
        before = np.int64(sa[i])
    return names, name


def sort_suffixes(s: np.ndarray, largest: int) -> np.ndarray:
    """Sort the suffixes of a sequence in linear time.

    By induced sorting (SA-IS: Nong, Zhang and Chan 2009, "Linear suffix array construction by
    almost pure induced-sorting"). The recursion is Python's: numba's own, read from its cache,
    crashes (0.68).

    Args:
        s: int32 [n], values from 0.
        largest: of the values.

    Returns:
        Where the suffixes begin, in their order, int32 [n].
    """
    sa = np.zeros(len(s), np.int32)
    if len(s) < 2:
        return sa
    smaller, large, small, lms = _buckets(s, largest)
    _induce(sa, s, lms, smaller, large, small)
    if len(lms):
        names, name = _name(s, sa, lms)
        _induce(sa, s, lms[sort_suffixes(names, name)], smaller, large, small)
    return sa


@numba.njit(cache=True, nogil=True)
def _common(text: np.ndarray, place: int, query: np.ndarray, begin: int) -> int:
    """Bytes that the text from a place on and the query from a place on have in common."""
    length = 0
    most = min(len(text) - place, len(query) - begin)
    while length < most and text[place + length] == query[begin + length]:
        length += 1
    return length


@numba.njit(cache=True, nogil=True)
def longest_matches(
    text: np.ndarray, suffixes: np.ndarray, query: np.ndarray, begins: np.ndarray
) -> np.ndarray:
    """Measure how much of a query stands in a text, from each of some places of the query on.

    Args:
        text: uint8 [bytes].
        suffixes: where suffixes of the text begin, in their order.
        query: uint8 [bytes].
        begins: int64 [places].

    Returns:
        Bytes, int64 [places].
    """
    lengths = np.zeros(len(begins), np.int64)
    for k in range(len(begins)):
        begin = begins[k]
        low, high = 0, len(suffixes)
        best = 0
        while low < high:
            middle = (low + high) // 2
            place = np.int64(suffixes[middle])
            common = _common(text, place, query, begin)
            best = max(best, common)
            if begin + common == len(query):
                break  # no match is longer
            if place + common == len(text) or text[place + common] < query[begin + common]:
                low = middle + 1
            else:
                high = middle
        lengths[k] = best
    return lengths


@numba.njit(cache=True, nogil=True)
def find_range(text: np.ndarray, suffixes: np.ndarray, wanted: np.ndarray) -> tuple[int, int]:
    """Return the range of suffixes that begin with some bytes."""
    ends = (0, 0)
    for upper in range(2):
        low, high = 0, len(suffixes)
        while low < high:
            middle = (low + high) // 2
            place = np.int64(suffixes[middle])
            common = _common(text, place, wanted, 0)
            if common == len(wanted):
                below = upper == 1
            else:
                below = place + common == len(text) or text[place + common] < wanted[common]
            if below:
                low = middle + 1
            else:
                high = middle
        ends = (low, ends[1]) if upper == 0 else (ends[0], low)
    return ends
