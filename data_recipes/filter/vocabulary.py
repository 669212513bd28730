"""Words of a document by a language's own lists: stop words, and endings where words take them."""

from dataclasses import dataclass

import numpy as np

from ..text.kernels import kernel
from ..text.words import decode, mix
from .characters import ALPHA, NUMBER, character_table
from .word_spans import HAS_ALPHA, HAS_HANGUL, SYMBOLS_ONLY, Measured, Spans, word_hash


@dataclass(frozen=True)
class StopWords:
    """A hash table of stop words.

    Attributes:
        keys: their hashes, 0 where the table is empty, uint64 [a power of two].
    """

    keys: np.ndarray


def stop_word_table(words: list[str]) -> StopWords:
    """The table of a list without empty words."""
    size = 1 << (4 * len(words)).bit_length()
    keys = np.zeros(size, np.uint64)
    for word in set(words):
        key = np.uint64(word_hash(word))
        place = int(mix(key)) & (size - 1)
        while keys[place]:
            place = (place + 1) & (size - 1)
        keys[place] = key
    return StopWords(keys)


@dataclass(frozen=True)
class Suffixes:
    """A trie of endings, read from their last byte to their first.

    Attributes:
        moves: next state by state and byte, 0 for none, int32 [states, 256].
        complete: whether a state is a whole ending, bool [states].
    """

    moves: np.ndarray
    complete: np.ndarray


def suffix_trie(suffixes: list[str]) -> Suffixes:
    """The trie of a list without empty endings."""
    moves = np.zeros((1 + sum(len(s.encode()) for s in suffixes), 256), np.int32)
    complete = np.zeros(len(moves), bool)
    count = 1
    for suffix in suffixes:
        state = 0
        for byte in reversed(suffix.encode()):
            if not moves[state, byte]:
                moves[state, byte] = count
                count += 1
            state = moves[state, byte]
        complete[state] = True
    return Suffixes(moves[:count], complete[:count])


def count_words(words: Measured, bounds: np.ndarray) -> np.ndarray:
    """Words by kind.

    Returns:
        int64 [4, documents]: words with something besides symbols, their characters, words with a
        letter, all words.
    """
    return _count(words.lengths, words.flags, bounds)


def count_stop_words(words: Measured, bounds: np.ndarray, stop: StopWords) -> np.ndarray:
    """Different stop words in each document, int64 [documents]."""
    return _stop_words(words.hashes, bounds, stop.keys)


def count_suffixed(spans: Spans, words: Measured, suffixes: Suffixes, hangul: bool) -> np.ndarray:
    """Words that end in a suffix after something else, symbols behind them aside.

    Args:
        spans: the words.
        words: the same, measured.
        suffixes: the endings.
        hangul: look at words with Hangul alone; otherwise at those with a letter.

    Returns:
        int64 [2, documents]: the words that were looked at, and those of them with a suffix.
    """
    wanted = HAS_HANGUL if hangul else HAS_ALPHA
    return _suffixed(
        spans.data,
        spans.starts,
        spans.ends,
        words.flags,
        spans.bounds,
        suffixes.moves,
        suffixes.complete,
        wanted,
        character_table(),
    )


@kernel
def _count(lengths: np.ndarray, flags: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    counts = np.zeros((4, len(bounds) - 1), np.int64)
    for document in range(len(bounds) - 1):
        for word in range(bounds[document], bounds[document + 1]):
            if not flags[word] & SYMBOLS_ONLY:
                counts[0, document] += 1
                counts[1, document] += lengths[word]
            counts[2, document] += flags[word] & HAS_ALPHA != 0
        counts[3, document] = bounds[document + 1] - bounds[document]
    return counts


@kernel
def _stop_words(hashes: np.ndarray, bounds: np.ndarray, keys: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(bounds) - 1, np.int64)
    last = np.full(len(keys), -1, np.int64)
    mask = np.uint64(len(keys) - 1)
    for document in range(len(counts)):
        for word in range(bounds[document], bounds[document + 1]):
            place = mix(hashes[word]) & mask
            while keys[place] and keys[place] != hashes[word]:
                place = (place + np.uint64(1)) & mask
            if keys[place] and last[place] != document:
                last[place] = document
                counts[document] += 1
    return counts


@kernel
def _suffixed(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    flags: np.ndarray,
    bounds: np.ndarray,
    moves: np.ndarray,
    complete: np.ndarray,
    wanted: int,
    table: np.ndarray,
) -> np.ndarray:
    counts = np.zeros((2, len(bounds) - 1), np.int64)
    for document in range(len(bounds) - 1):
        for word in range(bounds[document], bounds[document + 1]):
            if not flags[word] & wanted:
                continue
            counts[0, document] += 1
            start, at = starts[word], ends[word]
            # Back over symbols to the last letter or digit.
            while at > start:
                head = at - 1
                while head > start and data[head] & 0xC0 == 0x80:
                    head -= 1
                if table[decode(data, head, at)[0]] & (ALPHA | NUMBER):
                    break
                at = head
            state = 0
            while at > start:
                at -= 1
                state = moves[state, data[at]]
                if not state:
                    break
                if complete[state] and at > start:
                    counts[1, document] += 1
                    break
    return counts
