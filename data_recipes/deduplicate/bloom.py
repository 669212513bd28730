"""The Bloom filter: its size, its bits, and its life on disk."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import RecipeError
from ..common.files import disk_full_is_an_error, write_json_atomically
from ..text.kernels import kernel
from ..text.words import GOLDEN, mix, words_version

HEADER = "filter.json"
FORMAT = 1
_WORD = 64
# What a stored filter is good for; the rest of the header is for the reader.
_MUST_MATCH = ("format", "ngram_size", "hash_version", "word_table")


def false_positive_rate(bits: int, ngrams: int, hashes: int) -> float:
    """Chance that a filter of `bits` with `ngrams` in it takes a new n-gram for a known one."""
    return (-math.expm1(hashes * ngrams * math.log1p(-1 / bits))) ** hashes


def best_hashes(bits: int, ngrams: int) -> int:
    """Hashes per n-gram: ceil(bits / n-grams * ln 2), as in DCLM's BFF."""
    return max(1, math.ceil(bits / ngrams * math.log(2)))


@dataclass(frozen=True)
class FilterShape:
    """Size of a filter.

    Attributes:
        words: 64-bit words.
        hashes: bits per n-gram.
    """

    words: int
    hashes: int

    @property
    def bytes(self) -> int:
        return self.words * 8

    @staticmethod
    def of(ngrams: int, rate: float) -> "FilterShape":
        """The smallest filter that keeps to `rate` with `ngrams` in it, found as DCLM's BFF does.

        For a rate of 0.01 that is 9.6 bits an n-gram and 7 hashes.
        """
        ngrams = max(1, ngrams)

        def rate_of(words: int) -> float:
            bits = words * _WORD
            return false_positive_rate(bits, ngrams, best_hashes(bits, ngrams))

        high = 1
        while rate_of(high) > rate:
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if rate_of(middle) > rate else (low, middle)
        return FilterShape(high, best_hashes(high * _WORD, ngrams))

    def check_memory(self, ngrams: int, rate: float, memory_gb: float, filters: int) -> None:
        """Refuse a filter that is larger than the budget.

        Args:
            ngrams: what it is for.
            rate: what it is for.
            memory_gb: the budget, in 1e9 bytes.
            filters: number of filters that share the text.

        Raises:
            RecipeError: names what it takes, and what would do.
        """
        if self.bytes <= memory_gb * 1e9:
            return
        bits = max(_WORD, int(memory_gb * 1e9) * 8)
        fitting = false_positive_rate(bits, ngrams, best_hashes(bits, ngrams))
        more = math.ceil(filters * self.bytes / (memory_gb * 1e9))
        raise RecipeError(
            f"deduplicate: a filter for {ngrams:,} n-grams at a false-positive rate of {rate:g} "
            f"takes {self.bytes / 1e9:,.3f} GB, and memory_gb is {memory_gb:,.3f}. Give it that "
            f"much (memory_gb={math.ceil(self.bytes / 1e6) / 1e3}); or share the shards over "
            f"{more} filters (filters={more}; duplicates across their shards then stay); or allow "
            f"a higher rate (false_positive_rate={math.ceil(fitting * 1e3) / 1e3:g} would fit)"
        )


@kernel
def _place(value: np.uint64, bits: np.uint64) -> np.uint64:
    """`value` of 2**64 scaled to `bits`: the upper half of their product, without a division."""
    low32, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    value_low, value_high = value & low32, value >> half
    bits_low, bits_high = bits & low32, bits >> half
    middle = value_high * bits_low + ((value_low * bits_low) >> half)
    carry = value_low * bits_high + (middle & low32)
    return value_high * bits_high + (middle >> half) + (carry >> half)


@kernel
def _stride(ngram: np.uint64) -> np.uint64:
    # Double hashing (Kirsch and Mitzenmacher 2006) in place of `hashes` hash functions.
    return mix(ngram + GOLDEN) | np.uint64(1)


@kernel
def contains(words: np.ndarray, hashes: int, ngram: np.uint64) -> bool:
    """Whether an n-gram (a hash, all bits mixed) is in the filter."""
    bits = np.uint64(len(words)) << np.uint64(6)
    stride = _stride(ngram)
    for _ in range(hashes):
        place = _place(ngram, bits)
        if not (words[place >> np.uint64(6)] >> (place & np.uint64(63))) & np.uint64(1):
            return False
        ngram += stride
    return True


@kernel
def insert(words: np.ndarray, hashes: int, ngram: np.uint64) -> int:
    """Put an n-gram in; returns how many bits that set."""
    bits = np.uint64(len(words)) << np.uint64(6)
    stride = _stride(ngram)
    changed = 0
    for _ in range(hashes):
        place = _place(ngram, bits)
        bit = np.uint64(1) << (place & np.uint64(63))
        word = words[place >> np.uint64(6)]
        if not word & bit:
            words[place >> np.uint64(6)] = word | bit
            changed += 1
        ngram += stride
    return changed


def _count_bits(words: np.ndarray) -> int:
    step = 2**20
    parts = (words[at : at + step] for at in range(0, len(words), step))
    return sum(int(np.bitwise_count(part).sum(dtype=np.int64)) for part in parts)


class BloomFilter:
    """A filter in memory.

    Attributes:
        words: its bits, uint64 [words].
        hashes: bits per n-gram.
        ngram_size: words of text in an n-gram.
        expected: n-grams that it was sized for.
        inserted: n-grams put in, each time counted.
        bits_set: bits that are set.

    Args:
        shape: its size.
        ngram_size: as above.
        expected: as above.
    """

    def __init__(self, shape: FilterShape, ngram_size: int, expected: int) -> None:
        self.words = np.zeros(shape.words, np.uint64)
        self.hashes = shape.hashes
        self.ngram_size = ngram_size
        self.expected = expected
        self.inserted = 0
        self.bits_set = 0

    @property
    def fill(self) -> float:
        """Share of bits that are set."""
        return self.bits_set / (len(self.words) * _WORD)

    @property
    def rate(self) -> float:
        """Chance, now, that it takes a new n-gram for a known one: fill to the power of hashes."""
        return self.fill**self.hashes

    def header(self) -> dict[str, Any]:
        """What describes it: parameters, versions of what it depends on, and what it holds."""
        return {
            "format": FORMAT,
            "ngram_size": self.ngram_size,
            **words_version(),
            "words": len(self.words),
            "hashes": self.hashes,
            "expected_ngrams": self.expected,
            "inserted_ngrams": self.inserted,
            "bits_set": self.bits_set,
            "fill": self.fill,
            "false_positive_rate": self.rate,
        }

    def save(self, directory: Path, **notes: Any) -> None:
        """Write it; whoever reads sees the old one or the new one, whole.

        Args:
            directory: gets a header, `filter.json`, and the bits beside it.
            notes: go into the header.

        Raises:
            RecipeError: the disk is full.
        """
        directory.mkdir(parents=True, exist_ok=True)
        old = _read_header(directory)["bits"] if (directory / HEADER).is_file() else None
        name = "bits-1.npy" if old == "bits-0.npy" else "bits-0.npy"
        with disk_full_is_an_error(directory / name):
            with (directory / name).open("wb") as file:
                np.save(file, self.words)
                file.flush()
                os.fsync(file.fileno())
            write_json_atomically(directory / HEADER, {**self.header(), "bits": name, **notes})
        if old is not None:
            (directory / old).unlink(missing_ok=True)

    @staticmethod
    def load(
        directory: Path, ngram_size: int, memory_gb: float
    ) -> tuple["BloomFilter", dict[str, Any]]:
        """Read a filter and its header.

        Args:
            directory: where it was saved.
            ngram_size: what it will be used for.
            memory_gb: memory it may take, in 1e9 bytes.

        Raises:
            RecipeError: missing, damaged, too large, or made with other n-grams, another hash or
                another version of Unicode.
        """
        header = _read_header(directory)
        wanted = {"format": FORMAT, "ngram_size": ngram_size, **words_version()}
        for key in _MUST_MATCH:
            if header.get(key) != wanted[key]:
                raise RecipeError(
                    f"{directory}: this filter has {key} {header.get(key)!r}, the run needs "
                    f"{wanted[key]!r} (regex {header.get('regex')} made it, {wanted['regex']} is "
                    "installed); make it again, or install and set what it was made with"
                )
        if header["words"] * 8 > memory_gb * 1e9:
            raise RecipeError(
                f"{directory}: this filter takes {header['words'] * 8 / 1e9:,.3f} GB, and "
                f"memory_gb is {memory_gb:,.3f}; raise it"
            )
        shape = FilterShape(header["words"], header["hashes"])
        bloom = BloomFilter.__new__(BloomFilter)
        bloom.words = _read_bits(directory / header["bits"], shape.words, header["bits_set"])
        bloom.hashes, bloom.ngram_size = shape.hashes, ngram_size
        bloom.expected, bloom.inserted = header["expected_ngrams"], header["inserted_ngrams"]
        bloom.bits_set = header["bits_set"]
        return bloom, header


def _read_header(directory: Path) -> dict[str, Any]:
    path = directory / HEADER
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: missing or damaged filter ({error})") from error


def _read_bits(path: Path, words: int, bits_set: int) -> np.ndarray:
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise RecipeError(f"{path}: missing or damaged filter ({error})") from error
    # The number of bits set is a checksum that costs nothing to keep.
    if array.dtype != np.uint64 or array.shape != (words,) or _count_bits(array) != bits_set:
        raise RecipeError(f"{path}: damaged filter: its bits are not those that were saved")
    return array
