"""Runs of an experiment and their stages: whether they are done, and what makes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import check_settings, read_settings

from ..command_line import CONFIGS
from ..config import StageConfig
from ..inputs import digest_of
from ..opened_run import FINAL, LINEAGE, RECIPE
from .config import Overrides
from .evaluations import answers_are_of


def _check_inputs(model: Path, remove: Path) -> None:
    """Refuse a model of which the parent, or what else it was made of, was made again since.

    Args:
        model: with its lineage. Of what that does not note, or is gone, nothing is known.
        remove: has to go to make it again.

    Raises:
        RecipeError: one was.
    """
    own = read_settings(model / LINEAGE) or {}
    noted = dict(own.get("inputs") or {})
    if weights := (own.get("parent_lineage") or {}).get("weights_sha256"):
        noted[own["parent"]] = weights
    for path, was in noted.items():
        if digest_of(Path(path)) not in (was, None):
            raise RecipeError(
                f"{model}: was made of {path} as it no longer is; put the old one back, or delete "
                f"{remove} to make it again of the new one"
            )


@dataclass(frozen=True)
class Aside:
    """What is done before or after a stage, in one process, whatever starts a stage.

    Attributes:
        words: of its command line, after the interpreter.
        makes: file that is there when it is done.
    """

    words: tuple[str, ...]
    makes: Path

    def commands(self) -> list[list[str]]:
        """Build its command line; none if it is done."""
        return [] if self.makes.is_file() else [[sys.executable, *self.words]]


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a run.

    Attributes:
        stage: its name.
        recipe: below recipes/configs.
        overrides: of its command line.
        config: with them.
        branched_at: tokens that the run had seen which this one goes on from; 0 for a new one.
        before: done first.
        after: done when it is trained: what its model is asked, by name of the evaluation.
    """

    stage: str
    recipe: str
    overrides: tuple[str, ...]
    config: Any
    branched_at: int = 0
    before: Aside | None = None
    after: Mapping[str, Aside] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Its `output_dir`."""
        return getattr(self.config, "logging", self.config).output_dir

    @property
    def done(self) -> bool:
        """Whether it is finished.

        Raises:
            RecipeError: it is, and was made with other settings, or of other data or weights than
                are there now; they are named.
        """
        return self._trained and not self._questions()

    @property
    def _trained(self) -> bool:
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
        _check_inputs(self.directory / FINAL, self.directory)
        self._check_start()
        return True

    def _check_start(self) -> None:
        if self.before:  # what grew from the parent, and where this stage began
            _check_inputs(self.before.makes.parent, self.directory.parent)

    def _questions(self) -> list[list[str]]:
        final = self.directory / FINAL
        for aside in self.after.values():
            if aside.makes.is_file() and not answers_are_of(aside.makes.parent, final):
                raise RecipeError(
                    f"{aside.makes.parent}: answers of other weights than {final} has now; delete "
                    "it to ask again"
                )
        return [command for aside in self.after.values() for command in aside.commands()]

    @property
    def on_rows(self) -> bool:
        """Whether it trains on rows, and not on a budget of text."""
        return not isinstance(self.config, StageConfig)

    @property
    def tokens(self) -> int:
        """What it trains on itself; nothing if it trains on rows."""
        return 0 if self.on_rows else self.config.schedule.total_tokens - self.branched_at

    @property
    def steps(self) -> int | None:
        """Of a stage on rows; `None` if their number decides."""
        return getattr(self.config, "schedule", self.config).steps

    def answers(self, name: str) -> dict[str, Any]:
        """Read the results of an evaluation of its model."""
        return json.loads(self.after[name].makes.read_text(encoding="utf-8"))

    def commands(self, launcher: list[str]) -> list[list[str]]:
        """Build the command lines that are still to be run for it; none if it is finished."""
        commands = []
        if not self._trained:
            self._check_start()
            script = str(CONFIGS.parent / f"{self.stage}.py")
            commands = self.before.commands() if self.before else []
            commands.append([*launcher, script, "--config", self.recipe, *self.overrides])
        return commands + self._questions()


@dataclass(frozen=True)
class Run:
    """One arm on one seed.

    Attributes:
        arm: its name.
        seed: of initialisation and windows.
        value: what it tries of the sweep; empty without one.
        cells: its stages.
        parent: what the first of them starts from, if that is trained for the experiment.
    """

    arm: str
    seed: int
    value: Overrides
    cells: tuple[PlannedStage, ...]
    parent: PlannedStage | None = None

    @property
    def name(self) -> str:
        return ", ".join(filter(None, (self.arm, label_of(self.value), f"seed {self.seed}")))

    @property
    def done(self) -> bool:
        """Whether all its stages are finished (see `PlannedStage.done`)."""
        return all(cell.done for cell in self.stages())

    @property
    def tokens(self) -> int:
        """What it trains on, its parent left out."""
        return sum(cell.tokens for cell in self.cells)

    def stages(self) -> tuple[PlannedStage, ...]:
        """List its stages, that of its parent first."""
        return (self.parent, *self.cells) if self.parent else self.cells


def label_of(value: Overrides) -> str:
    """Name a value of the sweep: `learning_rate=0.003`."""
    return " ".join(f"{key.rpartition('.')[2]}={number}" for key, number in value.items())
