"""Tokenizer, model and adapter of a chat stage."""

from pathlib import Path

import torch
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from data_recipes.common.errors import RecipeError
from data_recipes.common.references import split_revision
from modeling_kormo.chat_config import (
    END_OF_TURN,
    RESPONSE_TEMPLATE,
    chat_generation_config,
    check_token_ids,
)

from .masks import training_template
from .sft_config import ChatStageConfig


def load_chat_tokenizer(
    init_from: str, chat_template: Path | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer, with a template that marks what carries loss.

    Args:
        init_from: model directory or Hub id with optional `@revision`.
        chat_template: file to use in place of the tokenizer's own.

    Raises:
        RecipeError: no tokenizer, no such template, or no token to pad with.
    """
    name, revision = split_revision(init_from)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        raise RecipeError(f"model.init_from {init_from}: {error}") from error
    if chat_template:
        if not chat_template.is_file():
            raise RecipeError(f"model.chat_template {chat_template}: no such file")
        tokenizer.chat_template = chat_template.read_text(encoding="utf-8")
    tokenizer.chat_template = training_template(tokenizer, init_from)
    if END_OF_TURN in tokenizer.get_vocab():
        tokenizer.response_template = RESPONSE_TEMPLATE
    if tokenizer.pad_token_id is None:
        raise RecipeError(
            f"model.init_from {init_from}: its tokenizer has no PAD token; set "
            "`pad_token` in its tokenizer_config.json to a token that is not the end of a turn"
        )
    return tokenizer


def load_chat_model(config: ChatStageConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The model: fp32 weights, or frozen 4-bit ones under an adapter.

    Raises:
        RecipeError: weights that cannot be loaded, or fewer embedding rows than tokens.
    """
    name, revision = split_revision(config.model.init_from)
    adapter = config.model.adapter
    quantization = None
    if adapter and adapter.quantize:
        from transformers import BitsAndBytesConfig

        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=adapter.quantize,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            dtype=torch.bfloat16 if quantization else torch.float32,
            attn_implementation=config.model.attention,
            quantization_config=quantization,
        )
    except (OSError, ValueError, ImportError) as error:
        raise RecipeError(f"model.init_from {config.model.init_from}: {error}") from error
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise RecipeError(
            f"model.init_from {config.model.init_from}: its tokenizer has {len(tokenizer):,} "
            f"entries but the embedding only {rows:,} rows"
        )
    if END_OF_TURN in tokenizer.get_vocab():
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(model.config, name, getattr(tokenizer, name))
        model.generation_config = chat_generation_config(tokenizer)
        check_token_ids(tokenizer, model.config, model.generation_config)
    return model


def lora_config(config: ChatStageConfig) -> LoraConfig | None:
    """LoRA on every matrix but embedding and head."""
    adapter = config.model.adapter
    if adapter is None:
        return None
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
