"""Styles: prompt templates as files."""

import hashlib
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from pydantic import Field, computed_field, model_validator

from ..strict_yaml import Strict, find_config

CONFIGS = Path(__file__).parents[1] / "configs" / "synthesize"
_SEED = "text"
_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)


@lru_cache
def _compile(source: str) -> jinja2.Template:
    # Not kept in the style, which is pickled to worker processes.
    return _ENVIRONMENT.from_string(source)


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
        path = find_config(self.template, CONFIGS)
        if not path.is_file():
            raise ValueError(
                f"{self.template}: no such template; those that are shipped are in "
                f"{CONFIGS / 'prompts'}"
            )
        try:
            names = jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse(self._source))
        except (jinja2.TemplateSyntaxError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a Jinja template ({error})") from error
        if names != {_SEED}:
            raise ValueError(
                f"{path}: its variables are {', '.join(sorted(names)) or 'none'}; a template has "
                "the seed as {{ text }}, and nothing else"
            )
        return self

    @cached_property
    def _source(self) -> str:
        return find_config(self.template, CONFIGS).read_text(encoding="utf-8")

    @computed_field
    @cached_property
    def sha256(self) -> str:
        """Checksum of the template, so that rows and settings know a changed prompt."""
        return hashlib.sha256(self._source.encode()).hexdigest()

    def prompt(self, seed: str) -> str:
        """The user's turn for a seed."""
        return _compile(self._source).render({_SEED: seed}).strip()

    def messages(self, seed: str) -> list[dict[str, Any]]:
        """The conversation that is sent."""
        return [{"role": "user", "content": self.prompt(seed)}]

    @cached_property
    def instructions(self) -> list[str]:
        """Lines of the prompt that are not the seed's."""
        mark = "\0"
        lines = _compile(self._source).render({_SEED: mark}).splitlines()
        return [line.strip() for line in lines if line.strip() and mark not in line]
