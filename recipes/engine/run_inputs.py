"""What a run reads, file by file with hashes, so that what has changed since can be named."""

import json
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file

FINAL = "final"
RECIPE = "recipe.yaml"
REPRODUCE = "reproduce.json"
OTHER_BYTES = "has other bytes"
Inputs = dict[str, dict[str, str]]


def find_changes(inputs: Inputs, directory: Path) -> list[str]:
    """Compare what a run read with what is there now.

    Args:
        inputs: as `list_inputs` had them.
        directory: of the run, which may have been moved.

    Returns:
        A line for each file that is gone or has other bytes.
    """
    changes = []
    for name, recorded in inputs.items():
        path = Path(recorded["path"])
        if name == "resolved recipe":
            path = directory / RECIPE
        if not path.is_file():
            changes.append(f"{name} ({path}) is not there")
        elif sha256_file(path) != recorded["sha256"]:
            changes.append(f"{name} ({path}) {OTHER_BYTES} than when the run read it")
    return changes


def read_reproduce(directory: Path) -> dict[str, Any] | None:
    """Read the record of a run, while it trains or from its `final/`; `None` if it has none.

    Raises:
        RecipeError: it is damaged.
    """
    for path in (directory / REPRODUCE, directory / FINAL / REPRODUCE):
        if path.is_file():
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise RecipeError(f"{path}: damaged ({error}); it cannot be replayed") from error
    return None
