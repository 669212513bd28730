"""Models that see, as the stages train them: put together or loaded, frozen in part, adapted."""

from pathlib import Path

import torch
from peft import LoraConfig
from transformers import AutoModelForImageTextToText, PreTrainedTokenizerBase, SiglipVisionConfig
from trl import SFTConfig

from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.references import split_revision
from modeling_kormo import CHAT_TEMPLATE, KORMoForCausalLM
from modeling_kormo.chat_config import chat_generation_config, check_token_ids
from modeling_kormo.checkpoint_files import load_whole
from modeling_kormo.vision import (
    TOKENS,
    Processor,
    VisionModel,
    build_processor,
    build_vision_model,
    load_processor,
    load_tower,
)

from ..arguments import one_device
from ..engine.model_setup import stream_in_compute_dtype
from .masks import turn_rows
from .model import load_chat_tokenizer
from .stage import chat_arguments
from .vision_config import TowerShape, VisionAlignConfig, VisionSFTConfig

AnyVisionConfig = VisionAlignConfig | VisionSFTConfig
# What lies between tower and language model.
_PROJECTOR = ("multi_modal_projector", "image_newline")
_MATRICES = "q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj"


def vision_config(shape: TowerShape) -> SiglipVisionConfig:
    """The tower's config; LLaVA reads its patches, so it pools nothing."""
    return SiglipVisionConfig(**shape.model_dump(), vision_use_head=False)


def _tokenizer(init_from: str, chat_template: Path | None) -> PreTrainedTokenizerBase:
    """The tokenizer with tokens for pictures, and a template that knows them.

    Raises:
        RecipeError: none, or one of another family.
    """
    tokenizer = load_chat_tokenizer(init_from, chat_template, TOKENS)
    if turn_rows(tokenizer) is None:
        raise RecipeError(
            f"model.init_from {init_from}: no KORMo chat model, and pictures are put into its turns"
        )
    if "image_token" not in tokenizer.chat_template:
        # That of a model which was trained before there were pictures.
        tokenizer.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    return tokenizer


def _check_shape(shape: TowerShape, found: SiglipVisionConfig, name: str) -> None:
    for key, wanted in shape.model_dump().items():
        if getattr(found, key) != wanted:
            raise RecipeError(
                f"model.tower_shape.{key} is {wanted}, that of {name} {getattr(found, key)}; "
                "correct it"
            )


def seeing_processor(config: AnyVisionConfig) -> Processor:
    """Make what turns the pictures and chats of a stage into tensors; no weights are read.

    Raises:
        RecipeError: no tokenizer or processor, or one of another family.
    """
    model_config = config.model
    tokenizer = _tokenizer(model_config.init_from, model_config.chat_template)
    if config.stage == "vision_align":
        return build_processor(
            tokenizer, vision_config(model_config.tower_shape), model_config.kind
        )
    with errors_about(f"model of {config.stage}", OSError):
        processor = load_processor(*split_revision(model_config.init_from))
    processor.tokenizer, processor.chat_template = tokenizer, tokenizer.chat_template
    return processor


def load_seeing(config: AnyVisionConfig) -> tuple[VisionModel, Processor]:
    """Put the model together, or load one that is; in fp32, tower frozen.

    Raises:
        RecipeError: something that cannot be loaded or does not fit.
    """
    model_config = config.model
    processor = seeing_processor(config)
    tokenizer = processor.tokenizer
    name, revision = split_revision(model_config.init_from)
    with errors_about(f"model of {config.stage}", OSError):
        if config.stage == "vision_align":
            language = load_whole(KORMoForCausalLM, name, revision=revision, dtype=torch.float32)
            tower = load_tower(*split_revision(model_config.tower))
            _check_shape(model_config.tower_shape, tower.config, model_config.tower)
            torch.manual_seed(config.data.seed)  # of the projector
            model = build_vision_model(language, tower, tokenizer, model_config.kind)
        else:
            kind = AutoModelForImageTextToText
            model = load_whole(kind, name, revision=revision, dtype=torch.float32)
    model.set_attn_implementation({"text_config": model_config.attention})
    for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config.text_config, token, getattr(tokenizer, token))
    model.generation_config = chat_generation_config(tokenizer)
    check_token_ids(tokenizer, model.config.text_config, model.generation_config)
    freeze(model, trained=config.stage == "vision_sft")
    stream_in_compute_dtype(model)
    return model, processor


def freeze(model: VisionModel, trained: bool) -> None:
    """Freeze the tower, and the language model unless it is `trained`."""
    for name, parameter in model.named_parameters():
        between = any(part in name for part in _PROJECTOR)
        parameter.requires_grad = between or (trained and "vision_tower" not in name)


def seeing_lora(config: AnyVisionConfig) -> LoraConfig | None:
    """LoRA on the language model's matrices; the projector is trained whole."""
    adapter = config.model.adapter
    if adapter is None:
        return None
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=rf".*language_model.*\.({_MATRICES})",
        modules_to_save=["multi_modal_projector"],
        task_type="CAUSAL_LM",
    )


def seeing_arguments(config: AnyVisionConfig) -> SFTConfig:
    """Translate a config into TRL's arguments: no packing, and no cut, which would cut pictures."""
    args = SFTConfig(
        **chat_arguments(config),
        assistant_only_loss=True,
        max_length=None,
        packing=False,
        remove_unused_columns=False,
        dataloader_num_workers=config.data.workers,
    )
    return one_device(args)
