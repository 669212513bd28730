"""What an experiment consists of: the plan of its runs, from settings laid over the recipes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data_recipes.common.errors import RecipeError

from ..command_line import CONFIGS, parse_command_line
from ..config import StageConfig
from ..opened_run import FINAL, LINEAGE
from .config import (
    ROW_STAGES,
    BudgetConfig,
    ExperimentConfig,
    Overrides,
    Road,
    settings_of,
)
from .evaluations import SOURCES, evaluation
from .lengths import cost_of_tokens, mixture_of, stage_lengths
from .runs import Aside, PlannedStage, Run, label_of

# What a plan sets itself; the last two where a recipe has no sections.
_OWN = ("data.seed", "growth.seed", "logging.output_dir", "schedule.total_tokens")
_OWN += ("seed", "output_dir")
_WITHOUT_SECTIONS = ("knowledge_vqa",)
# Added to the seed of what follows a parent, so that it does not read the same windows again.
_FOLLOWS = 1000


def _as_override(key: str, value: Any) -> str:
    # One line, as a shell passes it on.
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
    return f"{key}={text.removesuffix('...').strip()}"


def _recipe(size: str, stage: str) -> str:
    return f"{size}/{stage}.yaml"


def _load(size: str, stage: str, settings: Overrides) -> tuple[tuple[str, ...], Any]:
    overrides = tuple(_as_override(key, value) for key, value in settings.items())
    argv = ["--config", _recipe(size, stage), *overrides]
    return overrides, parse_command_line(stage, "", argv).config


@contextmanager
def _named(arm: str) -> Iterator[None]:
    """Say whose settings a recipe does not take: the file that it names is not the one to mend."""
    try:
        yield
    except RecipeError as error:
        raise RecipeError(f"what {arm!r} (or `shared`) sets, over {error}") from error


def _own(stage: str, settings: Overrides) -> Overrides:
    """Name settings as the recipe of a stage does."""
    if stage not in _WITHOUT_SECTIONS:
        return settings
    return {key.rpartition(".")[2]: value for key, value in settings.items()}


def _asked(experiment: ExperimentConfig, cell: PlannedStage) -> PlannedStage:
    """Have the model of a run's last stage asked what measures want to know that its log lacks.

    Raises:
        RecipeError: a suite, or places, that the stage does not evaluate while it trains.
    """
    after = {}
    for suite in {"quick", "proxy"} & {*experiment.measures}:
        logging = cell.config.logging
        if logging.quick_eval_every_tokens is None or logging.quick_eval_suite != suite:
            raise RecipeError(
                f"measures: {suite!r} is evaluated while {cell.stage} trains; set in `shared` "
                f"logging.quick_eval_every_tokens, and logging.quick_eval_suite: {suite}"
            )
    if "position_bits" in experiment.measures and not cell.config.data.heldout_positions:
        raise RecipeError("measures: 'position_bits' has no places; set data.heldout_positions")
    for name in dict.fromkeys(SOURCES[m] for m in experiment.measures if m in SOURCES):
        data = getattr(cell.config, "data", None)
        words, makes = evaluation(name, experiment.evaluate, cell.directory, data)
        after[name] = Aside(tuple(words), makes)
    return replace(cell, after=after)


@dataclass(frozen=True)
class Start:
    """Where a run begins, in an experiment with a parent.

    Attributes:
        parent: that of its seed.
        road: of its arm.
    """

    parent: PlannedStage
    road: Road

    def settings(self, seed: int, place: Path) -> Overrides:
        """Say what the first stage of a run is set."""
        final, config = self.parent.directory / FINAL, self.parent.config
        if self.road.start == "scratch":
            return {"model.init_from": None}
        if self.road.start == "checkpoint":
            step = config.schedule.total_tokens // config.batch.tokens_per_step
            checkpoint = self.parent.directory / f"checkpoint-{step}"
            own = {"schedule.branch_from": str(checkpoint)}
            return own | {"model.init_from": config.model.init_from}
        follows = {"data.seed": seed + _FOLLOWS}
        return follows | {"model.init_from": str(self._expanded(place) or final)}

    def _expanded(self, place: Path) -> Path | None:
        way = self.road.initialisation
        # The name says how, so that another way is another start.
        return place / f"start_{way}" if way else None

    def expansion(self, seed: int, place: Path, config: StageConfig) -> Aside | None:
        """Say how the parent's vocabulary grows first, to the stage's; `None` if it does not."""
        out = self._expanded(place)
        if out is None:
            return None
        words = (str(self.parent.directory / FINAL), str(config.data.tokenizer), str(out))
        words += ("--init", self.road.start, "--seed", str(seed))
        return Aside((str(CONFIGS.parent / "expand_vocabulary.py"), *words), out / LINEAGE)

    @property
    def needed(self) -> PlannedStage | None:
        """The parent, if it is to be trained."""
        return None if self.road.start == "scratch" else self.parent

    @property
    def branched_at(self) -> int:
        """Tokens that the run has seen which goes on; 0 if a new one begins."""
        return self.parent.tokens if self.road.start == "checkpoint" else 0

    def inherited(self, budget: BudgetConfig) -> float:
        """What is added to the budget: the parent's, where that is not needed."""
        parent = self.parent
        return 0.0 if self.needed else cost_of_tokens(budget, parent.config) * parent.tokens


