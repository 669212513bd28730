"""Inputs of a stage that are not there yet: made on the spot from the embedded corpus, or named."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState

from data_recipes.common.config_files import CONFIGS as DATA_CONFIGS
from data_recipes.common.config_files import find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.references import is_hub_id
from data_recipes.tokens.best_fit import make_plan, plan_dir, read_record
from data_recipes.tokens.shards import MANIFEST, TokenSource

from .command_line import CONFIGS, load_stage
from .config import SELF_CONTAINED, STAGES, StageConfig
from .engine.handover import FINAL
from .pretrain import StageRules

# What launchers set for their children begins so; a stage started from within one is not its rank.
_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_", "ROLE_", "MASTER_")
_LAUNCHER += ("ACCELERATE_", "FSDP_", "TORCHELASTIC_")


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
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHER)}
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


@dataclass(frozen=True)
class ParentModel:
    """The model that a stage starts from; sizes that are made here train it if it is missing.

    Attributes:
        init_from: of the stage.
        size: of the model.
        stage: that makes it.
        command: that makes it in place of a stage.
    """

    init_from: str | None
    size: str
    stage: str
    command: str | None = None

    def is_to_be_trained(self) -> bool:
        """Say whether it is missing, before anything is made.

        Raises:
            RecipeError: it is, and nothing here makes it; the message has the command.
        """
        if self.init_from is None or Path(self.init_from).exists() or is_hub_id(self.init_from):
            return False
        recipe = f"{self.size}/{self.stage}.yaml"
        if self.command or self.size not in SELF_CONTAINED:
            command = self.command or f"kormo train {self.stage} --config {recipe}"
            raise RecipeError(f"{self.init_from}: parent model missing; make it with\n  {command}")
        output = load_stage(CONFIGS / recipe, self.stage).logging.output_dir / FINAL
        if output.resolve() != Path(self.init_from).resolve():
            raise RecipeError(
                f"model.init_from {self.init_from}: no such directory, and {recipe}, which would "
                f"be trained for it, writes to {output}; correct the path, or train its parent "
                "there first"
            )
        return True

    def describe(self) -> str:
        """Say in a line of a plan, which does without it, whether it is there."""
        if self.init_from is None:
            return "random weights"
        state = "there"
        if not Path(self.init_from).exists():
            state = "not on this machine; the Hub's, if it is no directory"
        try:
            if self.is_to_be_trained():
                state = "not there; trained first, as this size is made here"
        except RecipeError as error:
            state = "NOT there: " + " ".join(str(error).removeprefix(f"{self.init_from}: ").split())
        return f"{self.init_from}: {state}"

    def train(self) -> None:
        """Train it, in a process of its own.

        Raises:
            RecipeError: that failed.
        """
        print(
            f"{self.init_from} is not there: training the {self.size} {self.stage} now", flush=True
        )
        run_stage(self.stage, self.size)


def parent_of(config: StageConfig, rules: StageRules) -> ParentModel:
    """Return the model that a stage of pretraining starts from."""
    init_from, command = config.model.init_from, None
    if rules.expands:
        command = f"kormo expand-vocabulary MODEL {config.data.tokenizer} {init_from}"
    return ParentModel(init_from, config.size, rules.parent or STAGES[0], command)


def ensure_inputs(config: StageConfig, rules: StageRules) -> None:
    """Have the first rank make what a self-contained stage lacks, while the others wait.

    Raises:
        RecipeError: a stage of real size lacks something; the message has the command.
    """
    with PartialState().main_process_first():
        parent = parent_of(config, rules)
        train_parent = parent.is_to_be_trained()
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
            parent.train()
