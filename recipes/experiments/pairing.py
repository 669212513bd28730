"""Whether the runs of one seed began alike: the same weights, and the same windows in order."""

from __future__ import annotations

from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import find_differences

from ..engine.handover import read_lineage
from ..opened_run import FINAL
from .config import ExperimentConfig
from .runs import Run

# Settings in which an arm may differ from the baseline, and that then change the windows ...
_WINDOWS = ("data.mixture", "data.packing", "data.recipe", "data.shards", "data.tokenizer")
_WINDOWS += ("batch.sequence_length", "data.seed", "schedule.branch_from")
# Of arms that know, some read names of vectors in place of questions.
_WINDOWS += ("arm", "graph")
_WINDOWS += ("data.sources", "data.thinking_share", "data.balance", "data.overlong")
_WINDOWS += ("data.heldout_rows", "data.learn_empty_thinking", "model.chat_template")
# ... or the weights before the first step.
_WEIGHTS = ("model.shape", "model.norm_placement", "model.mix_ln_alpha", "arm", "graph")
_WEIGHTS += ("model.tower", "model.kind")
_EMBEDDING = ("model.embedding_std",)


def _changed(run: Run, base: Run, keys: tuple[str, ...]) -> list[str]:
    """Settings among `keys`, or below one, in which two runs differ."""
    found = set()
    for cell, other in zip(run.cells, base.cells):
        lines = find_differences(
            other.config.model_dump(mode="json"), cell.config.model_dump(mode="json")
        )
        names = {line.partition(":")[0] for line in lines}
        found |= {key for key in keys for name in names if f"{name}.".startswith(f"{key}.")}
    return sorted(found)


def _began(run: Run) -> tuple[list[str], dict[str, Any]]:
    """Fingerprints of the data of each stage, and digests of the weights at the start."""
    lineages = [read_lineage(str(cell.directory / FINAL)) for cell in run.cells]
    first = lineages[0]
    weights = first.get("initial_weights")
    if weights is None:
        parent = first["parent_lineage"] or {}
        weights = {"others": parent.get("weights_sha256") or first["parent"]}
    return [lineage["data_fingerprint"] for lineage in lineages], weights


def check_pairs(experiment: ExperimentConfig, runs: list[Run]) -> dict[str, dict[str, str]]:
    """Make sure that finished runs of one seed differ in what their arms say, and in nothing else.

    Args:
        experiment: the experiment.
        runs: finished ones.

    Returns:
        What the runs of each arm share with the baseline's of the same seed, in words: `windows`
        in order, as far as both go, and `weights` before the first step.

    Raises:
        RecipeError: weights or windows differ where no setting of the arm changes them.
    """
    bases = {run.seed: run for run in runs if run.arm == experiment.baseline}
    pairs: dict[str, dict[str, str]] = {}
    for run in runs:
        base = bases.get(run.seed)
        if base is None or run is base:
            continue
        windows, weights = _changed(run, base, _WINDOWS), _changed(run, base, _WEIGHTS)
        if experiment.road(run.arm).start != experiment.road(base.arm).start:
            weights.append("start")
        if len(run.cells) != len(base.cells):
            windows.append("stages")
        embedding = _changed(run, base, _EMBEDDING)
        (data, begun), (base_data, base_begun) = _began(run), _began(base)
        if data != base_data and not windows:
            _refuse(run, "read other windows", "the data were made again in between, or differ")
        if begun == base_begun:
            weights, embedding = [], []
        kept = begun.keys() - ({"embedding"} if embedding else set())
        if not weights and any(begun[key] != base_begun.get(key) for key in kept):
            _refuse(run, "began with other weights", "the code or a library changed in between")
        own = {"windows": _said(windows), "weights": _said(weights)}
        if embedding and not weights:
            own["weights"] = "all but the embedding"
        # Of several seeds, what all of them share.
        known = pairs.setdefault(run.arm, own)
        known |= {what: said for what, said in own.items() if known[what] == "yes"}
    return pairs


def _said(changed: list[str]) -> str:
    return f"no: {', '.join(changed)} differs" if changed else "yes"


def _refuse(run: Run, what: str, why: str) -> None:
    raise RecipeError(
        f"{run.cells[0].directory.parent}: {run.name} {what} than the baseline of the same seed, "
        f"though nothing that its arm sets should change them ({why}). The runs are no pair: "
        "delete those that are older, and start the experiment again"
    )
