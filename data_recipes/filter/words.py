"""Words of documents: where they lie, a hash of each, and counts by a language's own lists."""

from typing import NamedTuple

import numpy as np

from ..text.kernels import kernel
from ..text.words import GOLDEN, decode, mix
from .characters import ALPHA, HANGUL, NUMBER, PUNCTUATION, SPACE, character_table, head

# Words are hashed as polynomials in their bytes, modulo 2**64, so that the hash of words written
# together follows from theirs. Powers of the base are held in a table, for words of fewer bytes.
_POWERS = 256

SYMBOLS_ONLY, HAS_ALPHA, HAS_HANGUL = 1, 2, 4
_FULL_STOP, _QUESTION, _EXCLAMATION = 0x2E, 0x3F, 0x21


class WordSpans(NamedTuple):
    """Words of some texts, in order.

    Attributes:
        data: the buffer they lie in, uint8.
        starts: byte where each starts, int64 [words].
        ends: byte after its last, int64 [words].
        bounds: first word of each text, int64 [texts + 1].
    """

    data: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    bounds: np.ndarray


class WordMeasures(NamedTuple):
    """What the kernels need of each word, and counts by text.

    Attributes:
        hashes: of its bytes, uint64 [words].
        powers: base to the power of its bytes, uint64 [words].
        lengths: characters, int64 [words].
        flags: SYMBOLS_ONLY, HAS_ALPHA, HAS_HANGUL, uint8 [words].
        counts: by text: words with something besides symbols, their characters, words with a
            letter; int64 [3, texts].
    """

    hashes: np.ndarray
    powers: np.ndarray
    lengths: np.ndarray
    flags: np.ndarray
    counts: np.ndarray


def whitespace_spans(data: np.ndarray, offsets: np.ndarray) -> WordSpans:
    """Words between white space, as `str.split` cuts them.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each text starts, int64 [texts + 1].
    """
    return WordSpans(data, *_split(data, offsets, character_table()))


def word_spans(texts: list[list[str]]) -> WordSpans:
    """Words that something else has found, by text."""
    words = [word.encode() for own in texts for word in own]
    ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), dtype=np.int64)
    bounds = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(own) for own in texts], out=bounds[1:])
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if words else ends
    return WordSpans(np.frombuffer(b"".join(words), np.uint8), starts, ends, bounds)


def measure_words(spans: WordSpans) -> WordMeasures:
    """Hash, length and flags of every word, and counts of each text."""
    return WordMeasures(*_measure(spans, character_table()))


def word_hash(word: str) -> int:
    """The hash that `measure_words` gives a word."""
    value = 0
    for byte in word.encode():
        value = (value * int(GOLDEN) + byte + 1) % 2**64
    return value


