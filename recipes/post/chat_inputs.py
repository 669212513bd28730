"""Inputs of a chat stage, and its plan."""

from pathlib import Path
from typing import Any

import yaml
from accelerate import PartialState

from data_recipes.common.config_files import CONFIGS, find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.read.hub import HUB

from ..config import SELF_CONTAINED
from ..inputs import run_stage
from .sft_config import ChatStageConfig

# The stage that a self-contained one starts from, if its own parent is missing.
_PARENTS = {"sft": "midtrain_reasoning", "dpo": "sft", "grpo": "sft"}


def chat_plan(config: ChatStageConfig) -> str:
    """`--dry-run`: the resolved config, and the size of its sources."""
    lines = [yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)]
    batch = config.batch
    lines.append(
        f"tokens per step   {batch.tokens_per_step:,} at most: {batch.windows_per_step} "
        f"windows x {batch.sequence_length:,}"
    )
    for source in config.data.sources:
        path = Path(source.path)
        size = f"{path.stat().st_size:,} bytes" if path.is_file() else "not on this machine"
        lines.append(f"source            {source.path}: {size}")
    return "\n".join(lines)


def _missing(paths: list[str]) -> list[str]:
    return [p for p in paths if not (p.startswith(HUB) or "*" in p or Path(p).exists())]


def _make_data(recipe: Path) -> None:
    # The data factory loads only where data is made, not with every stage.
    from data_recipes.prepare.config import DataConfig
    from data_recipes.prepare.prepare import prepare

    prepare(load_config(find_config(recipe, CONFIGS), DataConfig, []))


def ensure_chat_inputs(config: Any, paths: list[str]) -> None:
    """Have the first rank make what a self-contained stage lacks, while the others wait.

    Args:
        config: any chat stage's.
        paths: of its data.

    Raises:
        RecipeError: a stage of real size lacks something; the message has the command.
    """
    with PartialState().main_process_first():
        recipe = config.data.recipe
        if missing := _missing(paths):
            if config.size not in SELF_CONTAINED or recipe is None:
                raise RecipeError(f"data.sources: {missing[0]} is not there")
            _make_data(recipe)
            if missing := _missing(paths):
                raise RecipeError(f"data.sources: {recipe} does not make {missing[0]}")
        parent = config.model.init_from
        if Path(parent).exists() or (parent.count("/") == 1 and not parent.startswith((".", "/"))):
            return
        script = f"{_PARENTS[config.stage]}.py"
        if config.size not in SELF_CONTAINED:
            raise RecipeError(
                f"{parent}: parent model missing; make it with\n  accelerate launch "
                f"recipes/{script} --config {config.size}/{Path(script).stem}.yaml"
            )
        print(f"{parent} is not there: training the {config.size} one now ({script})", flush=True)
        run_stage(script, config.size)
        if not Path(parent).exists():
            raise RecipeError(f"model.init_from {parent}: {script} does not write there")
