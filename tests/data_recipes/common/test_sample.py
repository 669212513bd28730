"""Bounded samples: those of the lowest hashes, whatever the order, by number or by weight."""

import random

import pytest

from data_recipes.common.sample import LowestHashes


@pytest.mark.parametrize("seed", range(3))
def test_the_lowest_hashes_are_kept_in_any_order(seed: int) -> None:
    numbers = list(range(0, 1000, 7)) + list(range(0, 1000, 35))  # some come again
    random.Random(seed).shuffle(numbers)
    sample: LowestHashes[str] = LowestHashes(20)
    for number in numbers:
        sample.add(number, str(number))
    assert sample.items() == [str(7 * n) for n in range(20)]


@pytest.mark.parametrize("seed", range(3))
def test_the_item_that_reaches_a_budget_of_weight_is_the_last(seed: int) -> None:
    weights = {value: value % 5 + 1 for value in range(100)}
    wanted, held = [], 0
    for value in range(100):
        if held >= 50:
            break
        wanted.append(value)
        held += weights[value]
    order = list(weights)
    random.Random(seed).shuffle(order)
    sample: LowestHashes[int] = LowestHashes(50)
    for value in order:
        assert sample.add(value, value, weights[value]) == (value in sample.held)
    assert sample.items() == wanted


def test_of_equal_hashes_the_first_counts() -> None:
    sample: LowestHashes[str] = LowestHashes(2)
    assert [sample.add(1, "first"), sample.add(1, "second"), sample.add(0, "other")] == [
        True,
        False,
        True,
    ]
    assert sample.items() == ["other", "first"]
