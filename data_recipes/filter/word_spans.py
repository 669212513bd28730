"""Words as spans of bytes, and what the kernels need of each: a hash, a length, flags."""

from dataclasses import dataclass

import numpy as np

from ..text.kernels import kernel
from ..text.words import decode
from .characters import ALPHA, HANGUL, PUNCTUATION, SPACE, character_table

# Words are hashed as polynomials over the prime field of 2**61 - 1 (Karp and Rabin 1987), so that
# the hash of words written together follows from theirs. The base is any number; below 2**32, one
# multiplication is two of the machine's. It is prime.
_PRIME = np.uint64(2**61 - 1)
_BASE = np.uint64(3_186_245_429)
_LOW_32, _LOW_31, _LOW_30, _LOW_29 = (np.uint64(2**n - 1) for n in (32, 31, 30, 29))
# Powers of the base held in a table, for words of fewer bytes.
_POWERS = 256

SYMBOLS_ONLY, HAS_ALPHA, HAS_HANGUL = 1, 2, 4


@dataclass(frozen=True)
class Spans:
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


@dataclass(frozen=True)
class Measured:
    """What the kernels need of each word.

    Attributes:
        hashes: of its bytes, uint64 [words], below 2**61 - 1.
        powers: base to the power of its bytes, uint64 [words].
        lengths: characters, int64 [words].
        flags: SYMBOLS_ONLY, HAS_ALPHA, HAS_HANGUL, uint8 [words].
    """

    hashes: np.ndarray
    powers: np.ndarray
    lengths: np.ndarray
    flags: np.ndarray


def whitespace_spans(data: np.ndarray, offsets: np.ndarray) -> Spans:
    """Words between white space, as `str.split` cuts them.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each text starts, int64 [texts + 1].
    """
    return Spans(data, *_split(data, offsets, character_table()))


def word_spans(texts: list[list[str]]) -> Spans:
    """Words that something else has found, by text."""
    words = [word.encode() for own in texts for word in own]
    ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), dtype=np.int64)
    bounds = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(own) for own in texts], out=bounds[1:])
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if words else ends
    return Spans(np.frombuffer(b"".join(words), np.uint8), starts, ends, bounds)


def measure_words(spans: Spans) -> Measured:
    """Hash, length and flags of every word."""
    return Measured(*_measure(spans.data, spans.starts, spans.ends, character_table()))


def word_hash(word: str) -> int:
    """The hash that `measure_words` gives a word."""
    value = 0
    for byte in word.encode():
        value = (value * int(_BASE) + byte + 1) % int(_PRIME)
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


@kernel(inline="always")
def _reduce(value: np.uint64) -> np.uint64:
    value = (value & _PRIME) + (value >> np.uint64(61))
    return value - _PRIME if value >= _PRIME else value


@kernel(inline="always")
def times(a: np.uint64, b: np.uint64) -> np.uint64:
    """Product of two numbers below 2**61 - 1, modulo 2**61 - 1."""
    a_high, a_low = a >> np.uint64(31), a & _LOW_31
    b_high, b_low = b >> np.uint64(31), b & _LOW_31
    middle = a_low * b_high + a_high * b_low
    return _reduce(
        a_high * b_high * np.uint64(2)
        + (middle >> np.uint64(30))
        + ((middle & _LOW_30) << np.uint64(31))
        + a_low * b_low
    )


@kernel(inline="always")
def plus(a: np.uint64, b: np.uint64) -> np.uint64:
    """Sum of two numbers below 2**61 - 1, modulo 2**61 - 1."""
    total = a + b
    return total - _PRIME if total >= _PRIME else total


@kernel(inline="always")
def _append(value: np.uint64, byte: np.uint64) -> np.uint64:
    # value * 2**32 is a rotation of 61 bits.
    high = (value >> np.uint64(32)) * _BASE
    high = ((high & _LOW_29) << np.uint64(32)) + (high >> np.uint64(29))
    # At most 2**61 + 2**32 + 2**61 + 8: no overflow, and one step of `_reduce` is enough.
    low = (value & _LOW_32) * _BASE
    low = (low & _PRIME) + (low >> np.uint64(61))
    return _reduce(high + low + byte + np.uint64(1))


@kernel
def _measure(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count = len(starts)
    hashes = np.empty(count, np.uint64)
    powers = np.empty(count, np.uint64)
    lengths = np.empty(count, np.int64)
    flags = np.empty(count, np.uint8)
    known = np.empty(_POWERS, np.uint64)
    known[0] = np.uint64(1)
    for i in range(1, _POWERS):
        known[i] = times(known[i - 1], _BASE)
    for word in range(count):
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
                value = _append(value, np.uint64(data[i]))
            every &= entry
            some |= entry
            length += 1
        hashes[word] = value
        lengths[word] = length
        size = end - starts[word]
        if size < _POWERS:
            powers[word] = known[size]
        else:
            power = known[_POWERS - 1]
            for _ in range(size - _POWERS + 1):
                power = times(power, _BASE)
            powers[word] = power
        own = 0
        if every & PUNCTUATION:
            own |= SYMBOLS_ONLY
        if some & ALPHA:
            own |= HAS_ALPHA
        if some & HANGUL:
            own |= HAS_HANGUL
        flags[word] = own
    return hashes, powers, lengths, flags
