"""Schema of an experiment's YAML."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, PositiveInt, ValidationError, model_validator

from data_recipes.common.config_files import Strict

from ..config import STAGES, PretrainingStage
from ..shared_config import Seed
from .evaluations import SOURCES, EvaluationsConfig

Overrides = dict[str, Any]
Initialisation = Literal["mean", "random", "default", "eeve"]  # of new rows
# Stages that train on rows, so long as their recipe says, and on no budget of text.
RowStage = Literal["sft", "dpo", "vision_align", "vision_sft", "knowledge_vqa"]
ROW_STAGES: tuple[str, ...] = get_args(RowStage)
AnyStage = PretrainingStage | RowStage
_TEXT, _CHAT, _SEEING = (*STAGES, "grow", "expand"), ("sft", "dpo"), ("vision_align", "vision_sft")
_ORDER = (*_TEXT, *ROW_STAGES)
# Every measure, and which last stages leave what it is made of.
MEASURED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bits_per_byte", "averaged", "spikes", "gradient_norm"), _TEXT),
    **dict.fromkeys(("source_bits", "position_bits", "mixture", "compression", "needle"), _TEXT),
    "unrest": (*_TEXT, *_CHAT, *_SEEING),
    **dict.fromkeys(("proxy", "quick"), (*_TEXT, *_CHAT)),
    **dict.fromkeys(("suite", "mode"), (*_TEXT, *_CHAT, *_SEEING)),
    "heldout": (*_CHAT, *_SEEING),
    "vision": _SEEING,
    "answers": ("knowledge_vqa",),
}


def _each_once(seeds: list[Seed]) -> list[Seed]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is given twice; name each once")
    return seeds


Seeds = Annotated[list[Seed], AfterValidator(_each_once)]


class BudgetConfig(Strict):
    """What every run may spend on pretraining, in proportion to its stages' own length.

    Attributes:
        tokens: to train on.
        flops: to train with, so that an arm which costs more per token sees fewer of them.
        bytes: of text to read, so that an arm with another tokenizer reads equally much of it; or
            of each source, which then makes the mixture, and beside tokens or FLOPs nothing else.
    """

    tokens: int | None = Field(default=None, gt=0)
    flops: float | None = Field(default=None, gt=0)
    bytes: PositiveInt | Annotated[dict[str, PositiveInt], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "BudgetConfig":
        mixes = isinstance(self.bytes, dict)
        limits = [self.tokens, self.flops, None if mixes else self.bytes]
        if limits.count(None) < 2 or (limits.count(None) == 3 and not mixes):
            raise ValueError(
                "give tokens, flops or bytes, one of the three; beside one of the first two, bytes "
                "of each source say the mixture"
            )
        return self

    @property
    def limit(self) -> float:
        """How much of what it counts."""
        whole = sum(self.bytes.values()) if isinstance(self.bytes, dict) else self.bytes
        return self.tokens or self.flops or whole


def refuse_unused(where: str, settings: Overrides, stages: Sequence[str]) -> None:
    """Refuse settings of a stage that nothing they are for goes through, and whole sections.

    A section would take the place of the recipe's, with what the recipe and `shared` say in it.

    Raises:
        ValueError: names it.
    """
    for key, own in settings.items():
        if key in _ORDER:
            if key not in stages:
                raise ValueError(f"{where}.{key}: nothing goes through this stage; take it out")
            if isinstance(own, dict):
                refuse_unused(f"{where}.{key}", own, [key])
        elif isinstance(own, dict) and "." not in key and "knowledge_vqa" not in stages:
            said = ", ".join(f"{key}.{name}: {value}" for name, value in own.items())
            raise ValueError(f"{where}.{key}: is a whole section; name what it sets: {said}")


class ParentConfig(Strict):
    """What arms start from, trained once for each seed.

    Attributes:
        stage: of the size's recipes.
        tokens: to train on.
        set: what it sets, over `shared`.
    """

    stage: PretrainingStage
    tokens: int = Field(gt=0)
    set: Overrides = {}

    @model_validator(mode="after")
    def _used(self) -> "ParentConfig":
        refuse_unused("set", self.set, [self.stage])
        return self


class Road(Strict):
    """What an arm may say beside settings.

    Attributes:
        stages: in place of the experiment's.
        start: where the first one begins: at the parent's `final/`; of pretraining also there with
            rows for the arm's larger tokenizer, initialised in one of four ways (`kormo
            expand-vocabulary`); at its last checkpoint, whose optimizer and windows go on; or from
            scratch, with the parent's budget as well.
    """

    stages: list[AnyStage] = Field(default=[], min_length=1)
    start: Literal["parent", "checkpoint", "scratch"] | Initialisation = "parent"

    @property
    def initialisation(self) -> Initialisation | None:
        """How new rows are initialised; `None` if there are none."""
        return self.start if self.start in get_args(Initialisation) else None


class ExperimentConfig(Strict):
    """An experiment.

    Attributes:
        question: that it answers.
        parent: what the first stage of every arm starts from; as its recipe says without one.
        stages: of the size's recipes, each from the last one's `final/`.
        output_dir: a folder per run, and the results.
        baseline: the arm that all others are compared with.
        arms: what each sets, as `dotted.key: value`; `stage2: {...}` sets it in that stage alone.
            `stages` and `start` lead an arm another way (`Road`). An arm of null, one that the
            file's `base` has, is left out.
        sweep: values of settings that every arm tries, in all combinations, on `sweep_seed`; it
            goes on with its own best.
        sweep_seed: none of `seeds`, or the best of the sweep would also be lucky there.
        seeds: of initialisation and order of windows, shared by all arms.
        budget: of one run's pretraining, after its parent; what its recipes say by default.
        shared: settings of all runs, as in `arms`.
        measures: of a finished run (recipes/experiments/measures.py).
        evaluate: what its model is asked, where a measure is made of answers.
        decide: measures that the verdict rests on, each with the smallest difference that would
            matter.
        note: what the result cannot say.
    """

    question: str = Field(min_length=1)
    parent: ParentConfig | None = None
    stages: list[AnyStage] = Field(min_length=1)
    output_dir: Path
    baseline: str
    arms: dict[str, Overrides] = Field(min_length=2)
    sweep: dict[str, list[Any]] = {}
    sweep_seed: Seed = 0
    seeds: Seeds = Field(min_length=2)
    budget: BudgetConfig | None = None
    shared: Overrides = {}
    measures: list[str] = Field(min_length=1)
    evaluate: EvaluationsConfig = EvaluationsConfig()
    decide: dict[str, float] = Field(min_length=1)
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _drop_arms(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(arms := values.get("arms"), dict):
            return values | {"arms": {name: own for name, own in arms.items() if own is not None}}
        return values

    @model_validator(mode="after")
    def _sound(self) -> "ExperimentConfig":
        for arm in self.arms:
            if not re.fullmatch(r"\w[\w .=+-]*", arm):
                raise ValueError(
                    f"arms: {arm!r} names a folder; use letters, digits, spaces and _ . = + -"
                )
        if self.baseline not in self.arms:
            raise ValueError(f"baseline {self.baseline!r} is none of the arms")
        if self.sweep and self.sweep_seed in self.seeds:
            raise ValueError(
                f"sweep_seed {self.sweep_seed} is one of `seeds`: the best of several runs is "
                "lucky there, so choose on another"
            )
        if not all(self.sweep.values()):
            raise ValueError("sweep: a setting without values")
        if unknown := [name for name in self.measures if name not in MEASURED]:
            raise ValueError(f"measures: {unknown[0]!r} is none of {', '.join(MEASURED)}")
        for name, smallest in self.decide.items():
            if not 0 < smallest < math.inf:
                raise ValueError(f"decide.{name}: the smallest difference that matters is above 0")
            if name.partition("/")[0] not in self.measures:
                raise ValueError(f"decide.{name}: belongs to none of `measures`")
        for source in EvaluationsConfig.model_fields:
            makes = [name for name in MEASURED if SOURCES.get(name) == source]
            wanted, given = [m for m in makes if m in self.measures], getattr(self.evaluate, source)
            if wanted and given is None:
                raise ValueError(f"evaluate.{source}: needed for the measure {wanted[0]!r}")
            if given is not None and not wanted:
                raise ValueError(
                    f"evaluate.{source}: is for the measures {' and '.join(makes)}; name one in "
                    "`measures`, or take it out"
                )
        return self

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "ExperimentConfig":
        if self.parent and "parent" in self.arms:
            raise ValueError("arms.parent: is the folder of the parent's runs; give another name")
        known = {arm: self.road(arm).stages for arm in self.arms}
        everywhere = [stage for stages in known.values() for stage in stages]
        for where, settings in {"shared": self.shared, "sweep": self.sweep, **self.arms}.items():
            stages = known.get(where, everywhere)
            refuse_unused(where, settings, stages)
            for stage in _ORDER:
                if not isinstance(settings.get(stage) or {}, dict):
                    raise ValueError(f"{where}.{stage}: expected `key: value` pairs")
                starts = {"init_from", "model.init_from"}
                own = starts & settings_of(settings, stage).keys()
                begins = [way[0] for way in known.values()]
                if starts & (settings.get(stage) or {}).keys() and stage not in begins:
                    raise ValueError(
                        f"{where}.{stage}: starts from the stage before it, and from no other model"
                    )
                if where in known and own:
                    raise ValueError(
                        f"{where}: {own.pop()} would make runs of one seed incomparable"
                    )
        for arm, stages in known.items():
            sets = [settings_of(self.settings(arm), stage) for stage in stages]
            for key in self.sweep:
                # It counts in a stage that the arm leaves as it is.
                if all(any(f"{key}.".startswith(f"{k}.") for k in own) for own in sets):
                    raise ValueError(
                        f"arms.{arm}: sets {key} itself, so that none of the values of `sweep` "
                        "would count; take it out here or there"
                    )
        pretrains = not {*everywhere} <= {*ROW_STAGES}
        if self.budget is None and self.parent and pretrains:
            raise ValueError("budget: needed where there is a `parent`")
        if self.budget and not pretrains:
            raise ValueError(
                "budget: is of pretraining, and no arm goes through it; how long other stages are "
                "their `steps` say"
            )
        for arm, stages in known.items():
            for name in self.measures:
                if stages[-1] not in MEASURED[name]:
                    raise ValueError(
                        f"measures: {name!r} is not to be had of {stages[-1]}, the last stage of "
                        f"arm {arm!r}, but of {', '.join(MEASURED[name])}; leave it out"
                    )
            if stages != [stage for stage in _ORDER if stage in stages]:
                raise ValueError("stages: each once, in the order of the ladder")
            if self.parent is None and self.road(arm).start != "parent":
                raise ValueError(f"arms.{arm}.start: is for an experiment with a `parent`")
            if stages[0] in ROW_STAGES and self.road(arm).start != "parent":
                raise ValueError(f"arms.{arm}.start: is of pretraining, and {stages[0]} is none")
        return self

    def settings(self, arm: str) -> Overrides:
        """Return what an arm sets, its road left out."""
        return {k: v for k, v in self.arms[arm].items() if k not in Road.model_fields}

    def road(self, arm: str) -> Road:
        """Return which stages an arm goes through, and from where."""
        said = {key: self.arms[arm][key] for key in Road.model_fields if key in self.arms[arm]}
        try:
            return Road.model_validate({"stages": self.stages} | said)
        except ValidationError as error:
            found = error.errors()[0]
            raise ValueError(f"arms.{arm}.{found['loc'][0]}: {found['msg']}") from error


def settings_of(settings: Overrides, stage: str) -> Overrides:
    """Pick what a stage is set: what all stages are, and what is said under its name."""
    common = {key: value for key, value in settings.items() if key not in _ORDER}
    return common | (settings.get(stage) or {})
