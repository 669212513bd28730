"""Search of a mixture: a swarm of small runs, a law of each target over the shares, its optimum.

As in Olmix and RegMix (arXiv 2407.01492): the law is `c + exp(t . shares)` (Ye et al. 2024, arXiv
2403.16952), so that the weighted sum of several is convex and has one optimum. As there, it is a
law of text of one kind: a mean over several kinds, each of which a larger share helps less and
less, is no single exponential, and the optimum of one that is fitted to it lies in a corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveFloat, field_validator, model_validator

from data_recipes.common.config_files import Strict
from data_recipes.common.errors import RecipeError

from ..config import PretrainingStage, StageConfig
from ..shared_config import Seed
from .config import BudgetConfig, ExperimentConfig, Overrides, Seeds, refuse_unused, settings_of
from .plan import plan_run
from .runs import Run

_DIGITS = 4  # of a share, as a mixture's cycle of 10,000 windows can hold it
_TRIES = 1000
_FOLDS = 8
_RESAMPLED = 200
# Proxies for each number of a law, at least: of runs that are drawn anew, a third is left out.
_PER_NUMBER = 2
# How far an optimum may be off, of the weighted sum and of what shares add up to. Our choice.
_FAR = 1e-5


class TargetConfig(Strict):
    """What the mixture is for.

    Attributes:
        weight: of the target in the sum that is made small.
        smallest: difference that would matter.
    """

    weight: float = Field(gt=0)
    smallest: float = Field(gt=0)


class ConfirmConfig(Strict):
    """The comparison of what was found with the prior.

    Attributes:
        seeds: of both.
        budget: of each run.
        smallest: difference of the weighted sum that would matter.
        shared: settings of both, in place of the proxies'.
    """

    seeds: Seeds = Field(min_length=2)
    budget: BudgetConfig
    smallest: float = Field(gt=0)
    shared: Overrides = {}


class SearchConfig(Strict):
    """A search.

    Attributes:
        question: that it answers.
        stages: of the size's recipes; the mixture is the last one's.
        output_dir: a folder per run, `mixture.yaml`, and the report.
        prior: shares that the swarm lies around; by default the recipe's.
        proxies: runs of the swarm.
        concentration: of the Dirichlet distribution; the larger, the nearer to the prior.
        tokens: of the run that the mixture is for; sets how often a source would be seen.
        max_epochs: a source is seen at most so often there.
        seed: of the swarm, and of initialisation and windows in all its runs.
        budget: of a proxy.
        shared: settings of the proxies: a smaller shape, above all.
        targets: measures (recipes/experiments/measures.py) that are better the lower they are.
        confirm: what was found against the prior.
        note: what the result cannot say.
    """

    question: str = Field(min_length=1)
    stages: list[PretrainingStage] = Field(min_length=1)
    output_dir: Path
    prior: dict[str, PositiveFloat] | None = None
    proxies: int = Field(gt=0)
    concentration: float = Field(gt=0)
    tokens: int = Field(gt=0)
    max_epochs: float = Field(default=4, gt=0)
    seed: Seed = 0
    budget: BudgetConfig
    shared: Overrides = {}
    targets: dict[str, TargetConfig] = Field(min_length=1)
    confirm: ConfirmConfig
    note: str = ""

    @field_validator("targets")
    @classmethod
    def _lower_is_better(cls, value: dict[str, TargetConfig]) -> dict[str, TargetConfig]:
        for name in value:
            if name.partition("/")[0] not in ("source_bits", "proxy"):
                raise ValueError(
                    f"{name}: give source_bits/SOURCE or proxy/TASK; a language's mean over "
                    "several sources follows no law of their shares"
                )
        return value

    @model_validator(mode="after")
    def _other_seeds(self) -> SearchConfig:
        if self.seed in self.confirm.seeds:
            raise ValueError(
                f"confirm.seeds: {self.seed} is the swarm's, on which the mixture is lucky; choose "
                "others"
            )
        for where, shared in {"shared": self.shared, "confirm.shared": self.confirm.shared}.items():
            refuse_unused(where, shared, self.stages)
            if "data.mixture" in settings_of(shared, self.stages[-1]):
                raise ValueError(f"{where}.data.mixture: is what is searched; give `prior` instead")
        return self

    def measures(self) -> list[str]:
        """Name what the targets are of, and what is reported beside them."""
        return list(dict.fromkeys([*(n.partition("/")[0] for n in self.targets), "bits_per_byte"]))

    def total(self, values: Sequence[Any]) -> Any:
        """Weigh values of the targets, in their order."""
        weights = [target.weight for target in self.targets.values()]
        return sum(w * v for w, v in zip(weights, values)) / sum(weights)


def recipe_of(config: SearchConfig, size: str) -> StageConfig:
    """Config of the stage whose mixture is searched."""
    place, layers = config.output_dir, [config.confirm.shared]
    run = plan_run(size, "prior", 0, place, config.stages, layers, config.confirm.budget)
    return run.cells[-1].config


def prior_of(config: SearchConfig, recipe: StageConfig) -> dict[str, float]:
    """Shares that the swarm lies around, adding up to 1."""
    given = config.prior or recipe.data.mixture
    return {name: share / sum(given.values()) for name, share in given.items()}


def caps_of(config: SearchConfig, recipe: StageConfig, prior: dict[str, float]) -> np.ndarray:
    """Largest share of each source that does not repeat it too often.

    Raises:
        RecipeError: a single source, missing shards, or sources that together are not enough.
    """
    if len(prior) < 2:
        raise RecipeError(f"prior: {', '.join(prior)} alone has one mixture; name two sources")
    from data_recipes.tokens.shards import read_manifest

    found = [read_manifest(recipe.data.shards / name / "train").tokens for name in prior]
    caps = np.minimum(1.0, config.max_epochs * np.array(found) / config.tokens)
    if caps.sum() <= 1:
        raise RecipeError(
            f"tokens: {config.tokens:,} are more than {config.max_epochs:g} epochs of all sources "
            f"({sum(found):,} tokens); lower it, or raise max_epochs"
        )
    return caps


def draw_swarm(config: SearchConfig, prior: dict[str, float], caps: np.ndarray) -> np.ndarray:
    """Draw the shares of all proxies, [proxies, sources]; the first is the prior, if it may be.

    Raises:
        RecipeError: too few proxies for so many sources, or caps that leave hardly anything of the
            distribution.
    """
    numbers = len(prior) + 1
    if config.proxies < _PER_NUMBER * numbers:
        raise RecipeError(
            f"proxies: {config.proxies} cannot hold laws of {numbers} numbers; give at least "
            f"{_PER_NUMBER * numbers}"
        )
    random = np.random.default_rng(config.seed)
    center = np.array(list(prior.values()))
    drawn = [center] if (center <= caps).all() else []
    for _ in range(_TRIES * config.proxies):
        if len(drawn) == config.proxies:
            return np.array(drawn)
        shares = random.dirichlet(config.concentration * center).round(_DIGITS)
        shares[shares.argmax()] += 1 - shares.sum()
        if (shares <= caps).all():
            drawn.append(shares.round(_DIGITS))
    tight = min(zip(caps - center, prior))[1]
    raise RecipeError(
        f"max_epochs: most mixtures around the prior repeat {tight} more often than "
        f"{config.max_epochs:g} times in {config.tokens:,} tokens; raise it, or the concentration"
    )


def _as_mixture(prior: dict[str, float], shares: np.ndarray) -> dict[str, float]:
    return {name: float(share) for name, share in zip(prior, shares) if share > 0}


def proxy_runs(
    config: SearchConfig, size: str, prior: dict[str, float], swarm: np.ndarray
) -> list[Run]:
    """Plan the swarm; all measure the prior's sources."""
    runs = []
    for number, shares in enumerate(swarm):
        name = f"proxy_{number:03d}"
        own = {config.stages[-1]: {"data.mixture": _as_mixture(prior, shares)}}
        layers = [{"data.heldout": list(prior)}, config.shared, own]
        place = config.output_dir / name
        runs.append(plan_run(size, name, config.seed, place, config.stages, layers, config.budget))
    return runs


