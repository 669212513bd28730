"""What an experiment consists of: runs, and the stages of each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.common.run_dir import check_settings
from data_recipes.tokens.manifest import read_manifest

from ..command_line import CONFIGS, parse_command_line
from ..config import StageConfig
from .config import BudgetConfig, ExperimentConfig, Overrides, settings_of

# As engine/handover.py names them, which loads torch: a plan does not.
FINAL, RECIPE = "final", "recipe.yaml"
# What a plan sets itself.
_OWN = ("data.seed", "logging.output_dir", "schedule.total_tokens")
# Bytes per token are counted over this many: a tenth of a per cent of what they are (our choice).
_COUNTED_TOKENS = 2**20


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a run.

    Attributes:
        stage: its name.
        recipe: below recipes/configs.
        overrides: of its command line.
        config: with them.
    """

    stage: str
    recipe: str
    overrides: tuple[str, ...]
    config: StageConfig

    @property
    def directory(self) -> Path:
        return self.config.logging.output_dir

    @property
    def done(self) -> bool:
        """Whether it is finished.

        Raises:
            RecipeError: it is, and was made with other settings; they are named.
        """
        record = self.directory / FINAL / RECIPE
        if not record.is_file():
            return False
        check_settings(
            self.directory,
            yaml.safe_load(record.read_text(encoding="utf-8")),
            self.config.model_dump(mode="json"),
            "undo the change, delete it to train it again, or give the experiment another "
            "output_dir:",
            "was trained with other settings than the experiment has now",
        )
        return True

    def command(self, launcher: list[str]) -> list[str]:
        """Build its command line."""
        script = str(CONFIGS.parent / f"{self.stage}.py")
        return [*launcher, script, "--config", self.recipe, *self.overrides]


@dataclass(frozen=True)
class Run:
    """One arm on one seed.

    Attributes:
        arm: its name.
        seed: of initialisation and windows.
        value: what it tries of the sweep; empty without one.
        cells: its stages.
    """

    arm: str
    seed: int
    value: Overrides
    cells: tuple[PlannedStage, ...]

    @property
    def name(self) -> str:
        return ", ".join(filter(None, (self.arm, label_of(self.value), f"seed {self.seed}")))

    @property
    def done(self) -> bool:
        """Whether all its stages are finished (see `Cell.done`)."""
        return all(cell.done for cell in self.cells)

    @property
    def tokens(self) -> int:
        return sum(cell.config.schedule.total_tokens for cell in self.cells)


def label_of(value: Overrides) -> str:
    """Name a value of the sweep: `learning_rate=0.003`."""
    return " ".join(f"{key.rpartition('.')[2]}={number}" for key, number in value.items())


def _as_override(key: str, value: Any) -> str:
    # One line, as a shell passes it on.
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
    return f"{key}={text.removesuffix('...').strip()}"


def _load(recipe: str, stage: str, settings: Overrides) -> tuple[tuple[str, ...], StageConfig]:
    overrides = tuple(_as_override(key, value) for key, value in settings.items())
    return overrides, parse_command_line(stage, "", ["--config", recipe, *overrides]).config


