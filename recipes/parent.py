"""The model that a stage starts from: found, trained first, looked at, and loaded."""

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import LlamaConfig, PreTrainedTokenizerBase

from data_recipes.common.config_files import read_yaml
from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.references import is_hub_id, split_revision
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.checkpoint_files import load_whole
from modeling_kormo.export import LLAMA_NORMS
from modeling_kormo.growth import Growth

from .arguments import receives_weights
from .command_line import CONFIGS, load_stage, run_process
from .config import SELF_CONTAINED, StageConfig
from .engine.growing import check_grown_so
from .engine.handover import read_lineage
from .engine.model_setup import empty_of_checkpoint
from .engine.unfreezing import Unfreezing
from .opened_run import FINAL

# What launchers set for their children begins so; a stage started from within one is not its rank.
_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_", "ROLE_", "MASTER_")
_LAUNCHER += ("ACCELERATE_", "FSDP_", "TORCHELASTIC_")


def run_stage(stage: str, size: str) -> None:
    """Run the recipe of a stage, of a size, in a process of its own.

    Raises:
        RecipeError: it failed.
        Stopped: by a signal.
    """
    script = Path(__file__).parent / f"{stage}.py"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHER)}
    command = [sys.executable, str(script), "--config", f"{size}/{stage}.yaml"]
    if status := run_process(command, environment):
        raise RecipeError(
            f"{stage} failed (exit status {status}); see its message above, then start this "
            "command again"
        )


def _command_for(final: str, size: str) -> str | None:
    """Find the command of the shipped recipe that writes a model, if one of a size does."""
    for path in sorted((CONFIGS / size).glob("*.yaml")):
        recipe = read_yaml(path)
        output = recipe.get("logging", {}).get("output_dir")
        if output and (Path(output) / FINAL).resolve() == Path(final).resolve():
            return f"kormo train {recipe['stage']} --config {size}/{path.name}"
    return None


@dataclass(frozen=True)
class ParentModel:
    """The model that a stage starts from; sizes that are made here train it if it is missing.

    Attributes:
        init_from: of the stage.
        size: of the model.
        stage: that makes it, at the sizes made here; at others it is who writes to `init_from`.
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
            command = self.command or _command_for(self.init_from, self.size)
            remedy = (
                f"make it with\n  {command}" if command else "train it first, or correct the path"
            )
            raise RecipeError(f"{self.init_from}: parent model missing; {remedy}")
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


def _check_same(kind: str, wanted: dict, found: dict, where: str) -> None:
    differences = [f"{k}: {found[k]} instead of {v}" for k, v in wanted.items() if found[k] != v]
    if differences:
        raise RecipeError(
            f"{where}: its {kind} differs from the recipe's: {', '.join(differences)}"
        )


def read_config(name: str | Path, revision: str = "main") -> KORMoConfig:
    """Config of a KORMo checkpoint, or of a Llama one, whose two norms have other names there.

    Raises:
        OSError: no such model.
        ValueError: of another family.
    """
    found, _ = KORMoConfig.get_config_dict(name, revision=revision)
    family = found.get("model_type")
    if family == "llama":  # what it leaves out is Llama's default, and Llama's angles are fp32
        found = LlamaConfig.from_dict(found).to_dict() | {"rope_frequencies_in_model_dtype": False}
    elif family != "kormo":
        raise ValueError(
            f"model_type {family!r}: only KORMo's and Llama's layouts are trained here"
        )
    return KORMoConfig.from_dict({**found, "model_type": "kormo", "architectures": None})


def parent_config(config: StageConfig) -> KORMoConfig:
    """Config of the weights that a stage starts from, with the RoPE that the stage gives them.

    Raises:
        OSError: no such model.
        ValueError: of another family.
    """
    own = read_config(*split_revision(config.model.init_from))
    if config.model.rope_theta:
        own.rope_parameters["rope_theta"] = config.model.rope_theta
    if config.model.rope_scaling:
        config.model.rope_scaling.scale(own)
    return own


def _own_shape(config: StageConfig, growth: Growth | None) -> KORMoConfig:
    """Config of the weights that a stage starts from, of the shape that the recipe says."""
    name, wanted = config.model.init_from, config.model.shape.model_dump()
    with errors_about(f"model.init_from {name}", OSError):
        own = parent_config(config)
    if growth and own.growing:
        check_grown_so(split_revision(name)[0], growth)
        own.growing, wanted = False, {key: getattr(growth.new, key) for key in wanted}
    _check_same("shape", wanted | config.model.norms(), own.to_dict(), name)
    return own


def check_start(config: StageConfig, growth: Growth | None) -> None:
    """Look at the model that a stage starts from, if it is on this machine; no weights are read.

    Raises:
        RecipeError: it is none, of another shape, or it lacks the record of new rows or of growth.
    """
    if config.model.init_from and Path(config.model.init_from).exists():
        _own_shape(config, growth)
        build_unfreezing(config)


def load_parent(
    config: StageConfig, tokenizer: PreTrainedTokenizerBase, growth: Growth | None
) -> KORMoForCausalLM:
    name, revision = split_revision(config.model.init_from)
    own = _own_shape(config, growth)
    with errors_about(f"model.init_from {config.model.init_from}", OSError):
        settings = {"dtype": torch.float32, "attn_implementation": config.model.attention}
        if receives_weights() and not growth:  # what grows is grown on each rank
            make = partial(KORMoForCausalLM._from_config, own, **settings)
            model = empty_of_checkpoint(make, name, revision)
        else:
            mapping = {f".{theirs}.": f".{ours}." for ours, theirs in LLAMA_NORMS.items()}
            own_settings = {"config": own, "revision": revision, "key_mapping": mapping}
            model = load_whole(KORMoForCausalLM, name, **own_settings, **settings)
    # A checkpoint's ids must be the tokenizer's: EOS and EOT of KORMo are easily mixed up.
    ids = {k: getattr(tokenizer, k) for k in ("bos_token_id", "eos_token_id")}
    _check_same("token ids", ids, model.config.to_dict(), config.model.init_from)
    return model


def build_unfreezing(config: StageConfig) -> Unfreezing | None:
    """What is trained first, as `kormo expand-vocabulary` has recorded it; `None` for everything.

    Raises:
        RecipeError: the parent has no record of new rows.
    """
    if config.unfreezing is None:
        return None
    recorded = (read_lineage(config.model.init_from) or {}).get("vocabulary")
    if recorded is None:
        raise RecipeError(
            f"model.init_from {config.model.init_from}: its lineage.json knows of no new rows; "
            "make them with `kormo expand-vocabulary MODEL TOKENIZER OUT`"
        )
    per_step = config.batch.tokens_per_step
    return Unfreezing(
        recorded["first_new"],
        config.unfreezing.new_rows_tokens // per_step,
        config.unfreezing.matrices_tokens // per_step,
    )
