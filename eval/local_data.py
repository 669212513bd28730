"""Fetches the data of tasks for a machine without network.

python -m eval.local_data --out DIR --suite ko      # on a machine with network
python -m eval --model … --suite ko --data-dir DIR  # on the other
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from data_recipes.common.config_files import program_name
from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import run_command

if TYPE_CHECKING:
    from .task_manager import HubData


def fetch(data: HubData, data_dir: Path) -> int:
    """Write a data set's splits as Parquet, unless they are there; a killed run leaves no half.

    Returns:
        Rows written; 0 if the folder was there.

    Raises:
        RecipeError: the data set cannot be reached.
    """
    import datasets

    from data_recipes.common.files import staged_folder

    from .task_manager import UNREACHABLE

    folder = data.folder(data_dir)
    if folder.is_dir():
        return 0
    try:
        splits = datasets.load_dataset(data.path, data.name, **dict(data.options))
    except (*UNREACHABLE, RuntimeError, ValueError) as error:
        raise RecipeError(
            f"{data}: cannot be loaded ({error}); check the network, HF_HUB_OFFLINE and, if it "
            "lies behind a form, `hf auth login`"
        ) from error
    with staged_folder(folder) as unfinished:
        for split, rows in splits.items():
            rows.to_parquet(unfinished / f"{split}.parquet")
    return sum(len(rows) for rows in splits.values())


def _wanted(suites: list[str], tasks: list[str]) -> dict[str, HubData]:
    """Find the data sets that suites and tasks read, by their names."""
    from .suites import check_suite, leaf_entries, load_suite
    from .task_manager import LocalTaskManager, examples_data, hub_data

    manager = LocalTaskManager()
    loaded = [load_suite(name) for name in suites]
    for suite in loaded:
        check_suite(suite, manager)
    names = [*tasks, *(row.task for suite in loaded for row in suite.tasks)]
    configs = [entry.cfg or {} for name in names for entry in leaf_entries(manager, name)]
    found = [read(config) for config in configs for read in (hub_data, examples_data)]
    return {str(data): data for data in found if data}


def main(argv: list[str] | None = None) -> None:
    """Fetch what the named suites and tasks read.

    Raises:
        RecipeError: nothing asked for, unknown names, or data sets that cannot be reached; the
            others are fetched, and the same command goes on with those that are missing.
    """
    parser = argparse.ArgumentParser(
        prog=program_name("eval.local_data"), description="Fetch the data of tasks for --data-dir."
    )
    parser.add_argument("--out", type=Path, required=True, help="root of the local data")
    parser.add_argument("--suite", action="append", default=[], help="may be repeated")
    parser.add_argument("--task", action="append", default=[], help="may be repeated")
    args = parser.parse_args(argv)
    if not args.suite and not args.task:
        raise RecipeError("name what to fetch with --suite or --task")
    from tqdm import tqdm

    wanted = _wanted(args.suite, args.task)
    if not wanted:
        print("nothing to fetch: these tasks bring their own data")
    failed = []
    for data in tqdm(wanted.values(), desc="data sets", unit="set", disable=not wanted):
        try:
            rows = fetch(data, args.out)
        except RecipeError as error:
            failed.append(str(error))
            if isinstance(error.__cause__, ConnectionError):
                break  # the next ones would wait for the same network
            continue
        tqdm.write(f"{data.folder(args.out)}: {f'{rows:,} rows' if rows else 'there already'}")
    if failed:
        raise RecipeError("\n  ".join(["not fetched; run the same command again for:", *failed]))


if __name__ == "__main__":
    run_command(main, "eval")
