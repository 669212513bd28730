"""Phrases of several lists, searched for at once: an Aho-Corasick automaton over bytes.

Aho and Corasick 1975, "Efficient string matching". ASCII letters match in either case; other
letters as they are written in the list, in lower case, in upper case and with a capital first.
"""

from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from ..text.kernels import kernel

_LINE_FEED = 0x0A
# Longer lines are paragraphs, which may speak of a phrase. Our choice.
_LONGEST_MARKED = 160


class Phrase(IntEnum):
    """The lists; and rows of what `count_phrases` returns, to which `DIFFERENT_SPAM` belongs."""

    BOILERPLATE = 0  # characters of the lines with a phrase, line ends left out
    SPAM = 1
    PITCH = 2
    DIFFERENT_SPAM = 3


_ROWS = len(Phrase)


class Automaton(NamedTuple):
    """An automaton.

    Bytes that no phrase tells apart are one class, so that the table stays in a processor's cache.

    Attributes:
        classes: of each byte, uint8 [256].
        moves: next state by state and class, int32 [states, classes].
        ends: the longest phrase of each list that ends in a state, counted from 1; 0 for none;
            int32 [states, lists].
        found: whether any ends there, bool [states].
    """

    classes: np.ndarray
    moves: np.ndarray
    ends: np.ndarray
    found: np.ndarray

    def has(self, phrases: Phrase) -> bool:
        """Whether a list has any phrases."""
        return bool(self.ends[:, phrases].any())


def build(
    boilerplate: Sequence[str] = (), spam: Sequence[str] = (), pitch: Sequence[str] = ()
) -> Automaton:
    """The automaton that finds phrases of three lists; none is empty or has a line end in it."""
    spellings: dict[bytes, list[int]] = {}
    for own, phrases in enumerate((boilerplate, spam, pitch)):
        for number, phrase in enumerate(phrases, start=1):
            for written in (phrase, phrase.lower(), phrase.upper(), phrase.capitalize()):
                key = bytes(_lower(byte) for byte in written.encode())
                spellings.setdefault(key, [0, 0, 0])[own] = number
    known = sorted(set(b"".join(spellings)))
    classes = np.zeros(256, np.uint8)  # 0: in no phrase
    for byte in range(256):
        if _lower(byte) in known:
            classes[byte] = 1 + known.index(_lower(byte))
    moves = np.zeros((1 + sum(map(len, spellings)), 1 + len(known)), np.int32)
    ends = np.zeros((len(moves), 3), np.int32)
    count = 1
    for phrase, numbers in sorted(spellings.items()):
        state = 0
        for byte in phrase:
            if not moves[state, classes[byte]]:
                moves[state, classes[byte]] = count
                count += 1
            state = moves[state, classes[byte]]
        ends[state] = numbers
    moves, ends = moves[:count], ends[:count]
    # Breadth first: where a state has no move, it has that of the longest suffix that is a state.
    fails = np.zeros(count, np.int32)
    waiting = deque(int(s) for s in moves[0] if s)
    while waiting:
        state = waiting.popleft()
        fail = fails[state]
        ends[state] = np.where(ends[state], ends[state], ends[fail])
        for at in range(moves.shape[1]):
            following = moves[state, at]
            if following:
                fails[following] = moves[fail, at]
                waiting.append(int(following))
            else:
                moves[state, at] = moves[fail, at]
    return Automaton(classes, moves, ends, ends.any(axis=1))


def _lower(byte: int) -> int:
    return byte + 32 if 0x41 <= byte <= 0x5A else byte


@kernel
def count_phrases(data: np.ndarray, offsets: np.ndarray, automaton: Automaton) -> np.ndarray:
    """Count the phrases of each document.

    Of phrases of one list that end at the same place, the longest counts. Lines of more than 160
    characters are paragraphs, and not boilerplate.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].
        automaton: the phrases.

    Returns:
        int64 [len(Phrase), documents].
    """
    classes, moves, ends, found = automaton
    counts = np.zeros((_ROWS, len(offsets) - 1), np.int64)
    last = np.full(ends[:, Phrase.SPAM].max() + 1, -1, np.int64)
    for document in range(len(offsets) - 1):
        start, end = offsets[document], offsets[document + 1]
        state, marked = 0, start
        for at in range(start, end):
            state = moves[state, classes[data[at]]]
            if not found[state]:
                continue
            # The line of a phrase counts once; what is before `marked` has been looked at.
            if ends[state, Phrase.BOILERPLATE] and at >= marked:
                first, marked = at, at
                while first > start and data[first - 1] != _LINE_FEED:
                    first -= 1
                while marked < end and data[marked] != _LINE_FEED:
                    marked += 1
                characters = 0
                for i in range(first, marked):
                    characters += data[i] & 0xC0 != 0x80
                if characters <= _LONGEST_MARKED:
                    counts[Phrase.BOILERPLATE, document] += characters
            spam = ends[state, Phrase.SPAM]
            if spam:
                counts[Phrase.SPAM, document] += 1
                if last[spam] != document:
                    last[spam] = document
                    counts[Phrase.DIFFERENT_SPAM, document] += 1
            counts[Phrase.PITCH, document] += ends[state, Phrase.PITCH] != 0
    return counts
