"""From a checkpoint back to the data of all its stages, by what lies in each `final/`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.tokens.mixture import Mixture

from ..local_model import load_tokenizer
from .corpora import Corpus, RowCorpus, ShardCorpus

_LINEAGE, _RECIPE = "lineage.json", "recipe.yaml"


@dataclass(frozen=True)
class TrainedStage:
    """One stage of a checkpoint's history.

    Attributes:
        name: of the stage.
        directory: its `final/`.
        recipe: its resolved config.
        lineage: of its weights.
    """

    name: str
    directory: Path
    recipe: dict[str, Any]
    lineage: dict[str, Any]


def history(model: Path, root: Path) -> tuple[list[TrainedStage], str | None]:
    """The stages of a checkpoint, first to last.

    Args:
        model: a stage's `final/`.
        root: what relative paths in recipes start from: where training ran.

    Returns:
        The stages; and the model from elsewhere that the first began with, if there is one, whose
        data nobody here knows.

    Raises:
        RecipeError: no such checkpoint, or one of its parents is not there.
    """
    stages: list[TrainedStage] = []
    directory = model
    while True:
        stage = _read(directory, child=stages[-1] if stages else None)
        stages.append(stage)
        parent = stage.lineage["parent"]
        if parent is None:
            return stages[::-1], None
        if stage.lineage["parent_lineage"] is None:
            return stages[::-1], parent
        directory = root / parent


def _read(directory: Path, child: TrainedStage | None) -> TrainedStage:
    remedy = "name a stage's final/ directory"
    if child is not None:
        remedy = (
            f"it is the parent of {child.directory}; run this where training ran, or say with "
            "--root what the recipes' paths start from"
        )
    try:
        lineage = json.loads((directory / _LINEAGE).read_text(encoding="utf-8"))
        recipe = yaml.safe_load((directory / _RECIPE).read_text(encoding="utf-8"))
        if missing := {"stage", "parent", "parent_lineage", "data_fingerprint"} - lineage.keys():
            raise ValueError(f"no {', '.join(sorted(missing))}")
    except OSError as error:
        raise RecipeError(f"{error.filename}: not there; {remedy}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise RecipeError(f"{directory}: damaged {_LINEAGE} or {_RECIPE} ({error})") from error
    return TrainedStage(lineage["stage"], directory, recipe, lineage)


def corpora(stage: TrainedStage, root: Path) -> list[Corpus]:
    """The data of a stage: token shards, or rows of a chat stage.

    Sources count whole, also where a stage drew only a part of their windows.

    Raises:
        RecipeError: the data is not there, or not what the stage was trained on.
    """
    data = stage.recipe["data"]
    if "mixture" in data:
        return _shards(stage, data, root)
    if "sources" in data:
        return [RowCorpus(_resolve(s["path"], root), s["max_rows"]) for s in data["sources"]]
    if "paths" in data:
        return [RowCorpus(_resolve(path, root), None) for path in data["paths"]]
    raise RecipeError(
        f"{stage.directory / _RECIPE}: no data.mixture, data.sources or data.paths, so it does not "
        "say what the stage was trained on"
    )


def _resolve(path: str, root: Path) -> str:
    return path if "://" in path else str(root / path)


def _shards(stage: TrainedStage, data: dict[str, Any], root: Path) -> list[Corpus]:
    tokenizer = load_tokenizer(str(stage.directory))
    length = stage.recipe["batch"]["sequence_length"]
    mixture = Mixture(
        root / data["shards"],
        data["mixture"],
        length,
        data["seed"],
        data["packing"],
        tokenizer.pad_token_id,
    )
    if mixture.fingerprint != stage.lineage["data_fingerprint"]:
        raise RecipeError(
            f"{root / data['shards']}: not the data that {stage.directory} was trained on (its "
            "fingerprint differs); the shards have been made again since. Name the old ones' "
            "directory tree with --root, or train again"
        )
    return [ShardCorpus(source.directory, tokenizer) for source in mixture.sources.values()]
