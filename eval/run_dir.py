"""A run's directory: settings that must not change, and one pair of files per finished task."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import write_json_atomically

from .plan import Unit

RESULTS = "results.json"
_SETTINGS = "settings.json"
# Of a finished task, what must be as the plan has it.
_ASKED = ("task", "shots", "chat", "think")


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
        self._lock = self._claim()
        try:
            self._settle(settings)
        except RecipeError:
            self._lock.close()
            raise

    def _claim(self) -> IO[str]:
        try:
            (self.path / "tasks").mkdir(parents=True, exist_ok=True)
            # Held while the object lives, and let go by the system however the process ends.
            lock = (self.path / ".lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecipeError(
                f"--out {self.path}: another evaluation is writing there; wait for it, or choose "
                "another directory"
            ) from error
        except OSError as error:
            raise RecipeError(
                f"--out {self.path}: cannot be written to ({error.strerror}); choose another "
                "directory or free space"
            ) from error
        return lock

    def _settle(self, settings: dict[str, Any]) -> None:
        path = self.path / _SETTINGS
        if not path.is_file():
            write_json_atomically(path, settings)
            return
        recorded = json.loads(path.read_text(encoding="utf-8"))
        _refuse_differences(self.path, recorded, settings)

    def _file(self, unit: Unit) -> Path:
        return self.path / "tasks" / f"{unit.key}.json"

    def finished(self, unit: Unit) -> dict[str, Any] | None:
        """What was saved of a unit; `None` if it has not been run.

        Raises:
            RecipeError: it was asked in another way.
        """
        path = self._file(unit)
        if not path.is_file():
            return None
        saved = json.loads(path.read_text(encoding="utf-8"))
        _refuse_differences(path, {k: saved[k] for k in _ASKED}, asdict(unit))
        return saved

    def save(self, unit: Unit, result: dict[str, Any], samples: Iterable[str]) -> None:
        """Write a unit's samples, then its result, whose presence says that both are whole.

        Args:
            unit: the unit.
            result: figures.
            samples: one JSON object per question.
        """
        temporary = self.path / "tasks" / f"{unit.key}.jsonl.tmp"
        with temporary.open("w", encoding="utf-8") as handle:
            handle.writelines(f"{line}\n" for line in samples)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, samples_file(self.path, unit.key))
        write_json_atomically(self._file(unit), asdict(unit) | result)

    def close(self) -> None:
        """Let another process write there."""
        self._lock.close()


def _refuse_differences(where: Path, was: dict[str, Any], is_: dict[str, Any]) -> None:
    differences = [
        f"{key}: was {was.get(key)!r}, is {is_.get(key)!r}"
        for key in sorted({*was, *is_})
        if was.get(key) != is_.get(key)
    ]
    if differences:
        raise RecipeError(
            "\n  ".join(
                [
                    f"{where}: evaluated with other settings; undo the change, or choose another "
                    "--out:",
                    *differences,
                ]
            )
        )


def samples_file(run: Path, key: str) -> Path:
    """Where the questions and answers of a unit are."""
    return run / "tasks" / f"{key}.jsonl"


def read_samples(run: Path, key: str) -> Iterator[dict[str, Any]]:
    """Questions and answers of a unit, in the order of the data.

    Raises:
        RecipeError: they are not there.
    """
    path = samples_file(run, key)
    if not path.is_file():
        raise RecipeError(f"{path}: missing; run the evaluation into {run} again")
    with path.open(encoding="utf-8") as handle:
        yield from map(json.loads, handle)


def read_results(run: Path) -> dict[str, Any]:
    """`results.json` of a finished run.

    Raises:
        RecipeError: no such file.
    """
    path = run / RESULTS
    if not path.is_file():
        raise RecipeError(
            f"{path}: no such file; give the --out directory of an evaluation that has ended "
            "(started again, the same command goes on with one that has not)"
        )
    return json.loads(path.read_text(encoding="utf-8"))