@cache
def _bytes_per_token(
    shards: Path, tokenizer: Path, weights: tuple[tuple[str, float], ...], length: int, packing: str
) -> float:
    from data_recipes.tokenizer.load import load_tokenizer, token_byte_lengths
    from data_recipes.tokens.mixture import Mixture

    known = load_tokenizer(tokenizer)
    # One order of windows for all seeds, so that they train equally long.
    mixture = Mixture(shards, dict(weights), length, 0, packing, known.pad_token_id)
    sizes = np.array(token_byte_lengths(known))
    windows = [mixture.window(i).tokens for i in range(-(-_COUNTED_TOKENS // length))]
    return float(np.mean([sizes[np.asarray(tokens)].mean() for tokens in windows]))


def bytes_per_token(config: StageConfig) -> float:
    """UTF-8 bytes that a token of a stage's mixture stands for on average, padding included.

    Raises:
        RecipeError: the shards are not there: bytes are known of what was tokenised.
    """
    data = config.data
    weights, length = tuple(data.mixture.items()), config.batch.sequence_length
    try:
        return _bytes_per_token(data.shards, data.tokenizer, weights, length, data.packing)
    except RecipeError as error:
        raise RecipeError(
            f"{error}\n  Bytes are counted in shards; make them first: "
            f"kormo data prepare --config {data.recipe}"
        ) from error


def _lengths(budget: BudgetConfig, configs: list[StageConfig]) -> list[int]:
    """Tokens of each stage: the budget in the recipes' proportions, in whole steps."""
    own = [config.schedule.total_tokens for config in configs]
    if budget.tokens is not None:
        costs = [1.0] * len(configs)
    elif budget.bytes is not None:
        costs = [bytes_per_token(config) for config in configs]
    else:
        from ..build import model_config  # loads torch
        from ..engine.flops import flops_per_token

        costs = [
            flops_per_token(model_config(c, None), c.batch.sequence_length, c.model.views)
            for c in configs
        ]
    (limit,) = filter(None, (budget.tokens, budget.bytes, budget.flops))
    scale = limit / sum(cost * tokens for cost, tokens in zip(costs, own))
    steps = [c.batch.tokens_per_step for c in configs]
    return [int(tokens * scale + 0.5) // step * step for tokens, step in zip(own, steps)]


def plan_run(
    size: str,
    arm: str,
    seed: int,
    place: Path,
    stages: Sequence[str],
    layers: Sequence[Overrides],
    budget: BudgetConfig,
    value: Overrides | None = None,
) -> Run:
    """Plan one run.

    Args:
        size: of its recipes.
        arm: its name.
        seed: of initialisation and windows.
        place: its directory, with a folder per stage.
        stages: of the size's recipes, each from the last one's `final/`.
        layers: settings, later ones over earlier ones.
        budget: of all stages together.
        value: what it tries of a sweep.

    Raises:
        RecipeError: settings that a recipe does not know or the plan makes itself, or a budget of
            less than a step.
    """
    wanted, parent = [], None
    for stage in stages:
        settings: Overrides = {}
        for layer in layers:
            settings |= settings_of(layer, stage)
        for key in _OWN:
            if key in settings:
                raise RecipeError(f"{key}: is set for every run by itself; take it out")
        settings |= {"data.seed": seed, "logging.output_dir": str(place / stage)}
        if parent is not None:
            settings["model.init_from"] = str(parent)
        parent = place / stage / FINAL
        wanted.append((stage, f"{size}/{stage}.yaml", settings))
    drafts = [_load(recipe, stage, settings)[1] for stage, recipe, settings in wanted]
    cells = []
    for (stage, recipe, settings), tokens in zip(wanted, _lengths(budget, drafts)):
        if tokens == 0:
            raise RecipeError(f"budget: less than one step of {stage} in arm {arm!r}; raise it")
        settings["schedule.total_tokens"] = tokens
        cells.append(PlannedStage(stage, recipe, *_load(recipe, stage, settings)))
    return Run(arm, seed, value or {}, tuple(cells))


def _run(experiment: ExperimentConfig, size: str, arm: str, seed: int, value: Overrides) -> Run:
    place = experiment.output_dir / arm / re.sub(r"[^\w=.-]+", "_", label_of(value)) / str(seed)
    layers = [experiment.shared, value, experiment.arms[arm]]
    return plan_run(size, arm, seed, place, experiment.stages, layers, experiment.budget, value)


def values_of(experiment: ExperimentConfig) -> list[Overrides]:
    """List all combinations of the sweep; one empty one without a sweep."""
    keys = experiment.sweep.keys()
    return [dict(zip(keys, c)) for c in itertools.product(*experiment.sweep.values())]


def sweep_runs(experiment: ExperimentConfig, size: str) -> list[Run]:
    """Plan the runs that choose each arm's value; none without a sweep."""
    if not experiment.sweep:
        return []
    return [
        _run(experiment, size, arm, experiment.sweep_seed, value)
        for arm in experiment.arms
        for value in values_of(experiment)
    ]


def seed_runs(experiment: ExperimentConfig, size: str, chosen: dict[str, Overrides]) -> list[Run]:
    """Plan the runs that are compared, seed by seed, so that it can be looked at early.

    Args:
        experiment: the experiment.
        size: of its recipes.
        chosen: each arm's value of the sweep.
    """
    return [
        _run(experiment, size, arm, seed, chosen[arm])
        for seed in experiment.seeds
        for arm in experiment.arms
    ]


def _ruler(config: StageConfig) -> dict[str, Any]:
    """What a measurement is made of: in other windows, or of other text, it is another one."""
    data = config.data
    names, shards = sorted(data.heldout or data.mixture), data.heldout_shards or data.shards
    ruler = {"data.heldout": names, "batch.sequence_length": config.batch.sequence_length}
    if data.heldout_tokens is not None:
        ruler |= {"data.shards": str(shards), "data.tokenizer": str(data.tokenizer)}
        return ruler | {"data.heldout_tokens": data.heldout_tokens}
    # All of it, whatever the tokenizer makes of it.
    places = {name: shards / name / "heldout" for name in names}
    if all(place.is_dir() for place in places.values()):
        ruler["documents"] = {name: read_manifest(p).documents for name, p in places.items()}
    return ruler


def check_ruler(experiment: ExperimentConfig, runs: list[Run]) -> None:
    """Refuse arms whose bits per byte would be measured in other windows or on other text.

    Raises:
        RecipeError: names the arm and what differs.
    """
    rulers = {run.arm: _ruler(run.cells[-1].config) for run in runs}
    base = rulers[experiment.baseline]
    for arm, ruler in rulers.items():
        # Of shards that are still to be made, nobody knows how many documents they hold out.
        unknown = {"documents"} if "documents" not in base.keys() & ruler.keys() else set()
        check_settings(
            Path(f"arms.{arm}"),
            {key: value for key, value in base.items() if key not in unknown},
            {key: value for key, value in ruler.items() if key not in unknown},
            "set it alike for all arms, in `shared`:",
            "would be measured by another ruler than the baseline",
        )