@kernel
def _split(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    texts = len(offsets) - 1
    # As many as there can be; memory that is never written to is never taken. Arrays that grow in
    # the loop would make it four times as slow.
    room = (offsets[texts] - offsets[0]) // 2 + texts + 1
    starts = np.empty(room, np.int64)
    ends = np.empty(room, np.int64)
    bounds = np.empty(texts + 1, np.int64)
    started = ended = 0
    for text in range(texts):
        bounds[text] = started
        at, end = offsets[text], offsets[text + 1]
        was_space = 1
        while at < end:
            here = at
            # Apart, so that where the next one begins is foreseen and not waited for.
            if data[at] < 0x80:
                point, at = np.int64(data[at]), at + 1
            else:
                point, at = decode(data, at, end)
            space = np.int64(table[point]) & SPACE
            # No branches: where words begin and end is what a processor cannot foresee.
            starts[started] = here
            ends[ended] = here
            started += was_space & (space ^ 1)
            ended += (was_space ^ 1) & space
            was_space = space
        if ended < started:
            ends[ended] = end
            ended += 1
    bounds[texts] = started
    return starts[:started].copy(), ends[:started].copy(), bounds


@kernel
def _measure(
    spans: WordSpans, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data, starts, ends, bounds = spans
    count = len(starts)
    hashes = np.empty(count, np.uint64)
    powers = np.empty(count, np.uint64)
    lengths = np.empty(count, np.int64)
    flags = np.empty(count, np.uint8)
    counts = np.zeros((3, len(bounds) - 1), np.int64)
    known = np.empty(_POWERS, np.uint64)
    known[0] = np.uint64(1)
    for i in range(1, _POWERS):
        known[i] = known[i - 1] * GOLDEN
    text = 0
    for word in range(count):
        while bounds[text + 1] <= word:
            text += 1
        at, end = starts[word], ends[word]
        value = np.uint64(0)
        length = 0
        every = PUNCTUATION
        some = 0
        while at < end:
            here = at
            byte = data[at]
            if byte < 0x80:
                at += 1
                entry = np.int64(table[byte])
            else:
                point, at = decode(data, at, end)
                entry = np.int64(table[point])
            for i in range(here, at):
                value = value * GOLDEN + np.uint64(data[i]) + np.uint64(1)
            every &= entry
            some |= entry
            length += 1
        hashes[word] = value
        lengths[word] = length
        size = end - starts[word]
        power = known[min(size, _POWERS - 1)]
        for _ in range(size - _POWERS + 1):
            power *= GOLDEN
        powers[word] = power
        own = 0
        if every & PUNCTUATION:
            own |= SYMBOLS_ONLY
        else:
            counts[0, text] += 1
            counts[1, text] += length
        if some & ALPHA:
            own |= HAS_ALPHA
            counts[2, text] += 1
        if some & HANGUL:
            own |= HAS_HANGUL
        flags[word] = own
    return hashes, powers, lengths, flags, counts


def stop_word_table(words: list[str]) -> np.ndarray:
    """The hash table of a list without empty words: hashes, and 0 where it is empty.

    Returns:
        uint64 [a power of two].
    """
    size = 1 << (4 * len(words)).bit_length()
    keys = np.zeros(size, np.uint64)
    for word in set(words):
        key = np.uint64(word_hash(word))
        place = int(mix(key)) & (size - 1)
        while keys[place]:
            place = (place + 1) & (size - 1)
        keys[place] = key
    return keys


class Suffixes(NamedTuple):
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


def count_suffixed(
    spans: WordSpans, words: WordMeasures, suffixes: Suffixes, hangul: bool, last: bool = False
) -> np.ndarray:
    """Words that end in a suffix after something else, symbols behind them aside.

    Args:
        spans: the words.
        words: the same, measured.
        suffixes: the endings.
        hangul: look at words with Hangul alone; otherwise at those with a letter.
        last: look at the last words of sentences alone, those with `.`, `?` or `!` at their end.

    Returns:
        int64 [2, documents]: the words that were looked at, and those of them with a suffix.
    """
    wanted = HAS_HANGUL if hangul else HAS_ALPHA
    return _suffixed(spans, words.flags, suffixes, wanted, last, character_table())


@kernel
def find_words(hashes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Tell which words, as hashes, are in a table of `stop_word_table`, bool [words]."""
    found = np.zeros(len(hashes), np.bool_)
    mask = np.uint64(len(keys) - 1)
    for word in range(len(hashes)):
        place = mix(hashes[word]) & mask
        while keys[place] and keys[place] != hashes[word]:
            place = (place + np.uint64(1)) & mask
        found[word] = keys[place] != 0
    return found


@kernel
def count_stop_words(hashes: np.ndarray, bounds: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Count the different words of a table in each document, int64 [documents]."""
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
    spans: WordSpans,
    flags: np.ndarray,
    suffixes: Suffixes,
    wanted: int,
    last_only: bool,
    table: np.ndarray,
) -> np.ndarray:
    data, starts, ends, bounds = spans
    moves, complete = suffixes
    counts = np.zeros((2, len(bounds) - 1), np.int64)
    for document in range(len(bounds) - 1):
        for word in range(bounds[document], bounds[document + 1]):
            if not flags[word] & wanted:
                continue
            mark = data[ends[word] - 1]
            if last_only and mark != _FULL_STOP and mark != _QUESTION and mark != _EXCLAMATION:
                continue
            counts[0, document] += 1
            start, at = starts[word], ends[word]
            # Back over symbols to the last letter or digit.
            while at > start:
                last = head(data, start, at)
                if table[decode(data, last, at)[0]] & (ALPHA | NUMBER):
                    break
                at = last
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
