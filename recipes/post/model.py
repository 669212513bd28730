"""Tokenizer, model and adapter of a chat stage."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from peft import LoraConfig
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.references import is_hub_id, split_revision
from modeling_kormo.chat_config import (
    END_OF_THINKING,
    END_OF_TURN,
    RESPONSE_TEMPLATE,
    THINK,
    chat_generation_config,
    check_token_ids,
)
from modeling_kormo.checkpoint_files import load_whole

from ..arguments import receives_weights
from ..engine.model_setup import compile_layers, empty_of_checkpoint, stream_in_compute_dtype
from .chat_config import ChatStageConfig
from .masks import training_template, turn_rows


def load_chat_tokenizer(
    init_from: str,
    chat_template: Path | None = None,
    tokens: Mapping[str, str] = MappingProxyType({}),
) -> PreTrainedTokenizerBase:
    """Load the tokenizer, with a template that marks what carries loss.

    Args:
        init_from: model directory or Hub id with optional `@revision`.
        chat_template: file to use in place of the tokenizer's own.
        tokens: attributes and tokens to add behind all others, such as one for pictures.

    Raises:
        RecipeError: no tokenizer, no such template, or no token to pad with.
    """
    name, revision = split_revision(init_from)
    with errors_about(f"model.init_from {init_from}", OSError):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, **tokens)
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


def load_rollout_tokenizer(init_from: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a chat model for sampling: turns end at `<|EOT|>`, padding is left.

    TRL stops completions at `eos_token`.

    Raises:
        RecipeError: it cannot be loaded, or lacks what a chat needs.
    """
    where = f"model.init_from {init_from}"
    name, revision = split_revision(init_from)
    if not Path(name).exists() and not is_hub_id(name):
        raise RecipeError(
            f"{where}: no such directory; train a chat model there first, or give another "
            "directory or a Hub id"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, padding_side="left")
    except (OSError, ValueError) as error:
        raise RecipeError(f"{where}: no tokenizer could be loaded ({error})") from error
    if not tokenizer.chat_template:
        raise RecipeError(f"{where}: its tokenizer has no chat template; start from a chat model")
    vocabulary = tokenizer.get_vocab()
    if missing := [t for t in (THINK, END_OF_THINKING, END_OF_TURN) if t not in vocabulary]:
        raise RecipeError(
            f"{where}: its tokenizer has no {', '.join(missing)}, so reasoning and the end of an "
            "answer cannot be told; start from a model with KORMo's tokenizer"
        )
    tokenizer.eos_token = END_OF_TURN
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        raise RecipeError(
            f"{where}: its padding token is {tokenizer.pad_token!r}; it must be one of its own, "
            f"or the end {END_OF_TURN} would be taken for padding"
        )
    return tokenizer


def load_model(init_from: str, attention: str, quantize: str | None = None) -> PreTrainedModel:
    """Load a model with fp32 master weights, or with frozen 4-bit ones that compute in bf16.

    Args:
        init_from: model directory or Hub id with optional `@revision`.
        attention: backend.
        quantize: `nf4`, or `None`.

    Raises:
        RecipeError: weights that cannot be loaded.
    """
    name, revision = split_revision(init_from)
    quantization = None
    if quantize:
        from transformers import BitsAndBytesConfig

        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantize,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    settings = {
        "dtype": torch.bfloat16 if quantization else torch.float32,
        "attn_implementation": attention,
    }
    with errors_about(f"model.init_from {init_from}", OSError, ImportError):
        if receives_weights() and not quantization:
            config = AutoConfig.from_pretrained(name, revision=revision)
            make = partial(AutoModelForCausalLM.from_config, config, **settings)
            model = empty_of_checkpoint(make, name, revision)
        else:
            settings |= {"revision": revision, "quantization_config": quantization}
            model = load_whole(AutoModelForCausalLM, name, **settings)
    stream_in_compute_dtype(model)
    return model


def load_chat_model(config: ChatStageConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Load the model of a stage and make its token ids those of the tokenizer.

    Raises:
        RecipeError: weights that cannot be loaded, or fewer embedding rows than tokens.
    """
    adapter = config.model.adapter
    quantize = adapter.quantize if adapter else None
    model = load_model(config.model.init_from, config.model.attention, quantize)
    if config.model.compile:
        compile_layers(model)
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


def lora_config(config: ChatStageConfig, tokenizer: PreTrainedTokenizerBase) -> LoraConfig | None:
    """Make LoRA's config, on every matrix but embedding and head; `None` without an adapter.

    Of embedding and head, the rows of KORMo's turn tokens are trained whole: a base model has never
    seen them, so their rows are nearly equal and no update between them can tell them apart.
    """
    adapter = config.model.adapter
    if adapter is None:
        return None
    rows = turn_rows(tokenizer)
    return LoraConfig(
        trainable_token_indices=rows and {"embed_tokens": rows, "lm_head": rows},
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
