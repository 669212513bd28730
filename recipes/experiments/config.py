"""Schema of an experiment's YAML."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict

from ..config import STAGES, PretrainingStage

Overrides = dict[str, Any]
_MEASURES = Literal[
    "bits_per_byte",
    "averaged",
    "unrest",
    "spikes",
    "gradient_norm",
    "mixture",
    "compression",
    "proxy",
    "quick",
]


class BudgetConfig(Strict):
    """What every run may spend, over all its stages in proportion to their recipes' own length.

    Attributes:
        tokens: to train on.
        flops: to train with, so that an arm which costs more per token sees fewer of them.
        bytes: of text to read, so that an arm with another tokenizer reads equally much of it.
    """

    tokens: int | None = Field(default=None, gt=0)
    flops: float | None = Field(default=None, gt=0)
    bytes: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> "BudgetConfig":
        if [self.tokens, self.flops, self.bytes].count(None) != 2:
            raise ValueError("give tokens, flops or bytes, one of the three")
        return self


class ExperimentConfig(Strict):
    """An experiment.

    Attributes:
        question: that it answers.
        stages: of the size's recipes, each from the last one's `final/`; the first starts as its
            recipe says.
        output_dir: a folder per run, and the results.
        baseline: the arm that all others are compared with.
        arms: what each sets, as `dotted.key: value`; `stage2: {...}` sets it in that stage alone.
        sweep: values of settings that every arm tries, in all combinations, on `sweep_seed`; it
            goes on with its own best.
        sweep_seed: none of `seeds`, or the best of the sweep would also be lucky there.
        seeds: of initialisation and order of windows, shared by all arms.
        budget: of one run.
        shared: settings of all runs, as in `arms`.
        measures: of a finished run (recipes/experiments/measures.py).
        decide: measures that the verdict rests on, each with the smallest difference that would
            matter.
        note: what the result cannot say.
    """

    question: str = Field(min_length=1)
    stages: list[PretrainingStage] = Field(min_length=1)
    output_dir: Path
    baseline: str
    arms: dict[str, Overrides] = Field(min_length=2)
    sweep: dict[str, list[Any]] = {}
    sweep_seed: int = 0
    seeds: list[int] = Field(min_length=2)
    budget: BudgetConfig
    shared: Overrides = {}
    measures: list[_MEASURES] = Field(min_length=1)
    decide: dict[str, float] = Field(min_length=1)
    note: str = ""

    @model_validator(mode="after")
    def _sound(self) -> "ExperimentConfig":
        for arm in self.arms:
            if not re.fullmatch(r"\w[\w .=+-]*", arm):
                raise ValueError(
                    f"arms: {arm!r} names a folder; use letters, digits, spaces and _ . = + -"
                )
        if self.baseline not in self.arms:
            raise ValueError(f"baseline {self.baseline!r} is none of the arms")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is given twice")
        if self.sweep and self.sweep_seed in self.seeds:
            raise ValueError(
                f"sweep_seed {self.sweep_seed} is one of `seeds`: the best of several runs is "
                "lucky there, so choose on another"
            )
        if list(self.stages) != [stage for stage in STAGES if stage in self.stages]:
            raise ValueError("stages: each once, in the order of the ladder")
        if not all(self.sweep.values()):
            raise ValueError("sweep: a setting without values")
        for where, settings in {"shared": self.shared, "sweep": self.sweep, **self.arms}.items():
            for stage in self.stages:
                if not isinstance(settings.get(stage) or {}, dict):
                    raise ValueError(f"{where}.{stage}: expected `key: value` pairs")
                if where in self.arms and "model.init_from" in settings_of(settings, stage):
                    raise ValueError(
                        f"{where}: model.init_from would make runs of one seed incomparable"
                    )
        for name, smallest in self.decide.items():
            if smallest <= 0:
                raise ValueError(f"decide.{name}: the smallest difference that matters is above 0")
            if name.partition("/")[0] not in self.measures:
                raise ValueError(f"decide.{name}: belongs to none of `measures`")
        return self


def settings_of(settings: Overrides, stage: str) -> Overrides:
    """Pick what a stage is set: what all stages are, and what is said under its name."""
    common = {key: value for key, value in settings.items() if key not in STAGES}
    return common | (settings.get(stage) or {})
