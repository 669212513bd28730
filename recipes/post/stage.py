"""What the chat stages share: inputs, arguments, length, resumption."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from transformers import TrainingArguments

from data_recipes.common.config_files import CONFIGS, find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import MANIFEST
from data_recipes.read.files import resolve_files
from data_recipes.read.hub import HUB

from ..arguments import (
    check_machine,
    process_count,
    schedule_arguments,
    shared_arguments,
    start_processes,
    stream_dtype,
)
from ..config import SELF_CONTAINED
from ..engine.checkpoints import claim_output
from ..engine.handover import read_lineage
from ..engine.resume import find_newest
from ..inputs import Digests, digests
from ..parent import ParentModel
from ..pretrain import BatchSplit
from .chat_config import ChatStageConfig
from .vision_config import PictureSource

Prepared = TypeVar("Prepared")
# What computes the same model, to rounding.
_SAME_MODEL = {"attention", "compile", "flash_kernel"}
# The stage that a self-contained one starts from, if its own parent is missing.
PARENTS = {
    "sft": "midtrain_reasoning",
    "dpo": "sft",
    "grpo": "sft",
    "vision_tower": "sft",
    "vision_align": "sft",
    "vision_sft": "vision_align",
}


def begin(
    config: Any,
    paths: list[str],
    prepare: Callable[[Any], Prepared],
    make_data: Callable[[Path], None] | None = None,
) -> Prepared:
    """Join the ranks, claim the output, and have what is missing made at the sizes that can be.

    Args:
        config: any chat stage's.
        paths: of its data.
        prepare: translates or checks the config before anything is claimed or made.
        make_data: makes the data from `data.recipe`; by default as text.

    Returns:
        What `prepare` does: the trainer's arguments.

    Raises:
        RecipeError: a machine that cannot do it, output that is another run's, or a stage of real
            size that lacks something; the message has the command.
    """
    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    prepared = prepare(config)
    claim_output(config.logging.output_dir)
    _ensure_inputs(config, paths, make_data or _make_data)
    return prepared


def _ensure_inputs(config: Any, paths: list[str], make_data: Callable[[Path], None]) -> None:
    """Have the first rank make what is missing, while the others wait."""
    parents = [ParentModel(config.model.init_from, config.size, PARENTS[config.stage])]
    if tower := getattr(config.model, "tower", None):
        parents.append(ParentModel(tower, config.size, "vision_tower"))
    with PartialState().main_process_first():
        missing_parents = [parent for parent in parents if parent.is_to_be_trained()]
        recipe = config.data.recipe
        if missing := _missing(paths):
            if config.size not in SELF_CONTAINED or recipe is None:
                raise RecipeError(f"data.sources: {missing[0]} is not there")
            make_data(recipe)
            if missing := _missing(paths):
                raise RecipeError(f"data.sources: {recipe} does not make {missing[0]}")
        for parent in missing_parents:
            parent.train()


def _missing(paths: list[str]) -> list[str]:
    return [p for p in paths if not (p.startswith(HUB) or "*" in p or Path(p).exists())]


def _make_data(recipe: Path) -> None:
    # The data factory loads only where data is made, not with every stage.
    from data_recipes.prepare.config import DataConfig
    from data_recipes.prepare.prepare import prepare

    prepare(load_config(find_config(recipe, CONFIGS), DataConfig, []))


def make_pictures(recipe: Path) -> None:
    """Make the picture set of a recipe."""
    from data_recipes.common.config_files import find_recipe
    from data_recipes.pictures.config import CONFIGS as PICTURES
    from data_recipes.pictures.config import PicturesConfig
    from data_recipes.pictures.run import make_pictures as make

    make(load_config(find_recipe(recipe, PICTURES), PicturesConfig, []))


def chat_arguments(config: ChatStageConfig) -> dict[str, Any]:
    """Translate a config into the arguments that SFT and DPO take, but for their length.

    Raises:
        RecipeError: windows that cannot be dealt out evenly.
    """
    logging = config.logging
    return {
        **shared_arguments(
            config, split_windows(config, process_count()), logging.save_every, config.data.seed
        ),
        "gradient_checkpointing": config.model.activation_checkpointing,
        "per_device_eval_batch_size": config.batch.micro_batch,
        "include_num_input_tokens_seen": "non_padding",
        "eval_strategy": "steps",
        "eval_steps": logging.eval_every,
    }


def split_windows(config: ChatStageConfig, ranks: int) -> BatchSplit:
    """Split a step over ranks and forward passes.

    Raises:
        RecipeError: windows that cannot be dealt out evenly.
    """
    batch = config.batch
    share = ranks * batch.micro_batch
    if batch.windows_per_step % share:
        raise RecipeError(
            f"batch: {batch.windows_per_step} windows a step cannot be dealt out evenly over "
            f"{ranks} processes x {batch.micro_batch} (batch.micro_batch); change one of them"
        )
    return BatchSplit(batch.micro_batch, batch.windows_per_step // share)


def set_length(args: TrainingArguments, config: ChatStageConfig, rows: int) -> None:
    """Set steps and schedule, which are known once TRL has packed the data.

    Args:
        args: of the trainer.
        config: the stage.
        rows: windows (or pairs) in the data.

    Raises:
        RecipeError: less than one step.
    """
    schedule, per_step = config.schedule, config.batch.windows_per_step
    total = schedule.steps or int(schedule.epochs * rows / per_step)
    if total == 0:
        raise RecipeError(
            f"{schedule.epochs:g} epochs of {rows:,} windows are less than one step of "
            f"{per_step}: lower batch.tokens_per_step or give more data"
        )
    constant, warmup = schedule.decay_type == "none", round(total * schedule.warmup_fraction)
    length = schedule_arguments(
        total,
        warmup,
        decay=0 if constant else total - warmup,
        decay_type="linear" if constant else schedule.decay_type,
        min_lr_ratio=schedule.min_lr_ratio,
    )
    for name, value in length.items():
        setattr(args, name, value)


def _inputs(config: Any) -> Digests:
    """Digest the files of a stage, and the model that it takes in beside the one it starts from."""
    paths = []
    for source in config.data.sources:
        files = [] if source.path.startswith(HUB) else resolve_files(source.path)
        paths += files
        if isinstance(source, PictureSource):  # rows name their pictures, and do not hold them
            paths += [file.with_name(MANIFEST) for file in files]
    beside = (getattr(config.model, name, None) for name in ("tower", "chat_template"))
    return digests([*paths, *(Path(own) for own in beside if own)])


def chat_fingerprint(config: ChatStageConfig, data: str) -> dict[str, dict[str, Any]]:
    """Collect what must not change between a run and its resumption, by section."""
    lineage = read_lineage(config.model.init_from)
    return {
        "inputs": _inputs(config),
        "data": {"fingerprint": data},
        "model": {
            **config.model.model_dump(mode="json", exclude=_SAME_MODEL),
            "init_weights": lineage["weights_sha256"] if lineage else None,
            "stream": stream_dtype(config.parallelism.precision),
        },
        "batch": {"tokens_per_step": config.batch.tokens_per_step},
        "schedule": config.schedule.model_dump(mode="json"),
        "optimizer": config.optimizer.model_dump(mode="json"),
        **({"preference": config.preference.model_dump()} if config.stage == "dpo" else {}),
    }


def train_chat(trainer: Any, config: Any, fingerprint: dict[str, Any]) -> None:
    """Train from the start or from where the last attempt was stopped."""
    output_dir = config.logging.output_dir
    checkpoint, _ = find_newest(output_dir, fingerprint, trainer.args.max_steps)
    if trainer.is_world_process_zero():
        print(
            f"writing to {output_dir}; if the run is interrupted, start the same command again to "
            "resume it",
            flush=True,
        )
    trainer.run(checkpoint)
