"""Checkpoints that are whole or absent, and the fingerprint that a resumed run must match."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from data_recipes.errors import RecipeError
from data_recipes.manifest import write_json_atomically

STAGING = ".staging"
FINGERPRINT = "fingerprint.json"
_PREFIX = "checkpoint-"


def checkpoint_step(path: Path) -> int:
    """Step of a `checkpoint-N` directory.

    Raises:
        RecipeError: not such a directory, or one without a trainer state.
    """
    state = path / "trainer_state.json"
    if not state.is_file():
        raise RecipeError(f"{path}: not a checkpoint (no trainer_state.json)")
    return json.loads(state.read_text(encoding="utf-8"))["global_step"]


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Whole checkpoints, oldest first. They get their names only once they are whole."""
    found = [p for p in output_dir.glob(f"{_PREFIX}*") if p.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix(_PREFIX)))


def _flush(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())


def publish(staged: Path, output_dir: Path, keep: int) -> Path:
    """Give a staged checkpoint its name, then remove the oldest beyond `keep` (0: none)."""
    _flush(staged)
    final = output_dir / staged.name
    if final.exists():
        shutil.rmtree(final)
    os.replace(staged, final)
    if keep:
        for old in list_checkpoints(output_dir)[:-keep]:
            # Renamed first: a deletion that is cut short must not leave half a checkpoint.
            doomed = output_dir / STAGING / f"old-{old.name}"
            os.replace(old, doomed)
            shutil.rmtree(doomed)
    return final


def clear_staging(output_dir: Path) -> None:
    """Remove what a killed run left half-written."""
    shutil.rmtree(output_dir / STAGING, ignore_errors=True)


def check_fingerprint(directory: Path, current: dict[str, Any], ignore: tuple[str, ...]) -> None:
    """Compare a run's recorded fingerprint with the current one.

    Args:
        directory: output directory of the run.
        current: fingerprint of the configured run, one level of sections.
        ignore: sections that may differ.

    Raises:
        RecipeError: names every value that differs.
    """
    path = directory / FINGERPRINT
    if not path.is_file():
        raise RecipeError(f"{path}: missing, so it cannot be told whether the run is the same")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    differences = [
        f"{section}.{key}: was {recorded.get(section, {}).get(key)!r}, is {value!r}"
        for section, values in current.items()
        if section not in ignore
        for key, value in values.items()
        if recorded.get(section, {}).get(key) != value
    ]
    if differences:
        raise RecipeError(
            "\n  ".join(
                [
                    f"{directory}: the run there was started with other settings or other data; "
                    "undo the change, or choose another logging.output_dir:",
                    *differences,
                ]
            )
        )


def record_fingerprint(output_dir: Path, current: dict[str, Any]) -> None:
    """Write the fingerprint of a new run."""
    write_json_atomically(output_dir / FINGERPRINT, current)
