"""Training what an experiment, a forecast or a search consists of: one stage after another."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.common.config_files import (
    Strict,
    add_overrides,
    find_recipe,
    load_config,
    refuse_options,
)
from data_recipes.common.errors import RecipeError

from ..command_line import CONFIGS, run_process
from .runs import Run


@dataclass(frozen=True)
class Study:
    """An experiment, a forecast or a search, as its command line asks for it.

    Attributes:
        args: of the command's own options.
        size: of the recipes that are run.
        launcher: words that start a stage.
        path: of its YAML.
        config: read from there, with overrides.
    """

    args: argparse.Namespace
    size: str
    launcher: list[str]
    path: Path
    config: Any

    @property
    def said(self) -> str:
        """What was said to get it, behind the command's name."""
        return shlex.join([self.args.name, "--size", self.size, *self.args.overrides])


def read_study(
    parser: argparse.ArgumentParser, schema: type[Strict], folder: str, kind: str, example: str
) -> Study:
    """Read the command line of a study.

    Args:
        parser: with the options that are its own.
        schema: of its YAML.
        folder: of those that are shipped, below recipes/configs.
        kind: what it is called.
        example: of an override.

    Raises:
        RecipeError: a bad config, a size without recipes, or a launcher with an open quotation
            mark.
    """
    parser.add_argument("name", metavar="NAME", help=f"of the {kind}, or a YAML file")
    parser.add_argument("--size", required=True, help="of its recipes: tiny, small, 1b, 10b")
    parser.add_argument(
        "--launcher",
        default=shlex.quote(sys.executable),
        help='what starts a stage, such as "accelerate launch --config_file FILE"',
    )
    add_overrides(parser, example, f"the {kind}")
    args, unknown = parser.parse_known_intermixed_args()
    refuse_options(schema, unknown)
    sizes = sorted(path.parent.name for path in CONFIGS.glob("*/stage1.yaml"))
    if args.size not in sizes:
        raise RecipeError(f"--size {args.size}: no such recipes; shipped are {', '.join(sizes)}")
    try:
        launcher = shlex.split(args.launcher)
    except ValueError as error:
        raise RecipeError(f"--launcher {args.launcher}: {error}; close it") from error
    path = find_recipe(args.name, CONFIGS / folder / args.size, kind)
    return Study(args, args.size, launcher, path, load_config(path, schema, args.overrides))


def succeeds(command: list[str]) -> bool:
    """Run a stage in a process of its own."""
    try:
        return run_process(command) == 0
    except OSError as error:
        raise RecipeError(
            f"--launcher: {command[0]} cannot be started ({error.strerror}); name what starts a "
            "stage, such as `accelerate launch`"
        ) from error


def train_runs(runs: list[Run], launcher: list[str]) -> None:
    """Run what is not finished, one stage after another.

    Raises:
        RecipeError: a stage failed.
    """
    left = [run for run in runs if not run.done]
    start = time.monotonic()
    for number, run in enumerate(left):
        where = f"run {len(runs) - len(left) + number + 1} of {len(runs)}: {run.name}"
        spent = time.monotonic() - start
        eta = f", about {spent / number * (len(left) - number) / 60:.0f} min left" if number else ""
        print(f"\n== {where}{eta} ==", flush=True)
        for cell in run.stages():
            for command in cell.commands(launcher):
                if not succeeds(command):
                    raise RecipeError(
                        f"{where}: {cell.stage} failed; see its message above, then start this "
                        "command again"
                    )


def print_commands(runs: list[Run], launcher: list[str]) -> None:
    """Print the command line of every stage that is not finished, a shared parent's once."""
    cells = {cell.directory: cell for run in runs for cell in run.stages()}
    for cell in cells.values():
        for command in cell.commands(launcher):
            print(shlex.join(command))
