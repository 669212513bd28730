"""Are two models different? The same questions answered by both, compared in pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Two standard errors either side of a normal distribution's mean.
Z = 1.96


@dataclass(frozen=True)
class Difference:
    """Second minus first.

    Attributes:
        items: questions.
        first: mean score of the first model.
        second: mean score of the second.
        only_first: questions on which the first scores higher.
        only_second: questions on which the second scores higher.
        stderr: of the difference, in pairs.
        p_value: probability of a difference at least as large if the models were equal.
        test: how the p-value was found.
    """

    items: int
    first: float
    second: float
    only_first: int
    only_second: int
    stderr: float
    p_value: float
    test: str

    @property
    def value(self) -> float:
        return self.second - self.first

    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference."""
        return self.value - Z * self.stderr, self.value + Z * self.stderr


def compare_pairs(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare scores of the same questions, in the same order.

    Two models mostly succeed and fail on the same questions, so the error of a difference is that
    of the per-question differences, which is smaller than what two separate errors would suggest
    (Miller 2024, arXiv 2411.00640, section 4.2). Answers that are right or wrong are tested with
    McNemar's test (1947) in its exact form: under equality, each question on which exactly one is
    right falls to either side with probability 1/2; no large-sample assumption is needed. Other
    scores get a normal test on the mean of the differences.

    Args:
        first: one number per question.
        second: as many.
    """
    from scipy.stats import binomtest

    differences = [b - a for a, b in zip(first, second, strict=True)]
    n = len(differences)
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1) if n > 1 else math.nan
    stderr = math.sqrt(variance / n)
    up, down = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    if {*first, *second} <= {0.0, 1.0}:
        test = "McNemar, exact"
        p_value = float(binomtest(up, up + down, 0.5).pvalue) if up + down else 1.0
    else:
        test = "paired normal"
        if stderr > 0:
            p_value = math.erfc(abs(mean) / stderr / math.sqrt(2))
        else:  # all differences are the same: with signs by chance, two of 2^n cases
            p_value = 1.0 if mean == 0 else 0.5 ** (n - 1)
    return Difference(n, sum(first) / n, sum(second) / n, down, up, stderr, p_value, test)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979), in the order given.

    Of twenty comparisons of equal models, one would otherwise be "significant" at 5 %.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected
