"""Many phrases searched for at once: an Aho-Corasick automaton over bytes, walked by kernels.

Aho and Corasick 1975, "Efficient string matching". ASCII letters match in either case; other
letters as they are written in the list, in lower case, in upper case and with a capital first.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from ..text.kernels import kernel
from ..text.words import decode
from .characters import ALPHA, NUMBER, character_table

_LINE_FEED = 0x0A
# How much of a phrase's surroundings is looked at.
ANYWHERE, WORD_START, WHOLE_WORD = 0, 1, 2


@dataclass(frozen=True)
class Automaton:
    """An automaton.

    Attributes:
        moves: next state by state and byte, int32 [states, 256].
        found: bytes of the longest phrase that ends in a state, 0 for none, int64 [states].
        shorter: state of the next shorter phrase that ends in a state, 0 for none, int32 [states].
    """

    moves: np.ndarray
    found: np.ndarray
    shorter: np.ndarray


def build(phrases: list[str]) -> Automaton:
    """The automaton that finds `phrases`; an empty phrase is an error of the caller."""
    spellings = {
        bytes(b + 32 if 0x41 <= b <= 0x5A else b for b in written.encode())
        for phrase in phrases
        for written in (phrase, phrase.lower(), phrase.upper(), phrase.capitalize())
    }
    states = 1 + sum(map(len, spellings))
    moves = np.zeros((states, 256), np.int32)
    found = np.zeros(states, np.int64)
    count = 1
    for phrase in sorted(spellings):
        state = 0
        for byte in phrase:
            if not moves[state, byte]:
                moves[state, byte] = count
                count += 1
            state = moves[state, byte]
        found[state] = len(phrase)
    moves, found = moves[:count], found[:count]
    # Breadth first: where a state has no move, it has that of the longest suffix that is a state.
    fails = np.zeros(count, np.int32)
    shorter = np.zeros(count, np.int32)
    waiting = deque(int(s) for s in moves[0] if s)
    while waiting:
        state = waiting.popleft()
        fail = fails[state]
        shorter[state] = fail if found[fail] else shorter[fail]
        for byte in range(256):
            following = moves[state, byte]
            if following:
                fails[following] = moves[fail, byte]
                waiting.append(int(following))
            else:
                moves[state, byte] = moves[fail, byte]
    # A state ends whatever its suffixes end.
    for state in range(count):
        if not found[state] and shorter[state]:
            found[state], shorter[state] = found[shorter[state]], shorter[shorter[state]]
    return Automaton(moves, found, shorter)


def marked_characters(data: np.ndarray, offsets: np.ndarray, automaton: Automaton) -> np.ndarray:
    """Characters of the lines that hold a phrase, line ends left out, int64 [documents].

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].
        automaton: the phrases, with no line end in them.
    """
    return _marked(data, offsets, automaton.moves, automaton.found)


def count_phrases(
    data: np.ndarray, offsets: np.ndarray, automaton: Automaton, where: int
) -> np.ndarray:
    """Occurrences of the phrases, int64 [documents]; at most one that ends at the same place.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].
        automaton: the phrases.
        where: ANYWHERE; WORD_START: with no letter or digit before; WHOLE_WORD: nor after.
    """
    return _occurrences(
        data,
        offsets,
        automaton.moves,
        automaton.found,
        automaton.shorter,
        where,
        character_table(),
    )


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
                if hit:
                    marked[document] += characters
                state, characters, hit = 0, 0, False
                continue
            characters += byte & 0xC0 != 0x80
            state = moves[state, _lower(byte)]
            hit |= found[state] != 0
        if hit:
            marked[document] += characters
    return marked


@kernel
def _word_before(data: np.ndarray, start: int, at: int, table: np.ndarray) -> bool:
    if at == start:
        return False
    at -= 1
    while at > start and data[at] & 0xC0 == 0x80:
        at -= 1
    return table[decode(data, at, len(data))[0]] & (ALPHA | NUMBER) != 0


@kernel
def _occurrences(
    data: np.ndarray,
    offsets: np.ndarray,
    moves: np.ndarray,
    found: np.ndarray,
    shorter: np.ndarray,
    where: int,
    table: np.ndarray,
) -> np.ndarray:
    counts = np.zeros(len(offsets) - 1, np.int64)
    for document in range(len(counts)):
        start, end = offsets[document], offsets[document + 1]
        state = 0
        for at in range(start, end):
            state = moves[state, _lower(data[at])]
            if not found[state]:
                continue
            after = False
            if where == WHOLE_WORD and at + 1 < end:
                after = table[decode(data, at + 1, end)[0]] & (ALPHA | NUMBER) != 0
            ending = state
            while ending and not after:
                head = at + 1 - found[ending]
                if where == ANYWHERE or not _word_before(data, start, head, table):
                    counts[document] += 1
                    break
                ending = shorter[ending]
    return counts
