"""What the runs of an experiment read that is not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes.common.errors import RecipeError
from data_recipes.common.references import is_hub_id

from ..config import SELF_CONTAINED
from .config import ExperimentConfig
from .runs import PlannedStage, Run

_COMMANDS = {"data": "kormo data knowledge", "graph": "kormo train kge"}


def _named(cell: PlannedStage) -> Iterator[tuple[str, str]]:
    """Yield the settings of a stage that name what it reads, with what they name."""
    config = cell.config
    if cell.stage == "knowledge_vqa":
        named = [(key, getattr(config, key)) for key in ("data", "graph", "init_from")]
    else:
        named = [
            (f"model.{key}", getattr(config.model, key, None)) for key in ("init_from", "tower")
        ]
        if cell.on_rows:
            named += [("data.sources", source.path) for source in config.data.sources]
        else:
            named += [("data.shards", config.data.shards)]
    for key, path in named:
        if path is not None and not {"*", ":"} & {*str(path)} and not is_hub_id(str(path)):
            yield key, str(path)


def missing(experiment: ExperimentConfig, runs: list[Run]) -> tuple[list[str], list[str]]:
    """List what runs read, is not there, and is made by none of them.

    Args:
        experiment: the experiment.
        runs: that are to do.

    Returns:
        Paths that the first stage to need them makes, as sizes that are made here do; and a line
        for each that has to be made before.
    """
    made_on_the_way: dict[str, None] = {}
    first: dict[str, str] = {}
    for run in runs:
        for cell in run.stages():
            for key, path in _named(cell):
                if Path(path).exists() or experiment.output_dir in Path(path).parents:
                    continue
                if cell.stage != "knowledge_vqa" and cell.config.size in SELF_CONTAINED:
                    made_on_the_way[path] = None
                    continue
                command = _COMMANDS.get(key)
                how = f"make it first ({command})" if command else "make it first, or name another"
                first.setdefault(path, f"{key} of {run.arm!r}: {path} is not there; {how}")
    asked = experiment.evaluate.vision if "vision" in experiment.measures else None
    if asked and not asked.set.exists():
        if not any(asked.set in Path(path).parents for path in made_on_the_way):
            what = f"evaluate.vision.set: {asked.set} is not there"
            first[str(asked.set)] = f"{what}; make it first (kormo data pictures)"
    return list(made_on_the_way), list(first.values())


def refuse_missing(experiment: ExperimentConfig, runs: list[Run]) -> None:
    """Refuse to begin what would stop at the first run that needs what is not there.

    Raises:
        RecipeError: names it, and what makes it.
    """
    if first := missing(experiment, runs)[1]:
        raise RecipeError("\n".join(first))