def confirmation(
    config: SearchConfig, prior: dict[str, float], found: np.ndarray
) -> ExperimentConfig:
    """Make the experiment that compares what was found with the prior."""
    last = config.stages[-1]
    arms = {"prior": prior, "found": _as_mixture(prior, found)}
    return ExperimentConfig(
        question=f"Is the mixture that was found better than the prior? ({config.question})",
        stages=config.stages,
        output_dir=config.output_dir / "confirm",
        baseline="prior",
        arms={arm: {last: {"data.mixture": mixture}} for arm, mixture in arms.items()},
        seeds=config.confirm.seeds,
        budget=config.confirm.budget,
        shared={"data.heldout": list(prior)} | config.confirm.shared,
        measures=config.measures(),
        decide={name: target.smallest for name, target in config.targets.items()},
        note=config.note,
    )


def fit(shares: np.ndarray, values: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
    """Fit `c + exp(t . shares)`; returns `log c` and `t`.

    Args:
        shares: [runs, sources].
        values: [runs], above 0.
        near: a law to start from; several starts are tried without.
    """
    from scipy.optimize import least_squares

    def residuals(theta: np.ndarray) -> np.ndarray:
        return np.exp(theta[0]) + np.exp(shares @ theta[1:]) - values

    def slopes(theta: np.ndarray) -> np.ndarray:
        rising = np.exp(shares @ theta[1:])
        return np.column_stack([np.full(len(values), np.exp(theta[0])), rising[:, None] * shares])

    fits, lowest = [], values.min()
    top = np.append(np.log(lowest), np.full(shares.shape[1], 20.0))
    starts = [] if near is None else [near]
    for part in (0.3, 0.6, 0.9, 0.98) if near is None else ():
        own = np.linalg.lstsq(shares, np.log(values - part * lowest), rcond=None)[0]
        starts.append(np.append(np.log(part * lowest), own))
    for start in starts:
        fits.append(least_squares(residuals, start.clip(-20, top), slopes, bounds=(-20, top)))
    return min(fits, key=lambda found: found.cost).x


def value_of(law: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Evaluate a law at shares [..., sources]."""
    return np.exp(law[0]) + np.exp(shares @ law[1:])


def optimum(
    config: SearchConfig, laws: Sequence[np.ndarray], low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Find the shares with the lowest weighted sum of the targets.

    Args:
        config: of the search.
        laws: of the targets.
        low: least share of each source.
        high: largest.

    Raises:
        RecipeError: it was not found.
    """
    from scipy.optimize import minimize

    def total(shares: np.ndarray) -> float:
        return float(config.total([value_of(law, shares) for law in laws]))

    def slope(shares: np.ndarray) -> np.ndarray:
        return config.total([np.exp(shares @ law[1:]) * law[1:] for law in laws])

    start = low + (high - low) * (1 - low.sum()) / (high - low).sum()
    adds_up = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}
    found = minimize(
        total,
        start,
        jac=slope,
        method="SLSQP",
        bounds=list(zip(low, high)),
        constraints=[adds_up],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    best = np.clip(found.x, low, high)
    # What it says of itself is too strict (it may no longer find a step at the optimum), so that
    # its answer is looked at: a convex sum lies above its tangent.
    missing = _tangent_gap(slope(best), best, low, high)
    if abs(best.sum() - 1) > _FAR or not missing <= _FAR * total(best):
        raise RecipeError(
            f"no optimum of the laws was found ({found.message}): the weighted sum may be lower "
            f"by {missing:.2g}; give the swarm more proxies, or another seed"
        )
    return best


def _tangent_gap(slope: np.ndarray, best: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """How much lower than at `best` a convex function can be, by its slope there."""
    lowest, left = low.copy(), 1 - low.sum()
    for place in np.argsort(slope):
        lowest[place] += min(left, high[place] - low[place])
        left -= lowest[place] - low[place]
    return float(slope @ (best - lowest))


def rank_correlation(
    config: SearchConfig, shares: np.ndarray, values: np.ndarray
) -> dict[str, float]:
    """Spearman's correlation of what the law says of runs that it has not seen and what they are.

    Args:
        config: of the search.
        shares: [runs, sources].
        values: [runs, targets].

    Returns:
        By target, and of the weighted sum under `all`.
    """
    from scipy.stats import spearmanr

    order, said = np.random.default_rng(config.seed).permutation(len(shares)), np.zeros_like(values)
    for fold in range(_FOLDS):
        out = order[fold::_FOLDS]
        rest = np.setdiff1d(order, out)
        for target in range(values.shape[1]):
            # From starts of its own: the law of all runs has seen those that are left out.
            said[out, target] = value_of(fit(shares[rest], values[rest, target]), shares[out])
    found = {
        name: float(spearmanr(said[:, i], values[:, i])[0]) for i, name in enumerate(config.targets)
    }
    return found | {"all": float(spearmanr(config.total(said.T), config.total(values.T))[0])}


def search(
    config: SearchConfig,
    prior: dict[str, float],
    caps: np.ndarray,
    shares: np.ndarray,
    values: np.ndarray,
) -> dict[str, Any]:
    """Fit, find the optimum inside what the swarm has tried, and say how sure that is.

    Args:
        config: of the search.
        prior: by source.
        caps: largest share of each.
        shares: of the swarm, [runs, sources].
        values: of its targets, [runs, targets].

    Returns:
        `found`: shares; `low`, `high`: their 95 % interval, of runs drawn anew; `gain`: what the
        laws say the weighted sum falls by against the prior, with `gain_low`, `gain_high`;
        `correlation`: out of fold.
    """
    count, sources = shares.shape
    center = np.array(list(prior.values()))
    low, high = shares.min(0), np.minimum(shares.max(0), caps)
    whole = [fit(shares, values[:, i]) for i in range(values.shape[1])]

    def solve(laws: list[np.ndarray]) -> tuple[np.ndarray, float]:
        best = optimum(config, laws, low, high)
        gain = config.total([value_of(law, center) - value_of(law, best) for law in laws])
        return best, float(gain)

    found, gain = solve(whole)
    random, drawn = np.random.default_rng(config.seed), []
    while len(drawn) < _RESAMPLED:
        chosen = random.integers(count, size=count)
        if len({*chosen.tolist()}) > sources + 1:
            own = [fit(shares[chosen], values[chosen, i], law) for i, law in enumerate(whole)]
            drawn.append(solve(own))
    limits, gains = (np.quantile(own, [0.025, 0.975], axis=0) for own in zip(*drawn))
    rounded = found.round(_DIGITS)
    rounded[rounded.argmax()] += 1 - rounded.sum()
    return {
        "found": rounded.round(_DIGITS),
        "low": limits[0],
        "high": limits[1],
        "gain": gain,
        "gain_low": float(gains[0]),
        "gain_high": float(gains[1]),
        "correlation": rank_correlation(config, shares, values),
    }
