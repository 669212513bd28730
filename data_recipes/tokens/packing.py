"""Best-fit-decreasing packing of documents into windows (Ding et al. 2024, arXiv 2404.10830).

A document longer than the window is cut into whole windows and a rest. Rests and short documents
are packed, longest first, each into the window with the least room that still holds it. So only a
document that cannot fit is ever cut, and what room is left over is padding.
"""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _least_room(tree: np.ndarray, size: int, wanted: int) -> int:
    """Smallest room of at least `wanted` that some window has; -1 if there is none.

    Args:
        tree: bool [2 * size], a segment tree whose leaf `size + r` says if a window has room `r`.
        size: a power of two.
        wanted: 0 <= wanted < size.
    """
    node = size + wanted
    if tree[node]:
        return wanted
    while node > 1:
        if node % 2 == 0 and tree[node + 1]:
            node += 1
            while node < size:
                node = 2 * node if tree[2 * node] else 2 * node + 1
            return node - size
        node //= 2
    return -1


@numba.njit(cache=True, nogil=True)
def _set_leaf(tree: np.ndarray, size: int, room: int, value: bool) -> None:
    node = size + room
    tree[node] = value
    while node > 1:
        node //= 2
        tree[node] = tree[2 * node] or tree[2 * node + 1]


@numba.njit(cache=True, nogil=True)
def _assign(rests: np.ndarray, order: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Put rests into windows, in the order given; in O(rests * log(length)).

    Among windows with equal room the one that got it last is taken.

    Returns:
        Window of each rest, int64 [rests], unset where it is not in the order; number of windows.
    """
    size = 1
    while size < length:
        size *= 2
    tree = np.zeros(2 * size, np.bool_)
    # Windows with the same room form a list: its head by room, the next one by window.
    head = np.full(length, -1, np.int64)
    following = np.empty(len(order), np.int64)
    windows = np.empty(len(rests), np.int64)
    count = 0
    for item in order:
        rest = rests[item]
        room = _least_room(tree, size, rest)
        if room < 0:
            window = count
            count += 1
            room = length
        else:
            window = head[room]
            head[room] = following[window]
            if head[room] < 0:
                _set_leaf(tree, size, room, False)
        windows[item] = window
        left = room - rest
        if left > 0:
            if head[left] < 0:
                _set_leaf(tree, size, left, True)
            following[window] = head[left]
            head[left] = window
    return windows, count


@numba.njit(cache=True, nogil=True)
def _longest_first(rests: np.ndarray, length: int) -> np.ndarray:
    """Indices of the rests above 0, by falling length; equal ones keep their order. Int64."""
    counts = np.zeros(length, np.int64)
    for rest in rests:
        counts[rest] += 1
    place = np.zeros(length, np.int64)
    for rest in range(length - 2, 0, -1):
        place[rest] = place[rest + 1] + counts[rest + 1]
    order = np.empty(len(rests) - counts[0], np.int64)
    for item, rest in enumerate(rests):
        if rest > 0:
            order[place[rest]] = item
            place[rest] += 1
    return order


@numba.njit(cache=True, nogil=True)
def pack(
    starts: np.ndarray, lengths: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pack documents into windows of `length` tokens.

    Args:
        starts: int64 [documents], where each document begins in the stream of tokens.
        lengths: int64 [documents], at least 1.
        length: tokens per window, at least 2.

    Returns:
        Start and length of each piece of a document, int64 [pieces], window by window; and the
        number of pieces in each window, int64 [windows]. Windows that one document fills come
        first, in the order of the documents. Every token is in exactly one piece.
    """
    whole = 0
    rests = np.empty(len(lengths), np.int64)
    for document in range(len(lengths)):
        whole += lengths[document] // length
        rests[document] = lengths[document] % length
    order = _longest_first(rests, length)
    windows, packed = _assign(rests, order, length)

    piece_starts = np.empty(whole + len(order), np.int64)
    piece_lengths = np.empty(whole + len(order), np.int64)
    pieces = np.zeros(whole + packed, np.int64)
    place = 0
    for document in range(len(lengths)):
        for part in range(lengths[document] // length):
            piece_starts[place] = starts[document] + part * length
            piece_lengths[place] = length
            pieces[place] = 1
            place += 1
    for item in order:
        pieces[whole + windows[item]] += 1
    places = np.empty(packed, np.int64)
    for window in range(packed):
        places[window] = place
        place += pieces[whole + window]
    for item in order:
        window = windows[item]
        piece_starts[places[window]] = starts[item] + lengths[item] - rests[item]
        piece_lengths[places[window]] = rests[item]
        places[window] += 1
    return piece_starts, piece_lengths, pieces
