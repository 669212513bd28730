"""Intervals and tests with known answers, and that they hold what "95 %" and "5 %" say."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from data_recipes.common.statistics import (
    Z,
    compare_pairs,
    detectable_effect,
    deviation,
    holm,
    judge,
    mcnemar,
    mean_interval,
    pairs_needed,
    standard_error,
    tango,
    wilson,
)

# Simulated intervals: a coverage of 95 % is seen as 93 to 97 % in 2,000 draws, 4 standard errors.
_DRAWS = 2_000


def _coverage(draw: Callable[[], bool], draws: int = _DRAWS) -> float:
    return sum(draw() for _ in range(draws)) / draws


def test_wilson_by_hand() -> None:
    # For 8 of 10 (Brown, Cai and DasGupta 2001).
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    # None of n: the upper end is z^2 / (n + z^2).
    assert wilson(0, 6) == (0, pytest.approx(Z**2 / (6 + Z**2)))
    assert wilson(10, 10)[1] == 1
    assert mean_interval([1.0] * 8 + [0.0] * 2) == wilson(8, 10)


def test_tango_and_mcnemar_by_hand() -> None:
    # Tango 1998, table 3: 12 and 2 discordant of 44, and 9 and 2 turned into a share of 20 items.
    statistic = (12 - 2) / math.sqrt(12 + 2)
    low, high = tango(2, 12, 44)
    assert statistic > Z and low > 0 and low < 10 / 44 < high
    # At the ends of the interval the score statistic is z; for no discordant pair it is known.
    assert tango(0, 0, 40) == pytest.approx((-(Z**2) / (40 + Z**2), Z**2 / (40 + Z**2)))
    assert tango(3, 8, 50) == pytest.approx(tuple(-end for end in reversed(tango(8, 3, 50))))
    # Seven coins, one on the other side: half of the table itself counts.
    assert mcnemar(1, 6) == mcnemar(6, 1) == pytest.approx(2 * (1 + 7 / 2) / 2**7)
    assert mcnemar(0, 0) == 1 and mcnemar(3, 3) == pytest.approx(1)


def test_right_and_wrong_by_hand() -> None:
    # Of 20 questions, 6 only the second has right, 1 only the first, 8 both, 5 none.
    first = [0.0] * 6 + [1.0] + [1.0] * 8 + [0.0] * 5
    second = [1.0] * 6 + [0.0] + [1.0] * 8 + [0.0] * 5
    found = compare_pairs(first, second)
    assert (found.only_first, found.only_second, found.items) == (1, 6, 20)
    assert found.value == pytest.approx(0.25)
    assert found.interval() == tango(1, 6, 20) and found.p_value == mcnemar(1, 6)
    assert found.test == "McNemar, mid-p"


def test_other_scores_get_a_paired_t_test() -> None:
    found = compare_pairs([0.1, 0.5, 0.9, 0.2], [0.3, 0.5, 1.0, 0.5])
    mean, error = 0.15, math.sqrt((0.05**2 + 0.15**2 + 0.05**2 + 0.15**2) / 3 / 4)
    # 97.5 % of t with 3 degrees of freedom, from a printed table.
    assert found.interval() == pytest.approx(
        (mean - 3.18245 * error, mean + 3.18245 * error), abs=1e-5
    )
    # Of 3 degrees of freedom t has a closed form.
    angle = math.atan(mean / error / math.sqrt(3))
    p_value = 1 - 2 / math.pi * (angle + math.sin(angle) * math.cos(angle))
    assert found.p_value == pytest.approx(p_value) and found.test == "paired t"
    assert compare_pairs([0.2, 0.5], [0.2, 0.5]).p_value == 1.0
    assert compare_pairs([0.2], [0.5]).interval() == (-math.inf, math.inf)


def test_interval_and_test_say_the_same() -> None:
    for up in range(25):
        for down in range(25):
            first = [0.0] * up + [1.0] * down + [1.0] * 10
            second = [1.0] * up + [0.0] * down + [1.0] * 10
            found = compare_pairs(first, second)
            assert (found.low <= 0 <= found.high) == (found.p_value >= 0.05), (up, down)
    # Equal answers to few questions are no proof of equal models.
    low, high = compare_pairs([1.0] * 40, [1.0] * 40).interval()
    assert low < -0.05 and high > 0.05


def test_clustered_errors_by_hand() -> None:
    # Two passages of two questions; deviations of -0.5 -0.5 and 0.5 0.5 add up to -1 and 1.
    values, passages = [0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"]
    assert standard_error(values, passages) == (pytest.approx(math.sqrt(2 * 2) / 4), 1)
    assert standard_error(values) == (pytest.approx(math.sqrt(1 / 3 / 4)), 3)
    assert mean_interval(values, ["a"] * 4) == (0, 1)  # one passage says nothing
    wide, narrow = mean_interval([1.0] * 40, [i // 4 for i in range(40)]), wilson(40, 40)
    assert wide[0] < narrow[0]


@pytest.mark.parametrize(("items", "share"), [(40, 0.3), (80, 0.5), (126, 0.25), (500, 0.9)])
def test_a_share_is_covered(items: int, share: float) -> None:
    rng = np.random.default_rng(items)

    def draw() -> bool:
        low, high = wilson(int(rng.binomial(items, share)), items)
        return low <= share <= high

    assert 0.93 <= _coverage(draw) <= 0.97


@pytest.mark.parametrize(
    ("items", "share", "gain", "loss"),
    [(40, 0.3, 0.05, 0.2), (40, 0.5, 0.2, 0.2), (126, 0.25, 0.1, 0.3), (500, 0.5, 0.1, 0.1)],
)
def test_a_difference_of_pairs_is_covered(
    items: int, share: float, gain: float, loss: float
) -> None:
    rng = np.random.default_rng(items)
    true = (1 - share) * gain - share * loss
    rejected = 0

    def draw() -> bool:
        nonlocal rejected
        before = rng.random(items) < share
        after = np.where(before, rng.random(items) >= loss, rng.random(items) < gain)
        found = compare_pairs(before.astype(float).tolist(), after.astype(float).tolist())
        rejected += found.p_value < 0.05
        return found.low <= true <= found.high

    assert 0.93 <= _coverage(draw) <= 0.97
    assert true != 0 or rejected <= 0.07 * _DRAWS


@pytest.mark.parametrize(("passages", "questions"), [(20, 5), (24, 20)])
def test_clusters_are_covered(passages: int, questions: int) -> None:
    rng = np.random.default_rng(passages)
    clusters = np.repeat(np.arange(passages), questions).tolist()
    false = 0

    def draw() -> bool:
        nonlocal false
        effect = np.repeat(rng.normal(0, 1, passages), questions)
        base = rng.normal(0, 1, passages * questions)
        first, second = (base > 0).astype(float).tolist(), (base + effect > 0).astype(float)
        found = compare_pairs(first, second.tolist(), clusters)
        false += found.p_value < 0.05
        return found.low <= 0 <= found.high

    draws = 1_000
    assert 0.93 <= _coverage(draw, draws) <= 0.97 and false <= 0.07 * draws

    def draw_share() -> bool:
        easy = np.repeat(rng.normal(0, 1, passages), questions)
        right = rng.normal(0, 1, passages * questions) + easy > 0
        low, high = mean_interval(right.astype(float).tolist(), clusters)
        return low <= 0.5 <= high

    assert 0.93 <= _coverage(draw_share, draws) <= 0.97


@pytest.mark.parametrize("items", [5, 10, 42])
def test_a_mean_of_few_is_covered(items: int) -> None:
    rng = np.random.default_rng(items)

    def draw() -> bool:
        low, high = mean_interval(rng.normal(7, 2, items).tolist())
        return low <= 7 <= high

    assert 0.93 <= _coverage(draw) <= 0.97


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_the_deviation_of_pairs_is_that_of_their_differences() -> None:
    first, second = [1.0, 2.0, 4.0, 3.0], [1.5, 2.1, 4.4, 3.9]
    differences = np.subtract(second, first)
    assert deviation(first, second) == pytest.approx(differences.std(ddof=1))
    assert math.isnan(deviation([1.0], [2.0]))


@pytest.mark.parametrize("pairs", [3, 4, 6, 8, 20])
def test_the_detectable_effect_is_found_four_times_in_five(pairs: int) -> None:
    from scipy import stats

    effect = detectable_effect(pairs, 0.5)
    # The power of the two-sided paired t, exactly: the noncentral t.
    shift, limit = effect / (0.5 / pairs**0.5), stats.t.ppf(0.975, pairs - 1)
    power = 1 - stats.nct.cdf(limit, pairs - 1, shift) + stats.nct.cdf(-limit, pairs - 1, shift)
    assert 0.76 < power < 0.81
    assert detectable_effect(2, 1.0) == pytest.approx((12.7062 + 1.3764) / 2**0.5, rel=1e-4)
    assert pairs_needed(effect * 1.0001, 0.5) == pairs
    assert pairs_needed(effect * 0.9, 0.5) > pairs


def test_as_many_pairs_are_said_as_are_needed() -> None:
    for effect, spread in ((0.02, 0.0077), (0.02, 0.05), (0.02, 0.616), (0.001, 3.0)):
        pairs = pairs_needed(effect, spread)
        assert detectable_effect(pairs, spread) <= effect < detectable_effect(pairs - 1, spread)
    assert pairs_needed(0.02, 0.616) == 7448  # not the thousand that a search ended at
    assert pairs_needed(0.02, 0.0) == pairs_needed(1.0, 0.001) == 2


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        ([0.90, 0.91, 0.89, 0.90], "better"),
        ([1.10, 1.11, 1.09, 1.10], "worse"),
        ([1.003, 0.998, 1.001, 1.000], "no difference"),
        # Surely not the same, and surely too little to matter.
        ([1.010, 1.0101, 1.0099, 1.010], "no difference"),
        ([0.90, 1.20, 0.95, 1.05], "undecided"),
    ],
)
def test_verdicts(second: list[float], verdict: str) -> None:
    first = [1.0] * 4
    difference = compare_pairs(first, second)
    assert judge(difference, difference.p_value, 0.02, higher_is_better=False) == verdict
    turned = {"better": "worse", "worse": "better"}
    assert judge(difference, difference.p_value, 0.02, higher_is_better=True) == turned.get(
        verdict, verdict
    )
    if verdict == "better":  # many comparisons may leave nothing of it
        assert judge(difference, 0.06, 0.02, higher_is_better=False) == "undecided"


def test_a_run_that_diverged_decides_nothing() -> None:
    found = compare_pairs([1.0] * 6, [1.0] * 5 + [math.nan])
    assert found.p_value == 1.0
    for higher in (True, False):
        assert judge(found, found.p_value, 0.02, higher_is_better=higher) == "undecided"
