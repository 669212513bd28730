"""lm-eval's tasks and ours, on the Hub's data or on local files in their place.

Local data lies in `DIR/<owner>/<name>/<config, or default>/<split>.jsonl` or `.parquet`.
Any task
works so, also those of lm-eval and whole groups, because the data set is swapped where lm-eval
builds a task from its YAML; prompts and metrics are untouched.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import lm_eval.tasks
import lm_eval.utils
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as PACKAGED
from huggingface_hub.errors import HfHubHTTPError
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import GROUP_FIELD_NAMES, TaskFactory
from lm_eval.tasks._index import Entry, Kind
from lm_eval.tasks._yaml_loader import load_yaml

from data_recipes.common.errors import RecipeError

from .subjects import SubjectTask, resolve_subject, subject_entries

TASKS = Path(__file__).parent / "tasks"
LM_EVAL_TASKS = Path(lm_eval.tasks.__file__).parent
_BUILDERS = {".parquet": "parquet", ".jsonl": "json"}
# What `datasets` raises for a repository or file that it cannot get: no network, HF_HUB_OFFLINE,
# no such data set, terms that were not accepted.
UNREACHABLE = (ConnectionError, FileNotFoundError, HfHubHTTPError)

# lm-eval compiles a template for each question, example and choice again, which takes most of the
# time that is not the model's.
lm_eval.utils.env.from_string = lru_cache(maxsize=4096)(lm_eval.utils.env.from_string)


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
        """Return where its splits are expected."""
        return data_dir / self.path / (self.name or "default")


def hub_data(config: dict[str, Any]) -> HubData | None:
    """Tell what a task reads from the Hub; `None` if it brings its own data.

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


def examples_data(config: dict[str, Any]) -> HubData | None:
    """Tell where a subject's solved examples come from, if not from its own data set."""
    examples = config.get("examples") if "subject" in config else None
    if not examples or examples["path"] in PACKAGED:
        return None
    options = {key: value for key, value in examples.items() if key not in ("path", "split")}
    return HubData(
        examples["path"], resolve_subject(config)["dataset_name"], tuple(options.items())
    )


def _splits_read(config: dict[str, Any]) -> set[str]:
    """Tell the split that is scored and the one of solved examples, in lm-eval's order."""
    test = config.get("test_split") or config.get("validation_split")
    examples = (config.get("fewshot_config") or {}).get("split") or config.get("fewshot_split")
    if not examples and not (config.get("fewshot_config") or {}).get("samples"):
        examples = config.get("training_split") or config.get("validation_split")
    if config.get("examples"):
        examples = None
    return {split for split in (test, examples) if split}


def _how_to_fetch(task: str) -> str:
    return (
        "on a machine with network, fetch it once with `python -m eval.local_data --out DIR "
        f"--task {task}`, copy DIR here, and pass --data-dir DIR"
    )


def local_files(data: HubData, data_dir: Path, task: str, splits: set[str]) -> dict[str, str]:
    """Find the file of every split of a data set below `data_dir`.

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


def _builder(files: dict[str, str]) -> str:
    return _BUILDERS[Path(next(iter(files.values()))).suffix]


class _Factory(TaskFactory):
    """Builds lm-eval's tasks with the data set swapped, and explains a data set out of reach."""

    def __init__(self, data_dir: Path | None) -> None:
        super().__init__()
        self._data_dir = data_dir

    # Every task passes here with its resolved YAML, on its own or in a group, before lm-eval loads
    # its data.
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
        if examples := examples_data(config):
            split = config["examples"]["split"]
            files = local_files(examples, self._data_dir, entry.name, {split})
            config["examples"] = {
                **{"path": _builder(files), "name": None, "data_files": files, "split": split}
            }
        if data := hub_data(config):
            files = local_files(data, self._data_dir, entry.name, _splits_read(config))
            config |= {"dataset_path": _builder(files), "dataset_name": None}
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
            if not isinstance(error, UNREACHABLE):
                raise
            raise RecipeError(
                f"task {entry.name}: its data set {data} cannot be reached ({error}); if it lies "
                f"behind a form, accept its terms and run `hf auth login`; else "
                f"{_how_to_fetch(entry.name)}"
            ) from error


def _without_custom_data_hint(record: logging.LogRecord) -> bool:
    # lm-eval explains `--metadata` to users of its own command for every task with data of its own.
    return "Custom kwargs can be passed" not in record.getMessage()


def _named_by_us(index: Mapping[str, Entry]) -> Iterator[Entry]:
    """Make `kormo_kmmlu_law` and `kormo_kmmlu_stem` of lm-eval's `kmmlu_law` and `kmmlu_stem`.

    Asked for alone, a part of `kormo_kmmlu` or `kormo_kmmlu_hard` has the examples and the revision
    of the data that it has in the group; under lm-eval's own name it has neither.
    """
    groups = [entry for entry in index.values() if entry.kind is Kind.GROUP]
    for group in [entry for entry in groups if "num_fewshot" in entry.cfg]:
        parts = [index[name] for name in group.cfg["task"] if name in index]
        of_all = {key: group.cfg[key] for key in group.cfg.keys() - GROUP_FIELD_NAMES}
        for part in parts:
            name = f"kormo_{part.name}"
            if part.kind is Kind.TAG:
                parts += [index[task] for task in sorted(part.tags)]
            elif part.kind is Kind.GROUP:
                parts += [index[inner] for inner in part.cfg["task"]]
                config = group.cfg | {"group": name, "task": [part.name]}
                yield Entry(name, Kind.GROUP, None, config)
            else:
                config = load_yaml(part.yaml_path)
                metadata = group.cfg["metadata"] | config.get("metadata", {})
                yield Entry(
                    name, Kind.TASK, None, config | of_all | {"task": name, "metadata": metadata}
                )


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
        forms = {entry.cfg["task"] for entry in subjects}
        more = [*subjects, *_named_by_us(self._index)]
        self._index |= {entry.name: entry for entry in more}
        self._all_tasks = sorted(self._index)
        self._all_subtasks = sorted({*self._all_subtasks, *(e.name for e in subjects)} - forms)
