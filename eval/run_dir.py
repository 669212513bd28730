"""A run's directory: settings that must not change, and one pair of files per finished task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    DirectoryLock,
    bind_settings,
    check_settings,
    open_staged,
    write_json_atomically,
)

from .plan import Unit
from .published import load_published

RESULTS = "results.json"
# Of a finished task, what must be as the plan has it.
_ASKED = ("task", "shots", "chat", "think")
# Of `results.json`, of each of its rows, and of an answered question, what is read.
_RESULTS = ("rows", "units", "name", "date", "settings")
_ROW = {
    **dict.fromkeys(("task", "suite", "label", "metric"), str),
    **dict.fromkeys(("chat", "think", "group"), bool),
    **{"shots": int, "items": int, "value": int | float, "published": str | None, "units": list},
}
_SAMPLE = (
    *("doc_id", "doc_hash", "filter", "prompt", "choices", "target", "responses", "answer"),
    "metrics",
)
_REMEDY = "undo the change, or choose another --out"
_OTHERWISE = "evaluated with other settings"


class RunDir:
    """Claims a directory for one run and keeps its finished tasks.

    Args:
        path: made if it is not there.
        settings: what holds for the whole run.

    Raises:
        RecipeError: it cannot be written, another process writes there, or it holds a run with
            other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self._lock = DirectoryLock(path, option="--out")
        try:
            (path / "tasks").mkdir(exist_ok=True)
            bind_settings(path, settings, _REMEDY, what=_OTHERWISE)
        except BaseException:
            self._lock.close()
            raise

    def _file(self, unit: Unit) -> Path:
        return self.path / "tasks" / f"{unit.key}.json"

    def finished(self, unit: Unit, data: dict[str, Any]) -> dict[str, Any] | None:
        """Read what was saved of a unit; `None` if it has not been run.

        Args:
            unit: the unit.
            data: number of its task's questions, and its version, as they are now.

        Raises:
            RecipeError: it was asked in another way or about other data, or the file is damaged.
        """
        path = self._file(unit)
        if not path.is_file():
            return None
        saved = _read_json(path, "delete it, and the same command asks this task again", _ASKED)
        was = {k: saved[k] for k in (*_ASKED, *(k for k in data if k in saved))}
        now = {k: v for k, v in (asdict(unit) | data).items() if k in was}
        check_settings(path, was, now, _REMEDY, _OTHERWISE)
        return saved

    def save(self, unit: Unit, result: dict[str, Any], samples: Iterable[str]) -> None:
        """Write a unit's samples, then its result, whose presence says that both are whole.

        Args:
            unit: the unit.
            result: figures.
            samples: one JSON object per question.
        """
        with open_staged(samples_file(self.path, unit.key)) as handle:
            handle.writelines(f"{line}\n" for line in samples)
        write_json_atomically(self._file(unit), asdict(unit) | result)

    def close(self) -> None:
        """Let another process write there."""
        self._lock.close()


def _check(content: Any, keys: Iterable[str], what: str = "") -> None:
    """Refuse what is no object with these keys.

    Raises:
        ValueError: says what it lacks, after `what` it is.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{what}no object")
    if missing := sorted(set(keys) - set(content)):
        raise ValueError(f"{what}no {', '.join(missing)}")


def _check_figures(row: dict[str, Any], what: str) -> None:
    interval, floor = row.get("interval"), row.get("floor")
    whole = isinstance(interval, list) and len(interval) == 2
    if interval is not None and not (whole and all(isinstance(e, int | float) for e in interval)):
        raise ValueError(f"{what}interval is {interval!r}")
    if not isinstance(floor, int | float | None):
        raise ValueError(f"{what}floor is {floor!r}")
    if row["published"] is not None and row["published"] not in load_published().rows():
        raise ValueError(f"{what}published is {row['published']!r}, no row of the model card")


def _read_json(path: Path, remedy: str, keys: Iterable[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        _check(content, keys)
        rows = content.get("rows", [])
        if not isinstance(rows, list) or not isinstance(content.get("units", {}), dict):
            raise ValueError("`rows` is no list, or `units` no object")
        for number, row in enumerate(rows, start=1):
            _check(row, _ROW, f"row {number}: ")
            for key, types in _ROW.items():
                if not isinstance(row[key], types):
                    raise ValueError(f"row {number}: {key} is {row[key]!r}")
            known = list(content["units"])  # no set: a unit may be of any type
            if not row["units"] or any(unit not in known for unit in row["units"]):
                raise ValueError(f"row {number}: its units are not all in `units`")
            _check_figures(row, f"row {number}: ")
    except ValueError as error:
        raise RecipeError(f"{path}: damaged ({error}); {remedy}") from error
    return content


def samples_file(run: Path, key: str) -> Path:
    """Return where the questions and answers of a unit are."""
    return run / "tasks" / f"{key}.jsonl"


def read_samples(run: Path, key: str) -> Iterator[dict[str, Any]]:
    """Yield questions and answers of a unit, in the order of the data.

    Raises:
        RecipeError: they are not there, or damaged.
    """
    path = samples_file(run, key)
    if not path.is_file():
        raise RecipeError(f"{path}: missing; run the evaluation into {run} again")
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                record = json.loads(line)
                _check(record, _SAMPLE)
                yield record
            except ValueError as error:
                raise RecipeError(
                    f"{path}: damaged in line {number} ({error}); delete it and "
                    f"{path.with_suffix('.json').name}, and run the evaluation into {run} again"
                ) from error


def read_results(run: Path) -> dict[str, Any]:
    """Read `results.json` of a finished run.

    Raises:
        RecipeError: no such file, or a damaged one.
    """
    path = run / RESULTS
    if not path.is_file():
        raise RecipeError(
            f"{path}: no such file; give the --out directory of an evaluation that has ended "
            "(started again, the same command goes on with one that has not)"
        )
    remedy = "delete it and start the evaluation again: finished tasks are kept"
    return _read_json(path, remedy, _RESULTS)
