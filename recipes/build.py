"""Builds tokenizer, model and mixture of a stage, and checks that they fit each other."""

import os
from contextlib import nullcontext

import torch
from accelerate import init_empty_weights
from transformers import PreTrainedTokenizerBase, set_seed

from data_recipes.common.errors import RecipeError
from data_recipes.common.references import split_revision
from data_recipes.tokenizer.load import load_tokenizer, padded_vocab_size, tokenizer_hash
from data_recipes.tokens.mixture import Mixture, check_synthesizers, format_plan
from modeling_kormo import KORMoConfig, KORMoForCausalLM

from .config import StageConfig
from .engine.schedule import Steps

_WINDOWS_LOOKED_AT = 1000


def model_config(config: StageConfig, tokenizer: PreTrainedTokenizerBase | None) -> KORMoConfig:
    """Model config of a stage; without a tokenizer (`--dry-run`) the ids are left unset."""
    ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if tokenizer is not None:
        ids = {name: getattr(tokenizer, name) for name in ids}
    return KORMoConfig(
        **config.model.shape.model_dump(),
        **ids,
        **({"rope_theta": config.model.rope_theta} if config.model.rope_theta else {}),
        # Mixed precision trains on fp32 angles, so the model must also be served on them.
        rope_frequencies_in_model_dtype=False,
    )


def build_tokenizer(config: StageConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer.

    Raises:
        RecipeError: no tokenizer, or one with more entries than the embedding has rows.
    """
    tokenizer = load_tokenizer(config.data.tokenizer)
    rows = config.model.shape.vocab_size
    if len(tokenizer) > rows:
        raise RecipeError(
            f"the tokenizer has {len(tokenizer):,} entries but the embedding only {rows:,} rows: "
            f"set model.shape.vocab_size to {padded_vocab_size(len(tokenizer))} or train a smaller "
            "tokenizer"
        )
    return tokenizer


def build_mixture(config: StageConfig, steps: Steps, tokenizer: PreTrainedTokenizerBase) -> Mixture:
    """Open the shards, check the mixture, and print it as a table on the first rank.

    Raises:
        RecipeError: missing or corrupt shards, shards that another tokenizer made, or Korean text
            that rests on one synthesizer.
    """
    data, batch = config.data, config.batch
    mixture = Mixture(
        data.shards,
        data.mixture,
        batch.sequence_length,
        data.seed,
        data.packing,
        tokenizer.pad_token_id,
    )
    if tokenizer_hash(data.tokenizer) != mixture.tokenizer_sha256:
        raise RecipeError(
            f"data.tokenizer {data.tokenizer} is not the tokenizer that made the shards in "
            f"{data.shards}: use that one, or make the shards again"
        )
    rows = mixture.plan(steps.total * batch.windows_per_step)
    if int(os.environ.get("RANK", "0")) == 0:
        print(format_plan(rows, batch.sequence_length), flush=True)
    if config.stage == "midtrain_long":
        _check_short_text(config, mixture)
    if config.stage == "midtrain_reasoning":
        _check_reasoning(mixture, think_ids(tokenizer)[0])
    if config.stage == "stage2" and not data.allow_single_synthesizer:
        check_synthesizers(rows)
    return mixture


def _check_short_text(config: StageConfig, mixture: Mixture) -> None:
    limit, least = config.data.short_document_tokens, config.data.min_short_share
    share = mixture.short_share(limit)
    if share < least:
        raise RecipeError(
            f"data.mixture: {share:.1%} of its tokens lie in documents of at most {limit:,} "
            f"tokens, data.min_short_share asks for {least:.1%}; without, math and code degrade "
            "(KORMo section 4). Raise the weights of sources with short documents"
        )
    if share == 1:
        raise RecipeError(
            f"data.mixture: no document is longer than data.short_document_tokens ({limit:,}), so "
            "there is nothing to learn from longer windows; add a source with long documents"
        )


def _check_reasoning(mixture: Mixture, think: int) -> None:
    windows = range(_WINDOWS_LOOKED_AT)
    if not any((mixture.window(i).tokens == think).any() for i in windows):
        raise RecipeError(
            f"data.mixture: no <think> in its first {_WINDOWS_LOOKED_AT} windows. Read "
            "traces with `template: traces` in the data recipe, which writes them as "
            "`question\\n<think>\\nreasoning\\n</think>\\n\\nanswer`, and give them a weight"
        )


def think_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Ids of `<think>` and `</think>`.

    Raises:
        RecipeError: they are not single tokens.
    """
    ids = tuple(tokenizer.get_added_vocab().get(t) for t in ("<think>", "</think>"))
    if None in ids:
        raise RecipeError(
            f"tokenizer {tokenizer.name_or_path}: <think> and </think> must be added tokens of "
            "their own; train one with `python -m data_recipes prepare`, or add them and resize "
            "the embedding"
        )
    return ids


def _check_same(kind: str, wanted: dict, found: dict, where: str) -> None:
    differences = [f"{k}: {found[k]} instead of {v}" for k, v in wanted.items() if found[k] != v]
    if differences:
        raise RecipeError(
            f"{where}: its {kind} differs from the recipe's: {', '.join(differences)}"
        )


def _load(config: StageConfig, tokenizer: PreTrainedTokenizerBase) -> KORMoForCausalLM:
    name, revision = split_revision(config.model.init_from)
    try:
        own = KORMoConfig.from_pretrained(name, revision=revision)
        if config.model.rope_theta:
            own.rope_parameters["rope_theta"] = config.model.rope_theta
        model = KORMoForCausalLM.from_pretrained(
            name,
            config=own,
            revision=revision,
            dtype=torch.float32,
            attn_implementation=config.model.attention,
        )
    except (OSError, ValueError) as error:
        raise RecipeError(f"model.init_from {config.model.init_from}: {error}") from error
    wanted = config.model.shape.model_dump()
    _check_same("shape", wanted, model.config.to_dict(), config.model.init_from)
    # A checkpoint's ids must be the tokenizer's: EOS and EOT of KORMo are easily mixed up.
    ids = {k: getattr(tokenizer, k) for k in ("bos_token_id", "eos_token_id")}
    _check_same("token ids", ids, model.config.to_dict(), config.model.init_from)
    return model


def build_model(config: StageConfig, tokenizer: PreTrainedTokenizerBase) -> KORMoForCausalLM:
    """The model with fp32 weights, randomly initialised or loaded.

    Raises:
        RecipeError: weights that cannot be loaded, or whose shape or token ids differ.
    """
    set_seed(config.data.seed)
    if config.model.init_from:
        model = _load(config, tokenizer)
    else:
        # Under FSDP2 only the first rank holds the weights; the others receive their shards.
        efficient = os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "").lower() == "true"
        receives = efficient and int(os.environ.get("RANK", "0")) != 0
        with init_empty_weights(include_buffers=False) if receives else nullcontext():
            model = KORMoForCausalLM._from_config(
                model_config(config, tokenizer),
                attn_implementation=config.model.attention,
                dtype=torch.float32,
            )
        if receives:
            # accelerate tells parameters apart by address, which meta tensors lack. Memory that is
            # never written to is never resident.
            for module in model.modules():
                for name, parameter in module.named_parameters(recurse=False):
                    empty = torch.empty_like(parameter, device="cpu")
                    setattr(module, name, torch.nn.Parameter(empty))
            model.tie_weights()
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if every := config.model.activation_checkpointing:
        model.gradient_checkpointing_enable()
        for number, layer in enumerate(model.model.layers):
            layer.gradient_checkpointing = number % every == 0
    if config.model.compile:
        for layer in model.model.layers:
            layer.compile()
    return model
