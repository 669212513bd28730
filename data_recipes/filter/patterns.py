"""Many phrases searched for at once: an Aho-Corasick automaton over bytes, walked by kernels.

Aho and Corasick 1975, "Efficient string matching". ASCII letters match in either case; other
letters as they are written in the list, in lower case, in upper case and with a capital first.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from ..text.kernels import kernel

_LINE_FEED = 0x0A
# Longer lines are paragraphs, which may speak of a phrase. Our choice.
_LONGEST_MARKED = 160


@dataclass(frozen=True)
class Automaton:
    """An automaton.

    Attributes:
        moves: next state by state and byte, int32 [states, 256].
        found: whether a phrase ends in a state, bool [states].
    """

    moves: np.ndarray
    found: np.ndarray


def build(phrases: list[str]) -> Automaton:
    """The automaton that finds `phrases`; an empty phrase is an error of the caller."""
    spellings = {
        bytes(b + 32 if 0x41 <= b <= 0x5A else b for b in written.encode())
        for phrase in phrases
        for written in (phrase, phrase.lower(), phrase.upper(), phrase.capitalize())
    }
    states = 1 + sum(map(len, spellings))
    moves = np.zeros((states, 256), np.int32)
    found = np.zeros(states, bool)
    count = 1
    for phrase in sorted(spellings):
        state = 0
        for byte in phrase:
            if not moves[state, byte]:
                moves[state, byte] = count
                count += 1
            state = moves[state, byte]
        found[state] = True
    moves, found = moves[:count], found[:count]
    # Breadth first: where a state has no move, it has that of the longest suffix that is a state.
    fails = np.zeros(count, np.int32)
    waiting = deque(int(s) for s in moves[0] if s)
    while waiting:
        state = waiting.popleft()
        fail = fails[state]
        found[state] |= found[fail]  # a state ends whatever its suffixes end
        for byte in range(256):
            following = moves[state, byte]
            if following:
                fails[following] = moves[fail, byte]
                waiting.append(int(following))
            else:
                moves[state, byte] = moves[fail, byte]
    return Automaton(moves, found)


def marked_characters(data: np.ndarray, offsets: np.ndarray, automaton: Automaton) -> np.ndarray:
    """Characters of the lines that hold a phrase, line ends left out, int64 [documents].

    Lines of more than 160 characters are paragraphs, and do not count.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].
        automaton: the phrases, with no line end in them.
    """
    return _marked(data, offsets, automaton.moves, automaton.found)


def count_phrases(
    data: np.ndarray, offsets: np.ndarray, automaton: Automaton
) -> tuple[np.ndarray, np.ndarray]:
    """Count the phrases of each document: all of them, and the different ones; int64 [documents].

    Of phrases that end at the same place, the longest counts.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].
        automaton: the phrases.
    """
    return _count(data, offsets, automaton.moves, automaton.found)


@kernel(inline="always")
def _lower(byte: int) -> int:
    return byte + 32 if 0x41 <= byte <= 0x5A else byte


@kernel
def _marked(
    data: np.ndarray, offsets: np.ndarray, moves: np.ndarray, found: np.ndarray
) -> np.ndarray:
    marked = np.zeros(len(offsets) - 1, np.int64)
    for document in range(len(marked)):
        state, characters, hit = 0, 0, False
        for at in range(offsets[document], offsets[document + 1]):
            byte = data[at]
            if byte == _LINE_FEED:
                if hit and characters <= _LONGEST_MARKED:
                    marked[document] += characters
                state, characters, hit = 0, 0, False
                continue
            characters += byte & 0xC0 != 0x80
            state = moves[state, _lower(byte)]
            hit |= found[state]
        if hit and characters <= _LONGEST_MARKED:
            marked[document] += characters
    return marked


@kernel
def _count(
    data: np.ndarray, offsets: np.ndarray, moves: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    every = np.zeros(len(offsets) - 1, np.int64)
    different = np.zeros(len(offsets) - 1, np.int64)
    last = np.full(len(found), -1, np.int64)
    for document in range(len(every)):
        state = 0
        for at in range(offsets[document], offsets[document + 1]):
            state = moves[state, _lower(data[at])]
            if found[state]:
                every[document] += 1
                if last[state] != document:
                    last[state] = document
                    different[document] += 1
    return every, different
