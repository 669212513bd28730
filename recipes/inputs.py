"""Inputs of a stage that are not there yet: made on the spot from the embedded corpus, or named."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from accelerate import PartialState

from data_recipes.common.config_files import CONFIGS as DATA_CONFIGS
from data_recipes.common.config_files import find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.references import is_hub_id
from data_recipes.tokens.best_fit import make_plan, plan_dir, read_record
from data_recipes.tokens.manifest import MANIFEST
from data_recipes.tokens.windows import TokenSource

from .command_line import CONFIGS, load_stage
from .config import SELF_CONTAINED, STAGES, StageConfig
from .engine.handover import FINAL
from .pretrain import StageRules

# What `accelerate launch` sets for its children; a stage started from within one is not its rank.
_LAUNCHER = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


def _missing_data(config: StageConfig) -> list[Path]:
    wanted = [config.data.tokenizer / "tokenizer.json"]
    for name in config.data.mixture:
        wanted += [config.data.shards / name / s / MANIFEST for s in ("train", "heldout")]
    if config.data.heldout_shards is None:
        wanted += [config.data.shards / name / "heldout" / MANIFEST for name in config.data.heldout]
    return [path for path in wanted if not path.is_file()]


def _make_data(config: StageConfig) -> None:
    # The data factory loads only where data is made, not with every stage.
    from data_recipes.prepare.config import DataConfig
    from data_recipes.prepare.prepare import prepare

    recipe = load_config(find_config(config.data.recipe, DATA_CONFIGS), DataConfig, [])
    # One that it does not train, but takes from elsewhere, is the same in both places.
    tokenizers = (recipe.tokenizer_dir, Path(recipe.tokenizer.path or recipe.tokenizer_dir))
    if recipe.shards_dir != config.data.shards or config.data.tokenizer not in tokenizers:
        raise RecipeError(
            f"data.shards {config.data.shards}: not there, and {config.data.recipe} makes "
            f"{recipe.shards_dir}; make the shards there or point data.shards at them"
        )
    heldout = config.data.heldout if config.data.heldout_shards is None else []
    wanted = {*config.data.mixture, *heldout}
    if unknown := wanted - {s.name for s in recipe.sources}:
        raise RecipeError(
            f"data.mixture and data.heldout name sources that {config.data.recipe} does not make: "
            f"{', '.join(sorted(unknown))}"
        )
    prepare(recipe)


def _missing_plans(config: StageConfig) -> list[Path]:
    if config.data.packing != "best_fit":
        return []
    length = config.batch.sequence_length
    directories = [config.data.shards / name / "train" for name in config.data.mixture]
    return [plan_dir(d, length) for d in directories if read_record(d, length) is None]


def _make_plans(config: StageConfig) -> None:
    for plan in _missing_plans(config):
        make_plan(TokenSource(plan.parent), config.batch.sequence_length)


def run_stage(stage: str, size: str) -> None:
    """Run the recipe of a stage, of a size, in a process of its own.

    Raises:
        RecipeError: it failed.
    """
    script = Path(__file__).parent / f"{stage}.py"
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in _LAUNCHER and not k.startswith(("ACCELERATE_", "FSDP_", "TORCHELASTIC_"))
    }
    command = [sys.executable, str(script), "--config", f"{size}/{stage}.yaml"]
    result = subprocess.run(command, env=environment, check=False)
    if result.returncode:
        raise RecipeError(
            f"{stage} failed (exit status {result.returncode}); see its message above, then start "
            "this command again"
        )


def _ensure(
    config: StageConfig, missing: Path, what: str, make: Callable[[StageConfig], None], command: str
) -> None:
    if config.size not in SELF_CONTAINED:
        raise RecipeError(f"{missing}: {what} missing; make it with\n  {command}")
    print(f"{missing} is not there: making the {config.size} {what} now ({command})", flush=True)
    make(config)


def check_parent(init_from: str | None, size: str, stage: str) -> bool:
    """Say whether the model that a stage starts from is still to be trained.

    Args:
        init_from: of the stage.
        size: of the model.
        stage: the one before.

    Raises:
        RecipeError: it is missing and nothing here makes it; before anything is made.
    """
    if init_from is None or Path(init_from).exists() or is_hub_id(init_from):
        return False
    name = f"{size}/{stage}.yaml"
    if size not in SELF_CONTAINED:
        raise RecipeError(
            f"{init_from}: parent model missing; make it with\n"
            f"  kormo train {stage} --config {name}"
        )
    output = load_stage(CONFIGS / name, stage).logging.output_dir / FINAL
    if output.resolve() != Path(init_from).resolve():
        raise RecipeError(
            f"model.init_from {init_from}: no such directory, and {name}, which would be trained "
            f"for it, writes to {output}; correct the path, or train its parent there first"
        )
    return True


def describe_parent(init_from: str | None, is_to_be_made: Callable[[], bool]) -> str:
    """Say in a line of a plan whether the model that a stage starts from is there.

    Args:
        init_from: of the stage.
        is_to_be_made: `check_parent` of it; what it raises is said, as a plan does without a model.
    """
    state = "there"
    if init_from is None:
        return "random weights"
    if not Path(init_from).exists():
        state = "not on this machine; the Hub's, if it is no directory"
    try:
        if is_to_be_made():
            state = "not there; trained first, as this size is made here"
    except RecipeError as error:
        state = "NOT there: " + " ".join(str(error).removeprefix(f"{init_from}: ").split())
    return f"{init_from}: {state}"


def make_parent(init_from: str, size: str, stage: str) -> None:
    """Train the stage before, in a process of its own (see `check_parent`).

    Raises:
        RecipeError: it failed.
    """
    print(f"{init_from} is not there: training the {size} {stage} now", flush=True)
    run_stage(stage, size)


def _parent(config: StageConfig, rules: StageRules) -> tuple[str | None, str, str]:
    return config.model.init_from, config.size, rules.parent or STAGES[0]


def is_parent_to_be_made(config: StageConfig, rules: StageRules) -> bool:
    """Say whether the model that a stage of pretraining starts from is still to be trained.

    Raises:
        RecipeError: it is missing and nothing here makes it; the message has the command.
    """
    init_from = config.model.init_from
    if rules.expands and not (Path(init_from).exists() or is_hub_id(init_from)):
        raise RecipeError(
            f"{init_from}: model missing; make it with\n"
            f"  kormo expand-vocabulary MODEL {config.data.tokenizer} {init_from}"
        )
    return check_parent(*_parent(config, rules))


def ensure_inputs(config: StageConfig, rules: StageRules) -> None:
    """Have the first rank make what a self-contained stage lacks, while the others wait.

    Raises:
        RecipeError: a stage of real size lacks something; the message has the command.
    """
    with PartialState().main_process_first():
        train_parent = is_parent_to_be_made(config, rules)
        if missing := _missing_data(config):
            command = f"python -m data_recipes prepare --config {config.data.recipe}"
            _ensure(config, missing[0], "data", _make_data, command)
        if missing := _missing_plans(config):
            command = (
                f"python -m data_recipes packing {config.data.shards} "
                f"--sequence-length {config.batch.sequence_length}"
            )
            _ensure(config, missing[0], "packing plan", _make_plans, command)
        if train_parent:
            make_parent(*_parent(config, rules))
