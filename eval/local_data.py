"""Tasks on local files in place of the Hub, and the command that fetches those files.

Layout: `DIR/<owner>/<name>/<config, or default>/<split>.jsonl` or `.parquet`. Any task works so,
also those of lm-eval and whole groups, because the data set is swapped where lm-eval builds a task
from its YAML; prompts and metrics are untouched.

    python -m eval.local_data --out DIR --suite ko      # on a machine with network
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as PACKAGED
from huggingface_hub.errors import HfHubHTTPError
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry
from tqdm import tqdm

from data_recipes.common.errors import RecipeError

from .subjects import SubjectTask, resolve_subject, subject_entries
from .suites import check_suite, leaf_entries, load_suite

TASKS = Path(__file__).parent / "tasks"
LM_EVAL_TASKS = Path(lm_eval.tasks.__file__).parent
_BUILDERS = {".parquet": "parquet", ".jsonl": "json"}
# What `datasets` raises for a repository or file that it cannot get: no network, HF_HUB_OFFLINE,
# no such data set, terms that were not accepted.
_UNREACHABLE = (ConnectionError, FileNotFoundError, HfHubHTTPError)


@dataclass(frozen=True)
class HubData:
    """A data set on the Hub: repository, configuration (`None`: the only one) and what else
    `datasets.load_dataset` is given, e.g. the revision."""

    path: str
    name: str | None
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.path} (configuration {self.name or 'default'})"

    def folder(self, data_dir: Path) -> Path:
        """Where its splits are expected."""
        return data_dir / self.path / (self.name or "default")


def hub_data(config: dict[str, Any]) -> HubData | None:
    """What a task reads from the Hub; `None` if it brings its own data.

    Args:
        config: the resolved YAML of a task.
    """
    if "subject" in config:
        config = resolve_subject(config)
    path = config.get("dataset_path")
    if config.get("custom_dataset") or not path or path in PACKAGED or Path(path).exists():
        return None
    options = dict(config.get("dataset_kwargs") or {})
    options.pop("trust_remote_code", None)  # `datasets` no longer runs code from the Hub
    return HubData(path, config.get("dataset_name"), tuple(options.items()))


def _splits_read(config: dict[str, Any]) -> set[str]:
    """The split that is scored and the one that solved examples come from, in lm-eval's order."""
    test = config.get("test_split") or config.get("validation_split")
    examples = (config.get("fewshot_config") or {}).get("split") or config.get("fewshot_split")
    if not examples and not (config.get("fewshot_config") or {}).get("samples"):
        examples = config.get("training_split") or config.get("validation_split")
    return {split for split in (test, examples) if split}


def _how_to_fetch(task: str) -> str:
    return (
        "on a machine with network, fetch it once with `python -m eval.local_data --out DIR "
        f"--task {task}`, copy DIR here, and pass --data-dir DIR"
    )


def local_files(data: HubData, data_dir: Path, task: str, splits: set[str]) -> dict[str, str]:
    """The file of every split of a data set below `data_dir`.

    Args:
        data: the data set.
        data_dir: root of the layout above.
        task: who asks, for the message.
        splits: those that must be there.

    Returns:
        The path of each split.

    Raises:
        RecipeError: no such folder or split, or one split in both formats.
    """
    folder = data.folder(data_dir)
    files: dict[str, str] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix in _BUILDERS:
            if path.stem in files:
                raise RecipeError(f"{folder}: split {path.stem} is there twice; keep one file")
            files[path.stem] = str(path)
    if missing := sorted(splits - files.keys()):
        raise RecipeError(
            f"{folder}: no {' or '.join(f'{split}.parquet, {split}.jsonl' for split in missing)}, "
            f"which task {task} reads from the data set {data}; {_how_to_fetch(task)}"
        )
    if len({Path(path).suffix for path in files.values()}) > 1:
        raise RecipeError(f"{folder}: .parquet and .jsonl side by side; use one format")
    return files


