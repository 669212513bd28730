"""A pretraining run as it lies on disk: its files, recipe and data, for what looks back at it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.config_files import load_config, read_yaml
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file
from data_recipes.tokens.mixture import Mixture

from .config import STAGES, StageConfig
from .pretrain import Steps, plan_steps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


_READ_WINDOWS = (*STAGES, "grow", "expand")
FINAL = "final"
RECIPE = "recipe.yaml"
REPRODUCE = "reproduce.json"
OTHER_BYTES = "has other bytes"
Inputs = dict[str, dict[str, str]]
FINGERPRINT = "fingerprint.json"
LINEAGE = "lineage.json"


@dataclass(frozen=True)
class OpenedRun:
    """A run of pretraining or mid-training.

    Attributes:
        directory: of the run, with its `checkpoint-N` and maybe `final/`.
        config: that it was resolved to.
    """

    directory: Path
    config: StageConfig

    @cached_property
    def steps(self) -> Steps:
        return plan_steps(self.config)

    @property
    def final(self) -> Path | None:
        """`final/`, if the run has ended."""
        path = self.directory / FINAL
        return path if path.is_dir() else None

    @property
    def windows(self) -> int:
        """Windows that the whole run reads."""
        return self.steps.total * self.config.batch.windows_per_step

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """The tokenizer of the run; loads transformers, which takes a second."""
        from data_recipes.tokenizer.load import load_tokenizer

        return load_tokenizer(self.config.data.tokenizer)

    @cached_property
    def mixture(self) -> Mixture:
        """The data in the order of the run.

        Raises:
            RecipeError: they are gone, or not those that the run read; names what has changed.
        """
        data = self.config.data
        try:
            # Loading a tokenizer takes a second, and padding alone needs it.
            pad = self.tokenizer.pad_token_id if data.packing == "best_fit" else None
            mixture = data.open(self.config.batch.sequence_length, pad)
        except RecipeError as error:
            raise RecipeError(self._not_the_data(str(error))) from error
        recorded = self._recorded_fingerprint()
        if recorded is None:
            raise RecipeError(
                f"{self.directory}: has neither {FINGERPRINT} nor {FINAL}/{LINEAGE}, so it "
                "cannot be told whether the shards are those that it read"
            )
        if mixture.fingerprint != recorded:
            raise RecipeError(self._not_the_data(f"{data.shards}: other data or another order"))
        return mixture

    def step_of(self, window: int) -> int:
        """Step, from 1, that reads a training window."""
        return window // self.config.batch.windows_per_step + 1

    def windows_of(self, step: int) -> range:
        """Indices of the windows that a step reads.

        Raises:
            RecipeError: no such step.
        """
        if not 1 <= step <= self.steps.total:
            raise RecipeError(
                f"step {step:,}: {self.directory} has the steps 1 to {self.steps.total:,}"
            )
        per_step = self.config.batch.windows_per_step
        return range((step - 1) * per_step, step * per_step)

    def _recorded_fingerprint(self) -> str | None:
        for path, keys in (
            (self.directory / FINGERPRINT, ("data", "fingerprint")),
            (self.directory / FINAL / LINEAGE, ("data_fingerprint",)),
            (self.directory / LINEAGE, ("data_fingerprint",)),
        ):
            if path.is_file():
                value: Any = json.loads(path.read_text(encoding="utf-8"))
                for key in keys:
                    value = value[key]
                return value
        return None

    def _not_the_data(self, reason: str) -> str:
        record = read_reproduce(self.directory)
        changed = find_changes(record["inputs"], self.directory) if record else []
        told = "\n  ".join(["; what has changed:", *changed]) if changed else ""
        return (
            f"{reason}. {self.directory} cannot be replayed: its shards are not as it read them"
            f"{told}\nput them back, or make them again from {self.config.data.recipe}"
        )


def open_run(path: Path) -> OpenedRun:
    """Open the directory of a run, finished or not, or its `final/`.

    Raises:
        RecipeError: no run, or one that did not train on token shards.
    """
    directory = path.parent if path.name == FINAL and (path.parent / RECIPE).is_file() else path
    recipes = [d / RECIPE for d in (directory, directory / FINAL)]
    recipe = next((r for r in recipes if r.is_file()), None)
    if recipe is None:
        there = "no such directory" if not path.is_dir() else f"has no {RECIPE}"
        raise RecipeError(
            f"{path}: {there}; name the logging.output_dir of a run, such as runs/tiny/stage2"
        )
    stage = read_yaml(recipe).get("stage")
    if stage not in _READ_WINDOWS:
        raise RecipeError(
            f"{path}: is a run of {stage}, which does not read windows of token shards; this works "
            f"on {', '.join(_READ_WINDOWS)}"
        )
    return OpenedRun(directory, load_config(recipe, StageConfig, []))


def find_changes(inputs: Inputs, directory: Path) -> list[str]:
    """Compare what a run read with what is there now.

    Args:
        inputs: as `list_inputs` had them.
        directory: of the run, which may have been moved.

    Returns:
        A line for each file that is gone or has other bytes.
    """
    changes = []
    for name, recorded in inputs.items():
        path = Path(recorded["path"])
        if name == "resolved recipe":
            path = directory / RECIPE
        if not path.is_file():
            changes.append(f"{name} ({path}) is not there")
        elif sha256_file(path) != recorded["sha256"]:
            changes.append(f"{name} ({path}) {OTHER_BYTES} than when the run read it")
    return changes


def read_reproduce(directory: Path) -> dict[str, Any] | None:
    """Read the record of a run, while it trains or from its `final/`; `None` if it has none.

    Raises:
        RecipeError: it is damaged.
    """
    for path in (directory / REPRODUCE, directory / FINAL / REPRODUCE):
        if path.is_file():
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise RecipeError(f"{path}: damaged ({error}); it cannot be replayed") from error
    return None
