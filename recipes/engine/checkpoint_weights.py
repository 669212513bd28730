"""Weights of a run's checkpoints as plain models, put together if FSDP2 has sharded them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from transformers import GenerationConfig, PreTrainedModel

from data_recipes.common.errors import RecipeError, errors_about
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.checkpoint_files import load_whole
from modeling_kormo.export import save_tokenizer
from modeling_kormo.growth_masks import put_on_masks, set_masks
from modeling_kormo.views_kormo import PREFIX

from ..build import growth_of, model_config
from ..opened_run import FINAL, OpenedRun, open_run
from ..parent import parent_config
from .checkpoints import SHARDED, checkpoint_step, list_checkpoints, without_warning
from .growing import plan_stage
from .handover import save_kormo
from .resume import find_damage


def nearest_weights(run: OpenedRun, step: int) -> Path:
    """Find the checkpoint nearest to what a step began with, earlier ones first.

    Raises:
        RecipeError: the run has kept no weights.
    """
    checkpoints = list_checkpoints(run.directory)
    before = [c for c in checkpoints if checkpoint_step(c) < step]
    if before or checkpoints:
        return before[-1] if before else checkpoints[0]
    for final in (run.directory / FINAL, run.directory):
        if any(final.glob("*.safetensors")):
            return final
    raise RecipeError(
        f"{run.directory}: has no checkpoint-N and no {FINAL}/, so there are no weights to measure "
        "a loss with"
    )


class ShardedReader:
    """Tensors of a checkpoint that FSDP2 has sharded, by name, one put together at a time."""

    def __init__(self, directory: Path) -> None:
        self._reader = dcp.FileSystemReader(directory / SHARDED)
        metadata = self._reader.read_metadata().state_dict_metadata
        # accelerate has put them below one key, `model`.
        self._keys = {key.partition(".")[2]: key for key in metadata}
        self._like = {name: metadata[key] for name, key in self._keys.items()}

    def names(self) -> list[str]:
        return sorted(self._keys)

    def empty(self, name: str, device: str | None = None) -> torch.Tensor:
        """Make room for a tensor."""
        like = self._like[name]
        return torch.empty(like.size, dtype=like.properties.dtype, device=device)

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor = self.empty(name)
        wanted = {self._keys[name]: tensor}
        with without_warning():
            dcp.load(wanted, storage_reader=self._reader, no_dist=True)
        return tensor

    def close(self) -> None:
        """Do nothing: no file stays open."""


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    """Read the model's weights of a checkpoint, put together if FSDP2 has sharded them.

    Those of multi-token prediction are left out, as they are of `final/`.

    Raises:
        RecipeError: it is damaged, or holds no weights.
    """
    if (directory / "trainer_state.json").is_file():
        _check_whole(directory)
    if (directory / SHARDED).is_dir():
        reader = ShardedReader(directory)
        return _own({name: reader[name] for name in reader.names()})
    files = sorted(directory.glob("model*.safetensors"))
    if not files:
        raise RecipeError(f"{directory}: holds no weights (model.safetensors, {SHARDED})")
    return _own({name: tensor for file in files for name, tensor in load_file(file).items()})


def _check_whole(checkpoint: Path) -> None:
    if damage := find_damage(checkpoint):
        raise RecipeError(f"{checkpoint} is damaged ({damage})")


def _own(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.startswith(PREFIX)}


def saved_config(run: OpenedRun, directory: Path) -> KORMoConfig:
    """Config of the model in a checkpoint; under FSDP2 the checkpoint itself may have none."""
    if (directory / "config.json").is_file():
        return KORMoConfig.from_pretrained(directory)
    config, final = run.config, run.directory / FINAL
    if (final / "config.json").is_file():
        found = KORMoConfig.from_pretrained(final)
    elif config.model.init_from:
        found = parent_config(config)
        if config.growth and not found.growing:  # `kormo grow` has not made it larger already
            found = plan_stage(config, found).new
    else:
        found = model_config(config, run.tokenizer)
    if config.growth:
        tokens = checkpoint_step(directory) * config.batch.tokens_per_step
        found.growing = not config.growth.is_over(tokens)
    return found


def write_model(run: OpenedRun, checkpoint: Path, directory: Path) -> None:
    """Write a checkpoint as a model directory with tokenizer, put together if it is sharded.

    Raises:
        RecipeError: it is damaged, holds no weights, or is in the middle of a growth.
    """
    ends = {f"{name}_token_id" for name in ("bos", "eos", "pad")}
    generation = GenerationConfig(**{name: getattr(run.tokenizer, name) for name in ends})
    config, weights = saved_config(run, checkpoint), read_weights(checkpoint)
    if config.growing:
        raise RecipeError(
            f"{checkpoint}: is in the middle of a growth, and without its masks another model; "
            "take a later one"
        )
    save_kormo(config, generation, weights, directory)
    save_tokenizer(run.tokenizer, directory)


@contextmanager
def as_model(name: str, room: Path) -> Iterator[str]:
    """Lend a model directory: the one that is named, or what a `checkpoint-N` of a run holds.

    Args:
        name: directory or Hub id.
        room: where a checkpoint is put together, in a folder that is removed: at 10b tens of GB,
            which the system's own temporary directory may not have.

    Raises:
        RecipeError: a damaged checkpoint, or one without its run.
    """
    checkpoint = Path(name)
    if not (checkpoint / "trainer_state.json").is_file():
        yield name
        return
    if (checkpoint / "tokenizer_config.json").is_file():
        _check_whole(checkpoint)
        yield name
        return
    run = open_run(checkpoint.resolve().parent)
    with tempfile.TemporaryDirectory(dir=room) as scratch:
        write_model(run, checkpoint, Path(scratch))
        yield scratch


def load_weights(run: OpenedRun, directory: Path) -> PreTrainedModel:
    """Load a checkpoint in fp32, as the step behind it sees it: a growth is under its masks.

    Raises:
        RecipeError: it is damaged.
    """
    config, growth = saved_config(run, directory), growth_of(run.config)
    config.growing = False
    settings = {"dtype": torch.float32, "attn_implementation": run.config.model.attention}
    weights = read_weights(directory)
    with errors_about(str(directory)):
        model = load_whole(KORMoForCausalLM, None, config=config, state_dict=weights, **settings)
    if growth and (directory / "trainer_state.json").is_file():  # `final/` has none left
        put_on_masks(model, growth)
        tokens = (checkpoint_step(directory) + 1) * run.config.batch.tokens_per_step
        set_masks(model, run.config.growth.mask_values(tokens))
    return model.eval()