class _Factory(TaskFactory):
    """Builds lm-eval's tasks with the data set swapped, and explains a data set out of reach."""

    def __init__(self, data_dir: Path | None) -> None:
        super().__init__()
        self._data_dir = data_dir

    def _load_full_config(
        self, entry: Entry, overrides: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        config = super()._load_full_config(entry, overrides)
        if self._data_dir is None:
            return config
        if config.get("class") is SubjectTask:
            resolve_subject(config)  # refuses the form, of which there is no data
        elif "class" in config and not config.get("dataset_path"):
            raise RecipeError(
                f"task {entry.name} loads its data in a Python class of lm-eval, which --data-dir "
                "cannot replace; run it without --data-dir"
            )
        if data := hub_data(config):
            files = local_files(data, self._data_dir, entry.name, _splits_read(config))
            builder = _BUILDERS[Path(next(iter(files.values()))).suffix]
            config |= {"dataset_path": builder, "dataset_name": None}
            config["dataset_kwargs"] = {"data_files": files}
            config["metadata"]["data_set"] = str(data)
        return config

    def _build_task(self, entry: Entry, overrides: dict[str, Any] | None) -> Task:
        try:
            return super()._build_task(entry, overrides)
        except RecipeError:
            raise
        except Exception as error:
            data = hub_data(super()._load_full_config(entry, overrides))
            if data is None:
                raise
            if self._data_dir is not None:
                # Broken lines, other columns, no rows: each raises its own kind of error, from
                # the reader or from the task's templates, which lm-eval tries on one question.
                raise RecipeError(
                    f"{data.folder(self._data_dir)}: task {entry.name} cannot use these files "
                    f"({error.__cause__ or error!r}); they need the columns and values of {data}"
                ) from error
            if not isinstance(error, _UNREACHABLE):
                raise
            raise RecipeError(
                f"task {entry.name}: its data set {data} cannot be reached ({error}); if it lies "
                f"behind a form, accept its terms and run `hf auth login`; else "
                f"{_how_to_fetch(entry.name)}"
            ) from error


def _without_custom_data_hint(record: logging.LogRecord) -> bool:
    # lm-eval explains `--metadata` to users of its own command for every task with data of its own.
    return "Custom kwargs can be passed" not in record.getMessage()


class LocalTaskManager(TaskManager):
    """lm-eval's task manager with this project's tasks and, if asked, data from a folder.

    Pass it as `task_manager` to `lm_eval.simple_evaluate`, or call `load` with task names.
    """

    def __init__(
        self, data_dir: Path | None = None, folders: Sequence[Path] = (LM_EVAL_TASKS,)
    ) -> None:
        """
        Args:
            data_dir: root of local data; `None` reads the Hub or its cache.
            folders: of task files besides `eval/tasks`. Reading all of lm-eval's takes about ten
                seconds.

        Raises:
            RecipeError: `data_dir` is not a folder.
        """
        if data_dir is not None and not data_dir.is_dir():
            raise RecipeError(f"--data-dir {data_dir}: no such folder")
        super().__init__(include_path=[*folders, TASKS], include_defaults=False)
        logging.getLogger("lm_eval.api.task").addFilter(_without_custom_data_hint)
        self._factory = _Factory(data_dir)
        # Asked for by name, a subject is found in the index; lm-eval's has one task for each file.
        subjects = list(subject_entries(self._index))
        self._index |= {entry.name: entry for entry in subjects}
        self._all_tasks = sorted(self._index)
        forms = {entry.cfg["task"] for entry in subjects}
        self._all_subtasks = sorted({*self._all_subtasks, *(e.name for e in subjects)} - forms)


def fetch(data: HubData, data_dir: Path) -> int:
    """Write a data set's splits as Parquet, unless they are there; a killed run leaves no half.

    Returns:
        Rows written; 0 if the folder was there.

    Raises:
        RecipeError: the data set cannot be reached.
    """
    folder = data.folder(data_dir)
    if folder.is_dir():
        return 0
    try:
        splits = datasets.load_dataset(data.path, data.name, **dict(data.options))
    except (*_UNREACHABLE, RuntimeError, ValueError) as error:
        raise RecipeError(
            f"{data}: cannot be loaded ({error}); check the network, HF_HUB_OFFLINE and, if it "
            "lies behind a form, `hf auth login`"
        ) from error
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for split, rows in splits.items():
        rows.to_parquet(unfinished / f"{split}.parquet")
    unfinished.rename(folder)
    return sum(len(rows) for rows in splits.values())


def main(argv: list[str] | None = None) -> None:
    """Fetch what the named suites and tasks read.

    Raises:
        RecipeError: nothing asked for, unknown names, or data sets that cannot be reached; the
            others are fetched, and the same command goes on with those that are missing.
    """
    parser = argparse.ArgumentParser(
        prog="python -m eval.local_data", description="Fetch the data of tasks for --data-dir."
    )
    parser.add_argument("--out", type=Path, required=True, help="root of the local data")
    parser.add_argument("--suite", action="append", default=[], help="may be repeated")
    parser.add_argument("--task", action="append", default=[], help="may be repeated")
    args = parser.parse_args(argv)
    if not args.suite and not args.task:
        raise RecipeError("name what to fetch with --suite or --task")
    manager = LocalTaskManager()
    suites = [load_suite(name) for name in args.suite]
    for suite in suites:
        check_suite(suite, manager)
    names = [*args.task, *(row.task for suite in suites for row in suite.tasks)]
    leaves = [entry for name in names for entry in leaf_entries(manager, name)]
    wanted = {str(data): data for entry in leaves if (data := hub_data(entry.cfg or {}))}
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
    try:
        main()
    except (RecipeError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)
