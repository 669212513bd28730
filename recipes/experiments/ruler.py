"""Whether all arms of an experiment are measured on the same held-out text in the same windows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from data_recipes.common.files import check_settings

from ..config import StageConfig
from .config import ExperimentConfig
from .runs import Run


def _of_rows(run: Run, measures: list[str]) -> dict[str, Any]:
    """Of a stage on rows: what its model is asked is the same for all; what it holds out is not."""
    config = run.cells[-1].config.model_dump(mode="json")
    if "answers" in measures:
        return {"data": config["data"]}
    if "heldout" not in measures:
        return {}
    first = run.cells[0].config  # has the tokenizer, in whose tokens a loss is counted
    tokenizer = str(first.data.tokenizer) if isinstance(first, StageConfig) else None
    ruler = {"data": config["data"], "data.tokenizer": tokenizer}
    ruler["batch.sequence_length"] = config["batch"]["sequence_length"]
    return ruler | {"model.chat_template": config["model"]["chat_template"]}


@cache
def _bytes_of(directory: Path, tokenizer: Path) -> int:
    """UTF-8 bytes of a token data set: of one text, the same for every tokenizer."""
    from data_recipes.tokenizer.load import load_tokenizer, token_byte_lengths
    from data_recipes.tokens.shards import TokenSource

    source = TokenSource(directory)
    sizes = np.array(token_byte_lengths(load_tokenizer(tokenizer)))
    return int(sizes[source.tokens_at(0, source.manifest.tokens)].sum())


def _ruler(run: Run, measures: list[str]) -> dict[str, Any]:
    """What a measurement is made of: in other windows, or of other text, it is another one."""
    if run.cells[-1].on_rows:
        return _of_rows(run, measures)
    config: StageConfig = run.cells[-1].config
    data = config.data
    names, shards = sorted(data.heldout or data.mixture), data.heldout_shards or data.shards
    ruler = {"data.heldout": names, "batch.sequence_length": config.batch.sequence_length}
    ruler["data.heldout_positions"] = data.heldout_positions
    if {"quick", "proxy"} & {*measures}:
        ruler["logging.quick_eval_items"] = config.logging.quick_eval_items
    if data.heldout_tokens is not None:
        ruler |= {"data.shards": str(shards), "data.tokenizer": str(data.tokenizer)}
        return ruler | {"data.heldout_tokens": data.heldout_tokens}
    # All of it, whatever the tokenizer makes of it.
    places = {name: shards / name / "heldout" for name in names}
    if all(place.is_dir() for place in (*places.values(), data.tokenizer)):
        ruler["bytes"] = {name: _bytes_of(place, data.tokenizer) for name, place in places.items()}
    return ruler


def check_ruler(experiment: ExperimentConfig, runs: list[Run]) -> None:
    """Refuse arms that would be measured in other windows, or on other text or rows.

    Raises:
        RecipeError: names the arm and what differs.
    """
    rulers = {run.arm: _ruler(run, list(experiment.measures)) for run in runs}
    base = rulers[experiment.baseline]
    for arm, ruler in rulers.items():
        # Of shards that are still to be made, nobody knows how much text they hold out.
        unknown = {"bytes"} if "bytes" not in base.keys() & ruler.keys() else set()
        check_settings(
            Path(f"arms.{arm}"),
            {key: value for key, value in base.items() if key not in unknown},
            {key: value for key, value in ruler.items() if key not in unknown},
            "set it alike for all arms, in `shared`:",
            "would be measured by another ruler than the baseline",
        )
