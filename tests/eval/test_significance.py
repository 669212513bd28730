"""Differences with known answers."""

import math
import random

import pytest

from eval.significance import compare_pairs, holm


def test_right_and_wrong_by_hand() -> None:
    # Of 20 questions, 6 only the second has right, 1 only the first, 8 both, 5 none.
    first = [0.0] * 6 + [1.0] + [1.0] * 8 + [0.0] * 5
    second = [1.0] * 6 + [0.0] + [1.0] * 8 + [0.0] * 5
    found = compare_pairs(first, second)
    assert (found.only_first, found.only_second, found.items) == (1, 6, 20)
    assert found.value == pytest.approx(0.25)
    assert found.stderr == pytest.approx(math.sqrt((7 - 20 * 0.25**2) / 19 / 20))
    # Seven coins: none or one on the other side, twice.
    assert found.p_value == pytest.approx(2 * (1 + 7) / 2**7)
    assert found.test == "McNemar, exact"


def test_other_scores_get_a_normal_test() -> None:
    found = compare_pairs([0.1, 0.5, 0.9, 0.2], [0.3, 0.5, 1.0, 0.5])
    mean, stderr = 0.15, math.sqrt((0.05**2 + 0.15**2 + 0.05**2 + 0.15**2) / 3 / 4)
    assert (found.value, found.stderr) == pytest.approx((mean, stderr))
    assert found.p_value == pytest.approx(math.erfc(mean / stderr / math.sqrt(2)))
    assert found.test == "paired normal"
    assert compare_pairs([0.2, 0.5], [0.2, 0.5]).p_value == 1.0


def test_equal_models_are_rarely_called_different() -> None:
    rng = random.Random(0)
    below = 0
    for _ in range(400):
        pairs = [(float(rng.random() < 0.5), float(rng.random() < 0.5)) for _ in range(60)]
        below += compare_pairs(*zip(*pairs)).p_value < 0.05
    assert 0 < below <= 0.05 * 400 + 3 * math.sqrt(400 * 0.05 * 0.95)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
