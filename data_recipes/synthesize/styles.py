"""Styles: prompt templates as files."""

from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, computed_field, model_validator

from ..ask.prompts import Prompt
from ..common.config_files import Strict
from ..common.errors import RecipeError

CONFIGS = Path(__file__).parents[1] / "configs" / "synthesize"
_SEED = "text"


class Style(Strict):
    """One way to write about a seed.

    Attributes:
        template: file of a Jinja template in which `{{ text }}` stands for the seed; as given, or
            below `data_recipes/configs/synthesize`. What it makes is the user's turn.
        weight: share of the seeds, in proportion to the other styles.
    """

    template: Path
    weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _usable(self) -> "Style":
        try:
            _ = self._prompt
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    @cached_property
    def _prompt(self) -> Prompt:
        return Prompt(self.template, CONFIGS, {_SEED})

    @computed_field
    @cached_property
    def sha256(self) -> str:
        """Checksum of the template, so that rows and settings know a changed prompt."""
        return self._prompt.sha256

    def prompt(self, seed: str) -> str:
        """The user's turn for a seed."""
        return self.messages(seed)[0]["content"]

    def messages(self, seed: str) -> list[dict[str, Any]]:
        """The conversation that is sent."""
        return self._prompt.messages(**{_SEED: seed})

    @cached_property
    def instructions(self) -> list[str]:
        """Lines of the prompt that are not the seed's."""
        return self._prompt.instructions(**{_SEED: _SEED})
