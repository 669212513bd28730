"""A law of loss over parameters and tokens, with an interval for what it predicts.

`E + A N^-alpha + B D^-beta` (Hoffmann et al. 2022, arXiv 2203.15556, section 3.3), fitted to the
logarithm with Huber's loss as there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_recipes.common.errors import RecipeError
from data_recipes.common.statistics import Z, t_quantile

_HUBER = 1e-3  # as in Hoffmann et al.
_STEEPEST = 2.0  # of the exponents; published ones lie between 0.2 and 0.6
_NEAR = 0.01  # what lies so near to a bound lies at it
_RESAMPLED = 200
# At least. Of three sizes, the law goes through all that they say of it, and an interval held the
# truth three times in four (two seeds, simulated), of four eleven times in twelve.
_SIZES = 4
_LENGTHS = 3  # fewer leave a line through two points
_PARAMETERS = 5
_BETWEEN_RUNS = 3  # of them: the floor, and the two of the size, which is one in a run


@dataclass(frozen=True)
class Point:
    """A measurement.

    Attributes:
        run: what it was measured in; its points err together.
        parameters: N, FLOPs per token over 6, so that the head counts and the embedding does not.
        tokens: D, seen so far.
        loss: above 0.
    """

    run: str
    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class Law:
    """The law's numbers, for N and D in units of `parameters` and `tokens`.

    Attributes:
        floor: E.
        of_parameters: A.
        alpha: exponent of N.
        of_tokens: B.
        beta: exponent of D.
        parameters: unit of N.
        tokens: unit of D.
    """

    floor: float
    of_parameters: float
    alpha: float
    of_tokens: float
    beta: float
    parameters: float
    tokens: float

    def __call__(self, parameters: float, tokens: float) -> float:
        """Loss of so many parameters after so many tokens."""
        scaled = self.of_parameters * (parameters / self.parameters) ** -self.alpha
        return self.floor + scaled + self.of_tokens * (tokens / self.tokens) ** -self.beta

    def untold(self) -> list[str]:
        """Name the numbers that the fit left at a bound, for its points do not tell them."""
        exponents = {"alpha": self.alpha, "beta": self.beta}
        found = [k for k, v in exponents.items() if not _NEAR < v < _STEEPEST - _NEAR]
        return (["E"] if self.floor < _NEAR * self.of_tokens else []) + found


def _minimise(
    size: np.ndarray, length: np.ndarray, logs: np.ndarray, starts: Sequence[Sequence[float]]
) -> np.ndarray:
    """Return the best `log E, log A, alpha, log B, beta`, found from some starts."""
    from scipy.optimize import least_squares

    def residuals(theta: np.ndarray) -> np.ndarray:
        e, a, alpha, b, beta = theta
        return np.log(np.exp(e) + np.exp(a - alpha * size) + np.exp(b - beta * length)) - logs

    bounds = ([-20, -20, 0, -20, 0], [20, 20, _STEEPEST, 20, _STEEPEST])
    fits = [
        least_squares(residuals, start, bounds=bounds, loss="huber", f_scale=_HUBER, x_scale=0.1)
        for start in starts
    ]
    return min(fits, key=lambda fit: fit.cost).x


def _starts(logs: np.ndarray) -> list[tuple[float, ...]]:
    lowest = float(logs.min())
    rest = [(e, a, b) for e in (0.5, 0.9) for a in (0.05, 0.3) for b in (0.05, 0.3)]
    return [
        (lowest + np.log(e), lowest + np.log(a), alpha, lowest + np.log(b), beta)
        for (e, a, b), alpha, beta in itertools.product(rest, (0.3, 0.8), (0.3, 0.8))
    ]


def fit_law(points: Sequence[Point]) -> Law:
    """Fit the law.

    Raises:
        RecipeError: too few sizes or lengths to tell one law from another.
    """
    sizes, lengths = {p.parameters for p in points}, {p.tokens for p in points}
    if len(sizes) < _SIZES or len(lengths) < _LENGTHS or len(points) <= _PARAMETERS:
        raise RecipeError(
            f"rungs: {len(points)} measurements of {len(sizes)} sizes and {len(lengths)} lengths "
            f"cannot hold a law of {_PARAMETERS} numbers; give at least {_SIZES} sizes and "
            f"{_LENGTHS} lengths (logging.eval_every_tokens measures more often)"
        )
    size, length, logs, units = _scaled(points)
    return _law(_minimise(size, length, logs, _starts(logs)), units)


def _scaled(
    points: Sequence[Point],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]:
    """Logarithms of N and D about their middle, and of the loss."""
    size, length, logs = np.log([[p.parameters, p.tokens, p.loss] for p in points]).T
    middle = size.mean(), length.mean()
    return size - middle[0], length - middle[1], logs, (np.exp(middle[0]), np.exp(middle[1]))


def _law(theta: np.ndarray, units: tuple[float, float]) -> Law:
    e, a, alpha, b, beta = map(float, theta)
    return Law(np.exp(e), np.exp(a), alpha, np.exp(b), beta, *map(float, units))


def predict(points: Sequence[Point], parameters: float, tokens: float) -> tuple[Law, list[float]]:
    """Fit the law, and predict with a 95 % interval.

    The interval is that of a wild bootstrap: whatever a run's points are off by keeps its size and
    gets a random sign, the same for the whole run (Cameron, Gelbach and Miller 2008), and one such
    error of a single point is added for the target's own. It holds if the law does; how far one may
    go beyond the rungs it cannot say.

    Args:
        points: of the rungs.
        parameters: N of the target.
        tokens: D of the target.

    Returns:
        The law, and what it predicts: value, low, high.
    """
    law = fit_law(points)
    size, length, logs, units = _scaled(points)
    runs = {run: i for i, run in enumerate(dict.fromkeys(p.run for p in points))}
    of = np.array([runs[p.run] for p in points])
    free = len(runs) - _BETWEEN_RUNS
    fitted = np.log([law(p.parameters, p.tokens) for p in points])
    # As the residuals of a fit are smaller than errors, those of whole runs the more.
    residuals = logs - fitted
    whole = (np.bincount(of, residuals) / np.bincount(of))[of]
    errors = whole * np.sqrt(len(runs) / free)
    errors += (residuals - whole) * np.sqrt(len(points) / (len(points) - _PARAMETERS))
    own = np.log([law.floor, law.of_parameters, law.of_tokens])
    start = [(own[0], own[1], law.alpha, own[2], law.beta)]
    random, drawn = np.random.default_rng(0), []
    for _ in range(_RESAMPLED):
        signs = random.choice([-1.0, 1.0], len(runs))
        again = _law(_minimise(size, length, fitted + signs[of] * errors, start), units)
        drawn.append(again(parameters, tokens) * np.exp(random.choice(errors)))
    value = law(parameters, tokens)
    # A normal's quantiles are too near for an error that few runs tell.
    wider = t_quantile(free) / Z
    low, high = value * (np.quantile(drawn, [0.025, 0.975]) / value) ** wider
    return law, [value, float(low), float(high)]
