"""Suffix arrays against sorting, and matches against `in`."""

import numpy as np
import pytest

from data_recipes.text.suffixes import find_range, longest_matches, sort_suffixes


@pytest.mark.parametrize("values", [1, 2, 4, 200])
def test_suffixes_are_sorted(values: int) -> None:
    rng = np.random.default_rng(values)
    for size in (0, 1, 2, 3, 10, 50, 300):
        for _ in range(10):
            s = rng.integers(0, values, size).astype(np.int32)
            by_sorting = sorted(range(size), key=lambda i: s[i:].tolist())
            assert sort_suffixes(s, values).tolist() == by_sorting


def test_long_repeats_are_sorted() -> None:
    s = np.array([1, 2, 1, 2, 3] * 200 + [1, 2, 1, 2] * 200, np.int32)
    by_sorting = sorted(range(len(s)), key=lambda i: s[i:].tolist())
    assert sort_suffixes(s, 3).tolist() == by_sorting


def test_matches_are_those_of_a_search() -> None:
    rng = np.random.default_rng(1)
    text = bytes(rng.integers(97, 100, 400).tolist())
    array = np.frombuffer(text, np.uint8)
    suffixes = sort_suffixes(array.astype(np.int32), 255).astype(np.uint32)
    for _ in range(50):
        query = bytes(rng.integers(97, 101, 30).tolist())  # a letter that the text has not
        begins = np.arange(30)
        lengths = longest_matches(array, suffixes, np.frombuffer(query, np.uint8), begins)
        for begin, length in zip(begins.tolist(), lengths.tolist()):
            assert query[begin : begin + length] in text
            longer = begin + length + 1
            assert longer > len(query) or query[begin:longer] not in text
    for size in (1, 2, 5, 9):
        wanted = text[100 : 100 + size]
        low, high = find_range(array, suffixes, np.frombuffer(wanted, np.uint8))
        places = [i for i in range(len(text)) if text.startswith(wanted, i)]
        assert sorted(suffixes[low:high].tolist()) == places
    low, high = find_range(array, suffixes, np.frombuffer(b"ad", np.uint8))
    assert low == high
