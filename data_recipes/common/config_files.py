"""YAML files with a base and a typed schema, and the command lines that set values of them.

Unknown keys are errors, and so are options that are none; each message says what was meant.
"""

import argparse
import difflib
import re
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import RecipeError

# The recipes that ship.
CONFIGS = Path(__file__).parents[1] / "configs"


class Strict(BaseModel):
    """Base of every config section: immutable, unknown keys are errors.

    Attributes:
        dropped: keys of earlier versions, each with what to do instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dropped: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_dropped(cls, values: Any) -> Any:
        for key, instead in cls.dropped.items():
            if isinstance(values, dict) and key in values:
                raise ValueError(f"`{key}` is no more: {instead}")
        return values


Schema = TypeVar("Schema", bound=Strict)
# Of a text, with the spelling that model cards have too.
Licence = Annotated[str, Field(min_length=1, validation_alias=AliasChoices("licence", "license"))]


class _Loader(yaml.SafeLoader):
    """YAML with two differences: a key given twice is an error, where PyYAML takes the last one;
    and `1e9` is a number, as in YAML 1.2, where PyYAML sees text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _merge(base: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in new.items():
        # Shares are replaced, not merged: a stage or tokenizer states its own sources in full.
        whole = key in ("mixture", "weights")
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict) and not whole
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def read_yaml(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML mapping, laid over the file that its `base:` key names (relative to it).

    Args:
        path: the file.
        above: the files whose base it is, to notice a circle.

    Raises:
        RecipeError: missing file, invalid YAML, not a mapping, or bases in a circle.
    """
    if path.resolve() in above:
        raise RecipeError(f"{path}: its `base:` leads back to itself")
    if not path.is_file():
        raise RecipeError(f"{path}: no such config file")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid YAML ({error})") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected `key: value` pairs, got {type(content).__name__}")
    base = content.pop("base", None)
    if base is None:
        return content
    return _merge(read_yaml(path.parent / base, (*above, path.resolve())), content)


def config_chain(path: Path) -> list[Path]:
    """List a YAML file that `read_yaml` reads and the files that it is laid over."""
    content = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    base = content.get("base")
    return [path, *(config_chain(path.parent / base) if base else [])]


def find_config(path: str | Path, shipped: Path) -> Path:
    """A config file as given, or below the directory of those that are shipped."""
    path = Path(path)
    return path if path.is_file() or not (shipped / path).is_file() else shipped / path


def find_recipe(name: str, shipped: Path, option: str = "--config") -> Path:
    """Find a config file as given, or a shipped one by its name, with or without `.yaml`.

    Args:
        name: of the file.
        shipped: directory of those that are shipped.
        option: what the user named it with; begins the message.

    Raises:
        RecipeError: there is none; lists those that are shipped.
    """
    for path in (find_config(name, shipped), shipped / f"{name}.yaml"):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in shipped.glob("*.yaml"))) or "none"
    raise RecipeError(f"{option} {name}: no such file; shipped are {names}")


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one `dotted.key=value`; the value is read as YAML.

    Raises:
        RecipeError: no `=`, or a dotted key that runs through a plain value.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"override {override!r}: write it as key=value, e.g. batch.micro_batch=4")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"override {override!r}: not a YAML value ({error})") from error
    *parents, last = key.strip().split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise RecipeError(f"override {override!r}: {parent!r} is a value, not a section")
    values[last] = value


def _section(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside `Model`, `Model | None`, `list[Model]` or `dict[str, Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list, dict):
        for argument in typing.get_args(annotation):
            if section := _section(argument):
                return section
    return None


def _known_keys(schema: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    for key in location:
        if isinstance(key, str) and key in schema.model_fields:
            section = _section(schema.model_fields[key].annotation)
            if section is not None:
                schema = section
    return list(schema.model_fields)


def key_paths(schema: type[BaseModel], key: str, close: bool = False) -> list[str]:
    """Find a key in a schema and its sections, those in lists left out.

    Args:
        schema: of a config.
        key: its last name, such as `learning_rate`.
        close: take the name most like it instead.

    Returns:
        Paths as overrides have them: `optimizer.learning_rate`.
    """
    paths: dict[str, list[str]] = {}

    def walk(section: type[BaseModel], above: str) -> None:
        for name, field in section.model_fields.items():
            paths.setdefault(name, []).append(above + name)
            listed = typing.get_origin(field.annotation) in (list, dict)
            below = None if listed else _section(field.annotation)
            if below is not None:
                walk(below, f"{above}{name}.")

    walk(schema, "")
    names = difflib.get_close_matches(key, paths, n=1) if close else [key]
    return [path for name in names for path in paths.get(name, [])]


def _hint(schema: type[BaseModel], parents: tuple[Any, ...], key: str) -> str:
    """What an unknown key may have meant: itself elsewhere, one like it here, one elsewhere."""
    known = _known_keys(schema, parents)
    here = difflib.get_close_matches(key, known, n=1)
    if paths := key_paths(schema, key) or (here or key_paths(schema, key, close=True)):
        return f"did you mean {' or '.join(map(repr, paths))}?"
    return f"known keys: {', '.join(known)}"


def list_mistakes(error: ValidationError) -> list[str]:
    """List what pydantic refuses, each as place and message, without its references to itself."""
    told = []
    for each in error.errors():
        where = ".".join(map(str, each["loc"]))
        told.append(f"{where}: " * bool(where) + each["msg"].removeprefix("Value error, "))
    return told


def _explain(schema: type[BaseModel], error: Any, told: str) -> str:
    if error["type"] == "extra_forbidden":
        *parents, last = error["loc"]
        where = ".".join(map(str, error["loc"]))
        return f"{where}: unknown key; {_hint(schema, tuple(parents), str(last))}"
    given = "" if isinstance(error["input"], dict) else f" (given: {error['input']!r})"
    return f"{told if error['loc'] else f'config: {told}'}{given}"


def load_config(path: Path, schema: type[Schema], overrides: list[str]) -> Schema:
    """Read, override and validate a config file.

    Raises:
        RecipeError: lists every unknown key (with a suggestion) and every bad value.
    """
    values = read_yaml(path)
    for override in overrides:
        apply_override(values, override)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        mistakes = zip(error.errors(), list_mistakes(error))
        lines = [_explain(schema, each, told) for each, told in mistakes]
        raise RecipeError("\n  ".join([f"{path}:", *lines])) from error


def program_name(module: str) -> str:
    """Name a program as it was started: `kormo data`, or `python -m` and its module."""
    return sys.argv[0] if sys.argv[0].startswith("kormo ") else f"python -m {module}"


def documented_parser(documentation: str, module: str | None = None) -> argparse.ArgumentParser:
    """Make a parser whose help shows a module's documentation as it stands, examples and all.

    Args:
        documentation: of the module.
        module: that `python -m` starts, if it is not started by its file.
    """
    return argparse.ArgumentParser(
        prog=program_name(module) if module else None,
        description=documentation,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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


@dataclass(frozen=True)
class Invocation:
    """How a recipe was started."""

    config: Any
    config_path: Path
    dry_run: bool


def parse_recipe(
    shipped: Path,
    name: str,
    schema: type[Strict],
    description: str,
    example: str,
    argv: list[str] | None = None,
) -> Invocation:
    """Read `--config`, `--dry-run` and `key=value` overrides; the default is the tiny recipe.

    Args:
        shipped: directory of those that are shipped, by size.
        name: of the recipe's YAML.
        schema: of it.
        description: for `--help`.
        example: of an override.
        argv: the command line, by default the program's own.

    Raises:
        RecipeError: bad config, or one of another recipe.
    """
    parser = documented_parser(description)
    parser.add_argument(
        "--config",
        default=f"tiny/{name}.yaml",
        help=f"YAML file, or its path below {shipped.parent.name}/{shipped.name} "
        "(default: %(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and exit")
    add_overrides(parser, example)
    args, unknown = parser.parse_known_intermixed_args(argv)
    refuse_options(schema, unknown, argv)
    path = find_config(args.config, shipped)
    config = load_config(path, schema, args.overrides)
    if getattr(config, "stage", name) != name:
        raise RecipeError(
            f"{path}: is a config of {config.stage}; start it with recipes/{config.stage}.py"
        )
    return Invocation(config, path, args.dry_run)
