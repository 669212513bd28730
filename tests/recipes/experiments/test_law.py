"""A law that was planted is found, and its interval holds it."""

import numpy as np
import pytest

from data_recipes.common.errors import RecipeError
from recipes.experiments.law import Point, fit_law, predict

FLOOR, ALPHA, BETA = 0.9, 0.35, 0.45


def planted(parameters: float, tokens: float) -> float:
    return FLOOR + 0.4 * (parameters / 3e5) ** -ALPHA + 0.5 * (tokens / 4e5) ** -BETA


def ladder(noise: float, seed: int = 0, sizes: int = 5, runs: int = 2) -> list[Point]:
    """Sizes, each a few times, measured four times; a run errs as a whole and at each point."""
    random, points = np.random.default_rng(seed), []
    for size in (1e5, 2e5, 4e5, 8e5, 1.6e6)[:sizes]:
        for run in range(runs):
            own = random.normal() * noise
            for tokens in np.array([1, 2, 4, 8]) * 5e10 / size:
                loss = planted(size, tokens) * np.exp(own + random.normal() * noise / 2)
                points.append(Point(f"{size} {run}", size, tokens, loss))
    return points


def test_a_planted_law_is_recovered() -> None:
    law = fit_law(ladder(0.0))
    assert law.floor == pytest.approx(FLOOR, rel=0.01)
    assert law.alpha == pytest.approx(ALPHA, rel=0.01)
    assert law.beta == pytest.approx(BETA, rel=0.01)
    assert law.untold() == []
    assert law(3e5, 4e5) == pytest.approx(FLOOR + 0.4 + 0.5, rel=0.001)


def test_numbers_that_the_points_do_not_tell_are_named() -> None:
    points = ladder(0.0, runs=1)
    falling = [Point(p.run, p.parameters, p.tokens, p.tokens**-0.5) for p in points]
    assert fit_law(falling).untold() == ["E", "alpha"]
    size = {p.run: planted(p.parameters, 1e9) for p in points}
    flat = [Point(p.run, p.parameters, p.tokens, size[p.run]) for p in points]
    assert fit_law(flat).untold() == ["beta"]


def test_what_lies_far_beyond_the_rungs_is_predicted() -> None:
    # 30 times the FLOPs of any rung (8 x 5e10 x 6), with seeds that differ by 0.3 %.
    size, tokens = 4e6, 30 * 4e11 / 4e6
    truth = planted(size, tokens)
    held = 0
    for seed in range(3):
        _, (value, low, high) = predict(ladder(0.003, seed), size, tokens)
        assert value == pytest.approx(truth, rel=0.01)
        assert low < value < high and (high - low) / value < 0.1
        held += low < truth < high
    assert held >= 2
    _, (value, low, high) = predict(ladder(0.0), size, tokens)
    assert high - low < 1e-3 * value  # without noise, no doubt


def test_the_interval_is_that_of_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the rungs forty points tell the law well; one more is off as far as each of them."""
    monkeypatch.setattr("recipes.experiments.law._RESAMPLED", 60)
    random, noise = np.random.default_rng(3), 0.01
    points = [
        Point(p.run, p.parameters, p.tokens, p.loss * np.exp(random.normal() * noise))
        for p in ladder(0.0)
    ]
    _, (value, low, high) = predict(points, 4e5, 3e5)
    assert (high - low) / value > 3 * noise


def test_too_few_sizes_are_refused() -> None:
    with pytest.raises(RecipeError, match="8 measurements of 1 sizes and 4 lengths"):
        fit_law([p for p in ladder(0.0) if p.parameters == 1e5])


def test_few_runs_say_how_little_they_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four sizes, one run of each hardly says how far runs err; three say nothing of it."""
    monkeypatch.setattr("recipes.experiments.law._RESAMPLED", 40)
    size, tokens, held, widths = 2e6, 30 * 4e11 / 2e6, {1: 0, 2: 0}, {1: [], 2: []}
    for runs in (1, 2):
        for seed in range(8):
            _, (value, low, high) = predict(ladder(0.003, seed, 4, runs), size, tokens)
            held[runs] += low < planted(size, tokens) < high
            widths[runs].append((high - low) / value)
    assert held[1] == 8 and held[2] >= 7
    assert np.median(widths[1]) > 3 * np.median(widths[2])
    with pytest.raises(RecipeError, match="of 3 sizes and 6 lengths .* at least 4 sizes"):
        predict(ladder(0.003, 0, 3, 2), size, tokens)
