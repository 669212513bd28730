"""Prompts as files, Jinja templates whose variables are known beforehand; pictures before them."""

import base64
import hashlib
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..common.config_files import find_config
from ..common.errors import RecipeError

# Sandboxed, since recipes and their templates are passed on between people.
_Environment = partial(
    ImmutableSandboxedEnvironment,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)
# How the formats that servers take begin.
_FORMATS = {b"\x89PNG\r\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


@lru_cache
def _compile(sources: tuple[tuple[str, str], ...]) -> jinja2.Template:
    """Compile the first of some named templates, which may extend the others."""
    return _Environment(loader=jinja2.DictLoader(dict(sources))).get_template(sources[0][0])


class Prompt:
    """A template.

    Args:
        template: its file, as given or below `shipped`.
        shipped: directory of those that are shipped.
        variables: what it must use.
        optional: what it may use besides, and nothing else.

    Raises:
        RecipeError: no such file, not a template, or other variables.
    """

    def __init__(
        self,
        template: Path,
        shipped: Path,
        variables: set[str],
        optional: frozenset[str] = frozenset(),
    ) -> None:
        self.path = find_config(template, shipped)
        if not self.path.is_file():
            raise RecipeError(
                f"{template}: no such template; those that are shipped are in {shipped / 'prompts'}"
            )
        names: set[str] = set()
        self._sources: tuple[tuple[str, str], ...] = ()
        try:
            self._read(self.path, names)
            _compile(self._sources)
        except (jinja2.TemplateError, OSError, ValueError) as error:
            raise RecipeError(f"{self.path}: not a Jinja template ({error})") from error
        if not variables <= names <= variables | optional:
            also = f" (and may have {', '.join(sorted(optional))})" if optional else ""
            raise RecipeError(
                f"{self.path}: its variables are {', '.join(sorted(names)) or 'none'}; this prompt "
                f"has to have {', '.join(sorted(variables))}{also}, and no others"
            )

    def _read(self, path: Path, names: set[str]) -> None:
        """Read a template and, from beside it, those that it extends."""
        source = path.read_text(encoding="utf-8")
        tree = _Environment().parse(source)
        self._sources += ((path.name, source),)
        names |= jinja2.meta.find_undeclared_variables(tree)
        for extended in jinja2.meta.find_referenced_templates(tree):
            if extended is not None:
                self._read(path.with_name(extended), names)

    @property
    def sha256(self) -> str:
        """Checksum, so that settings know a changed prompt."""
        return hashlib.sha256("".join(text for _, text in self._sources).encode()).hexdigest()

    def render(self, **values: Any) -> str:
        """Fill the template in.

        Raises:
            RecipeError: it does what a prompt may not, or cannot.
        """
        try:
            return _compile(self._sources).render(**values).strip()
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError) as error:
            raise RecipeError(f"{self.path}: not a usable prompt ({error})") from error

    def messages(self, **values: Any) -> list[dict[str, str]]:
        """Build the conversation that is sent: the user's turn."""
        return [{"role": "user", "content": self.render(**values)}]

    def instructions(self, **values: str | list[str]) -> list[str]:
        """Return the lines of the prompt without values; `values` says what its variables are like.

        Returns:
            Lines without white space around them, empty ones left out.
        """
        mark = "\0"
        marked = {name: mark if isinstance(v, str) else [mark] for name, v in values.items()}
        lines = _compile(self._sources).render(**marked).splitlines()
        return [line.strip() for line in lines if line.strip() and mark not in line]


def data_url(path: Path) -> str:
    """Write a picture out as a `data:` URL: its bytes are part of a request, and of its hash.

    Raises:
        RecipeError: no such file, or none of PNG, JPEG, GIF and WebP.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: no such picture ({error.strerror})") from error
    kind = next((name for begin, name in _FORMATS.items() if data.startswith(begin)), None)
    if kind is None:
        raise RecipeError(f"{path}: not a PNG, JPEG, GIF or WebP; convert it")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def show(messages: list[dict[str, Any]], pictures: list[Path]) -> list[dict[str, Any]]:
    """Put pictures before the text of a conversation's first turn.

    Raises:
        RecipeError: as of `data_url`.
    """
    first, *others = messages
    parts = [{"type": "image_url", "image_url": {"url": data_url(path)}} for path in pictures]
    return [{**first, "content": [*parts, {"type": "text", "text": first["content"]}]}, *others]