def plan_run(
    size: str,
    arm: str,
    seed: int,
    place: Path,
    stages: Sequence[str],
    layers: Sequence[Overrides],
    budget: BudgetConfig | None,
    value: Overrides | None = None,
    start: Start | None = None,
) -> Run:
    """Plan one run.

    Args:
        size: of its recipes.
        arm: its name.
        seed: of initialisation and windows.
        place: its directory, with a folder per stage.
        stages: of the size's recipes, each from the last one's `final/`.
        layers: settings, later ones over earlier ones.
        budget: of all stages of pretraining together; `None` leaves them as long as their recipes
            say.
        value: what it tries of a sweep.
        start: of the first stage; as its recipe says by default.

    Raises:
        RecipeError: settings that a recipe does not know or the plan makes itself, or a budget of
            less than a step.
    """
    wanted: list[tuple[str, Overrides]] = []
    for number, stage in enumerate(stages):
        settings = _settings(layers, stage, seed, place / stage)
        if number:
            parent = {"model.init_from": str(place / stages[number - 1] / FINAL)}
            settings |= _own(stage, parent)
        elif start is not None:
            settings |= _own(stage, start.settings(seed, place))
        own_mixture = budget is not None and isinstance(budget.bytes, dict)
        if own_mixture and stage not in ROW_STAGES:
            if "data.mixture" in settings:
                raise RecipeError(
                    f"data.mixture: the bytes of each source in `budget` make the mixture of "
                    f"{stage}; take it out (of arm {arm!r} or `shared`)"
                )
            with _named(arm):
                draft = _load(size, stage, settings | {"data.mixture": budget.bytes})[1]
            settings["data.mixture"] = mixture_of(budget.bytes, draft)
        wanted.append((stage, settings))
    with _named(arm):
        drafts = [_load(size, stage, settings)[1] for stage, settings in wanted]
    lengths: list[int | None] = [None] * len(drafts)
    if budget is not None:
        inherited = start.inherited(budget) if start else 0.0
        counted = [i for i, stage in enumerate(stages) if stage not in ROW_STAGES]
        own = stage_lengths(budget, budget.limit + inherited, [drafts[i] for i in counted])
        for i, tokens in zip(counted, own):
            lengths[i] = tokens
    cells: list[PlannedStage] = []
    for (stage, settings), tokens in zip(wanted, lengths):
        branched_at = start.branched_at if start and not cells else 0
        if tokens == 0:
            raise RecipeError(f"budget: less than one step of {stage} in arm {arm!r}; raise it")
        if tokens is not None:
            settings["schedule.total_tokens"] = tokens + branched_at
        overrides, config = _load(size, stage, settings)
        before = start.expansion(seed, place, config) if start and not cells else None
        recipe = _recipe(size, stage)
        cells.append(PlannedStage(stage, recipe, overrides, config, branched_at, before))
    return Run(arm, seed, value or {}, tuple(cells), start.needed if start else None)


def _settings(layers: Sequence[Overrides], stage: str, seed: int, place: Path) -> Overrides:
    settings: Overrides = {}
    for layer in layers:
        settings |= settings_of(layer, stage)
    if taken := settings.keys() & set(_OWN):
        raise RecipeError(f"{min(taken)}: is set for every run by itself; take it out")
    settings |= _own(stage, {"data.seed": seed, "logging.output_dir": str(place)})
    return settings | {"growth.seed": seed} if stage == "grow" else settings


def _parent_of(experiment: ExperimentConfig, size: str, seed: int) -> PlannedStage | None:
    wanted = experiment.parent
    if wanted is None:
        return None
    place, layers = experiment.output_dir / "parent" / str(seed), [experiment.shared, wanted.set]
    budget = BudgetConfig(tokens=wanted.tokens)
    return plan_run(size, "parent", seed, place, [wanted.stage], layers, budget).cells[0]


def _run(
    experiment: ExperimentConfig,
    size: str,
    arm: str,
    seed: int,
    value: Overrides,
    parent: PlannedStage | None,
) -> Run:
    place = experiment.output_dir / arm / re.sub(r"[^\w=.-]+", "_", label_of(value)) / str(seed)
    layers, road = [experiment.shared, value, experiment.settings(arm)], experiment.road(arm)
    start, budget = Start(parent, road) if parent else None, experiment.budget
    run = plan_run(size, arm, seed, place, road.stages, layers, budget, value, start)
    return replace(run, cells=(*run.cells[:-1], _asked(experiment, run.cells[-1])))


def refuse_alike(runs: Sequence[Run]) -> None:
    """Refuse arms that train alike: no difference between them would read as a finding.

    Args:
        runs: planned ones.

    Raises:
        RecipeError: names two.
    """
    seen: dict[Any, str] = {}
    for run in runs:
        place = str(run.cells[0].directory.parent)
        own = [(cell.stage, cell.config.model_dump_json().replace(place, "")) for cell in run.cells]
        other = seen.setdefault((run.seed, *own), run.arm)
        if other != run.arm:
            raise RecipeError(
                f"arms.{run.arm}: has every setting as {other!r} has it, so that there is nothing "
                "to compare; let it set what the recipe does not say by itself, or take it out"
            )


def values_of(experiment: ExperimentConfig) -> list[Overrides]:
    """List all combinations of the sweep; one empty one without a sweep."""
    keys = experiment.sweep.keys()
    return [dict(zip(keys, c)) for c in itertools.product(*experiment.sweep.values())]


def sweep_runs(experiment: ExperimentConfig, size: str) -> list[Run]:
    """Plan the runs that choose each arm's value; none without a sweep."""
    if not experiment.sweep:
        return []
    seed = experiment.sweep_seed
    parent = _parent_of(experiment, size, seed)
    return [
        _run(experiment, size, arm, seed, value, parent)
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
    runs = []
    for seed in experiment.seeds:
        parent = _parent_of(experiment, size, seed)
        runs += [_run(experiment, size, arm, seed, chosen[arm], parent) for arm in experiment.arms]
    return runs
