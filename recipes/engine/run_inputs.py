"""What a run reads, file by file with hashes, so that what has changed since can be named."""

import json
from pathlib import Path
from typing import Any

import yaml

from data_recipes.common.config_files import config_chain
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import open_staged, sha256_file
from data_recipes.tokens.best_fit import BestFitSource, plan_dir
from data_recipes.tokens.mixture import Mixture

from ..config import StageConfig

FINAL = "final"
RECIPE = "recipe.yaml"
REPRODUCE = "reproduce.json"
OTHER_BYTES = "has other bytes"
Inputs = dict[str, dict[str, str]]


def write_recipe(config: Any, directory: Path) -> None:
    """Write the resolved recipe of a stage."""
    with open_staged(directory / RECIPE) as file:
        values = config.model_dump(mode="json")
        yaml.safe_dump(values, file, sort_keys=False, allow_unicode=True)


def hash_weights(directory: Path) -> dict[str, str]:
    """SHA-256 of the weight files of a model, by name."""
    return {path.name: sha256_file(path) for path in sorted(directory.glob("*.safetensors"))}


def list_inputs(config: StageConfig, config_path: Path, mixture: Mixture) -> Inputs:
    """List every file that decides what a stage computes, with its SHA-256.

    Shards have those of their manifests, which opening them has compared.

    Args:
        config: of the stage, whose resolved recipe is written.
        config_path: the YAML that it was read from.
        mixture: of the stage.

    Returns:
        Path and hash by what the file is to the run.
    """
    recipe = config.logging.output_dir / RECIPE
    files = {"resolved recipe": recipe}
    files |= {f"config {path.name}": path for path in config_chain(config_path)}
    for pattern in ("tokenizer*.json", "*.jinja"):
        found = sorted(config.data.tokenizer.glob(pattern))
        files |= {f"tokenizer {path.name}": path for path in found}
    parent = Path(config.model.init_from or "")
    if config.model.init_from and parent.is_dir():
        for pattern in ("config.json", "*.safetensors"):
            files |= {f"parent {path.name}": path for path in sorted(parent.glob(pattern))}
    inputs = {
        name: {"path": str(path), "sha256": sha256_file(path)} for name, path in files.items()
    }
    for name, source in mixture.sources.items():
        hashes = {}
        for file in source.manifest.files:
            hashes |= {file.path: file.sha256, f"{file.path}.index": file.index_sha256}
        if isinstance(source, BestFitSource):
            folder = plan_dir(source.directory, source.sequence_length).name
            hashes |= {f"{folder}/{k}.bin": v for k, v in source.record.sha256.items()}
        for file, sha256 in hashes.items():
            path = str(source.directory / file)
            inputs[f"source {name}: {file}"] = {"path": path, "sha256": sha256}
    return inputs


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
