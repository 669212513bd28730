"""Whether all arms of an experiment are measured on the same held-out text in the same windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_recipes.common.run_dir import check_settings
from data_recipes.tokens.manifest import read_manifest

from ..config import StageConfig
from ..knowledge_config import KnowledgeVqaConfig
from .config import ExperimentConfig
from .runs import Run


def _ruler(config: StageConfig | KnowledgeVqaConfig) -> dict[str, Any]:
    """What a measurement is made of: in other windows, or of other text, it is another one."""
    if isinstance(config, KnowledgeVqaConfig):
        return {"data": str(config.data)}
    data = config.data
    names, shards = sorted(data.heldout or data.mixture), data.heldout_shards or data.shards
    ruler = {"data.heldout": names, "batch.sequence_length": config.batch.sequence_length}
    if data.heldout_tokens is not None:
        ruler |= {"data.shards": str(shards), "data.tokenizer": str(data.tokenizer)}
        return ruler | {"data.heldout_tokens": data.heldout_tokens}
    # All of it, whatever the tokenizer makes of it.
    places = {name: shards / name / "heldout" for name in names}
    if all(place.is_dir() for place in places.values()):
        ruler["documents"] = {name: read_manifest(p).documents for name, p in places.items()}
    return ruler


def check_ruler(experiment: ExperimentConfig, runs: list[Run]) -> None:
    """Refuse arms whose bits per byte would be measured in other windows or on other text.

    Raises:
        RecipeError: names the arm and what differs.
    """
    rulers = {run.arm: _ruler(run.cells[-1].config) for run in runs}
    base = rulers[experiment.baseline]
    for arm, ruler in rulers.items():
        # Of shards that are still to be made, nobody knows how many documents they hold out.
        unknown = {"documents"} if "documents" not in base.keys() & ruler.keys() else set()
        check_settings(
            Path(f"arms.{arm}"),
            {key: value for key, value in base.items() if key not in unknown},
            {key: value for key, value in ruler.items() if key not in unknown},
            "set it alike for all arms, in `shared`:",
            "would be measured by another ruler than the baseline",
        )
