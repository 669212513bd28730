"""Intervals and tests: shares, means, differences in pairs, and many comparisons at once.

Intervals are of 95 % throughout. Every interval of a difference agrees with its test: it excludes 0
exactly where the p-value is below 5 %.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

# The 97.5 % quantile of the standard normal distribution.
Z = 1.959964
_ALPHA = 0.05
_POWER = 0.8
_BISECTIONS = 60  # halves an interval of width 2 down to the last bit of a double


def t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - _ALPHA / 2))


def _t_p_value(statistic: float, freedom: int) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(statistic)))


def wilson(right: float, items: float, z: float = Z) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927).

    Args:
        right: how many.
        items: of how many, more than none.
        z: quantile, if another than the normal one.
    """
    share = right / items
    middle = share + z**2 / (2 * items)
    half = z * math.sqrt(share * (1 - share) / items + z**2 / (4 * items**2))
    scale = 1 + z**2 / items
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if right == 0 else (middle - half) / scale
    high = 1.0 if right == items else (middle + half) / scale
    return max(0.0, low), min(1.0, high)


def standard_error(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> tuple[float, int]:
    """Return the standard error of a mean, and the degrees of freedom of the t that it goes with.

    Questions about one passage succeed and fail together. Told apart by their clusters, deviations
    are added up within each before they are squared (Liang and Zeger 1986; Miller 2024, arXiv
    2411.00640, section 2.2).

    Args:
        values: one per item; not a number of an error (NaN) for fewer than two items or clusters.
        clusters: the cluster of each item; by default every item is one of its own.
    """
    n = len(values)
    mean = math.fsum(values) / n
    sums: dict[Hashable, float] = defaultdict(float)
    for key, value in zip(range(n) if clusters is None else clusters, values, strict=True):
        sums[key] += value - mean
    groups = len(sums)
    if groups < 2:
        return math.nan, 0
    squares = math.fsum(s * s for s in sums.values())
    return math.sqrt(groups / (groups - 1) * squares) / n, groups - 1


def mean_interval(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of a mean score.

    Scores that are right or wrong get Wilson's interval; in clusters, for the number of independent
    items that would give the same standard error (Korn and Graubard 1998). Other scores get
    Student's t.

    Args:
        values: one score per item, at least two.
        clusters: the cluster of each item, if items depend on each other.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if not {*values} <= {0.0, 1.0}:
        error, freedom = standard_error(values, clusters)
        half = t_quantile(freedom) * error if freedom else math.inf
        return mean - half, mean + half
    if clusters is None:
        return wilson(math.fsum(values), n)
    error, freedom = standard_error(values, clusters)
    if not freedom:
        return 0.0, 1.0
    # All right or all wrong says nothing about dependence: each cluster counts once.
    items = min(n, mean * (1 - mean) / error**2) if error else freedom + 1
    return wilson(mean * items, items, t_quantile(freedom))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided mid-p value of McNemar's test, an exact sign test.

    Under equality each item on which exactly one is right falls to either side with probability
    1/2. The observed table counts half, which keeps the level near 5 % where the plain exact test
    stays far below it (Fagerland, Lydersen and Laake 2013).

    Args:
        only_first: items that only the first has right.
        only_second: items that only the second has right.
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    term, below = 1, 0
    for k in range(fewer):
        below += term
        term = term * (n - k) // (k + 1)
    return min(1.0, (2 * below + term) / 2**n)


def _bisect(function: Callable[[float], float], low: float, high: float, target: float) -> float:
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > target else (low, middle)
    return (low + high) / 2


def tango(only_first: int, only_second: int, items: int) -> tuple[float, float]:
    """Return the 95 % score interval of the difference of two paired shares (Tango 1998).

    Args:
        only_first: items that only the first has right.
        only_second: items that only the second has right.
        items: all items, at least one.

    Returns:
        Of the second share minus the first.
    """
    gained = only_second - only_first

    def score(difference: float) -> float:
        # With the likeliest share of items that only the first has right, given the difference.
        b = (2 * items - gained) * difference - only_first - only_second
        c = -only_first * difference * (1 - difference)
        lost = (math.sqrt(max(0.0, b * b - 8 * items * c)) - b) / (4 * items)
        variance = items * (2 * lost + difference * (1 - difference))
        distance = gained - items * difference
        if variance <= 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / math.sqrt(variance)

    middle = gained / items
    return _bisect(score, -1.0, middle, Z), _bisect(score, middle, 1.0, -Z)


@dataclass(frozen=True)
class Difference:
    """Second minus first.

    Attributes:
        items: questions.
        first: mean score of the first model.
        second: mean score of the second.
        only_first: questions on which the first scores higher.
        only_second: questions on which the second scores higher.
        low: lower end of the 95 % interval.
        high: upper end.
        p_value: probability of a difference at least as large if the models were equal.
        test: how the p-value was found.
    """

    items: int
    first: float
    second: float
    only_first: int
    only_second: int
    low: float
    high: float
    p_value: float
    test: str

    @property
    def value(self) -> float:
        return self.second - self.first

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the difference."""
        return self.low, self.high


def compare_pairs(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
) -> Difference:
    """Compare scores of the same questions, in the same order.

    Two models mostly succeed and fail on the same questions, so the error of a difference is that
    of the per-question differences, which is smaller than what two separate errors would suggest
    (Miller 2024, arXiv 2411.00640, section 4.2). Answers that are right or wrong get Tango's
    interval and McNemar's mid-p value; other scores, and questions in clusters, a paired t-test.

    Args:
        first: one number per question (or per seed, of the same seeds).
        second: as many.
        clusters: the cluster of each question, if questions depend on each other.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    n = len(differences)
    up, down = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    means = sum(first) / n, sum(second) / n
    binary = {*first, *second} <= {0.0, 1.0}
    error, freedom = standard_error(differences, clusters)
    if binary and (clusters is None or not error > 0):
        # Clusters that all moved alike have no error of their own; each then counts as one item.
        scale = 1.0 if clusters is None else len({*clusters}) / n
        ups, downs, items = round(up * scale), round(down * scale), max(1, round(n * scale))
        low, high = tango(downs, ups, items)
        p_value, test = mcnemar(downs, ups), "McNemar, mid-p"
        if p_value >= _ALPHA:
            # The two disagree in a few tables (4 against 0): the test holds.
            low, high = min(low, 0.0), max(high, 0.0)
    else:
        test = "paired t" if clusters is None else "paired t, clustered"
        mean = math.fsum(differences) / n
        if error > 0:
            half = t_quantile(freedom) * error
            p_value = _t_p_value(mean / error, freedom)
        else:  # one item, or all differences the same: with signs by chance, two of 2^n cases
            p_value = 0.5 ** (n - 1) if abs(mean) > 0 else 1.0  # of a mean that is no number, too
            half = 0.0 if p_value < _ALPHA or (mean == 0 and n > 1) else math.inf
        low, high = mean - half, mean + half
    return Difference(n, *means, down, up, low, high, p_value, test)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979), in the order given.

    Of twenty comparisons of equal models, one would otherwise be "significant" at 5 %.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def deviation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the standard deviation of paired differences; not a number for a single pair."""
    return standard_error([b - a for a, b in zip(first, second, strict=True)])[0] * math.sqrt(
        len(first)
    )


def detectable_effect(pairs: int, spread: float) -> float:
    """Return the smallest mean difference that so many pairs find four times in five.

    `(t_0.975 + t_0.8) s / sqrt(n)`, the usual approximation of 80 % power at a two-sided level of
    5 %; by the noncentral t it finds 77 of 100 with three pairs, 78 with four.

    Args:
        pairs: at least two.
        spread: standard deviation of the differences.
    """
    from scipy.special import stdtrit

    quantiles = t_quantile(pairs - 1) + float(stdtrit(pairs - 1, _POWER))
    return quantiles * spread / math.sqrt(pairs)


def pairs_needed(effect: float, spread: float) -> int:
    """Return how many pairs find a mean difference four times in five (`detectable_effect`)."""
    from scipy.special import ndtri

    # A normal's quantiles are smaller than those of any t, so that it needs fewer.
    fewest = ((Z + float(ndtri(_POWER))) * spread / effect) ** 2
    pairs = max(2, int(fewest)) if math.isfinite(fewest) else 2
    while detectable_effect(pairs, spread) > effect:
        pairs += 1
    return pairs


Verdict = Literal["better", "worse", "no difference", "undecided"]


def judge(
    difference: Difference, p_value: float, smallest: float, higher_is_better: bool
) -> Verdict:
    """Say what a difference comes to.

    Args:
        difference: second minus first.
        p_value: of it, corrected for the number of comparisons.
        smallest: difference that would matter, above 0.
        higher_is_better: of the two.

    Returns:
        `no difference` if the whole interval lies closer to 0 than what would matter, whether or
        not it excludes 0; else `better` or `worse` if the p-value is below 5 %; else `undecided`.
    """
    low, high = difference.interval()
    if -smallest < low and high < smallest:
        return "no difference"
    if p_value >= _ALPHA:
        return "undecided"
    return "better" if (difference.value > 0) == higher_is_better else "worse"
