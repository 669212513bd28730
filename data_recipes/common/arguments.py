"""What the command lines of all rooms share: the program's name, and values of a YAML."""

import argparse
import sys
from typing import Any, NoReturn

from pydantic import BaseModel

from .config_files import key_paths
from .errors import RecipeError


def program_name(module: str) -> str:
    """Name a program as it was started: `kormo data`, or `python -m` and its module."""
    return sys.argv[0] if sys.argv[0].startswith("kormo ") else f"python -m {module}"


def documented_parser(documentation: str) -> argparse.ArgumentParser:
    """Make a parser whose help shows a module's documentation as it stands, examples and all."""
    return argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )


class Dropped(argparse.Action):
    """Refuse an option of earlier versions by name, and say what takes its place (`const`)."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        parser.error(f"{self.option_strings[0]} is gone: {self.const}")


def positive(text: str) -> int:
    """Read a count, as the `type` of an argument."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return value


def add_overrides(parser: argparse.ArgumentParser, example: str, what: str = "the YAML") -> None:
    """Add `key=value …` to a command line.

    Args:
        parser: gets the argument `overrides`.
        example: one that can be typed.
        what: whose values they are.
    """
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help=f"values to put in place of those in {what}, dots between section and key: {example}",
    )


def refuse_options(
    schema: type[BaseModel] | None, unknown: list[str], argv: list[str] | None = None
) -> None:
    """Refuse options that are none, and say how the value is set that one of them meant.

    Args:
        schema: of the YAML; `None` if it is not known yet.
        unknown: what argparse could not read; the first is explained.
        argv: the command line, by default the program's own.

    Raises:
        RecipeError: there is one.
    """
    if not unknown:
        return
    option, _, value = unknown[0].partition("=")
    if not value:
        following = iter(sys.argv[1:] if argv is None else argv)
        value = next((next(following, "") for word in following if word == option), "")
    if not value or value.startswith("-") or "=" in value:
        value = "VALUE"
    name = option.lstrip("-").replace("-", "_")
    *sections, key = name.split(".")
    paths = [name] if schema is None and sections else key_paths(schema, key) if schema else []
    paths = [path for path in paths if path.endswith(name)] or paths
    if paths:
        how = " or ".join(f"{path}={value}" for path in paths)
    else:
        how = "key=value, and --help lists the options"
    raise RecipeError(f"{option}: no such option; a value of the YAML is set as {how}")
