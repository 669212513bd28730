"""Prompts as files: Jinja templates whose variables are known beforehand."""

import hashlib
from functools import lru_cache
from pathlib import Path

import jinja2
import jinja2.meta

from ..common.config_files import find_config
from ..common.errors import RecipeError

_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)


class Prompt:
    """A template.

    Args:
        template: its file, as given or below `shipped`.
        shipped: directory of those that are shipped.
        variables: what it must use, all of it and nothing else.

    Raises:
        RecipeError: no such file, not a template, or other variables.
    """

    def __init__(self, template: Path, shipped: Path, variables: set[str]) -> None:
        path = find_config(template, shipped)
        if not path.is_file():
            raise RecipeError(
                f"{template}: no such template; those that are shipped are in {shipped / 'prompts'}"
            )
        try:
            self._source = path.read_text(encoding="utf-8")
            names = jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse(self._source))
        except (jinja2.TemplateSyntaxError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: not a Jinja template ({error})") from error
        if names != variables:
            raise RecipeError(
                f"{path}: its variables are {', '.join(sorted(names)) or 'none'}; this prompt has "
                f"to have {', '.join(sorted(variables))}, and no others"
            )

    @property
    def sha256(self) -> str:
        """Checksum, so that settings know a changed prompt."""
        return hashlib.sha256(self._source.encode()).hexdigest()

    def messages(self, **values: str | list[str]) -> list[dict[str, str]]:
        """The conversation that is sent: the user's turn."""
        text = _compile(self._source).render(**values).strip()
        return [{"role": "user", "content": text}]

    def instructions(self, **values: str | list[str]) -> list[str]:
        """Lines of the prompt without values; `values` says what its variables are like."""
        mark = "\0"
        marked = {name: mark if isinstance(v, str) else [mark] for name, v in values.items()}
        lines = _compile(self._source).render(**marked).splitlines()
        return [line.strip() for line in lines if line.strip() and mark not in line]


@lru_cache
def _compile(source: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(source)
