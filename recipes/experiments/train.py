"""Training what an experiment, a forecast or a search consists of: one stage after another."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time

from data_recipes.common.errors import RecipeError

from ..command_line import CONFIGS
from .plan import Run


def add_size_and_launcher(parser: argparse.ArgumentParser) -> None:
    """Add what says which recipes are run, and how."""
    parser.add_argument("--size", required=True, help="of its recipes: tiny, small, 1b, 10b")
    parser.add_argument(
        "--launcher",
        default=shlex.quote(sys.executable),
        help='what starts a stage, such as "accelerate launch --config_file FILE"',
    )


def read_size_and_launcher(args: argparse.Namespace) -> tuple[str, list[str]]:
    """Check both.

    Raises:
        RecipeError: a size without recipes, or a launcher with an open quotation mark.
    """
    sizes = sorted(path.parent.name for path in CONFIGS.glob("*/stage1.yaml"))
    if args.size not in sizes:
        raise RecipeError(f"--size {args.size}: no such recipes; shipped are {', '.join(sizes)}")
    try:
        return args.size, shlex.split(args.launcher)
    except ValueError as error:
        raise RecipeError(f"--launcher {args.launcher}: {error}; close it") from error


def succeeds(command: list[str]) -> bool:
    """Run a stage in a process of its own."""
    try:
        return subprocess.run(command, check=False).returncode == 0
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
        for cell in run.cells:
            if not cell.done and not succeeds(cell.command(launcher)):
                raise RecipeError(
                    f"{where}: {cell.stage} failed; see its message above, then start this command "
                    "again"
                )


def print_commands(runs: list[Run], launcher: list[str]) -> None:
    """Print the command line of every stage that is not finished."""
    for run in runs:
        for cell in run.cells:
            if not cell.done:
                print(shlex.join(cell.command(launcher)))
