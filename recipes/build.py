"""Parts of a pretraining stage: tokenizer, mixture, model, trainer, and the export at its end."""

import os
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments, set_seed

from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.references import split_revision
from data_recipes.tokenizer.load import load_tokenizer, padded_vocab_size, tokenizer_hash
from data_recipes.tokens.mixture import Mixture, format_plan
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.export import LLAMA_NORMS
from modeling_kormo.growth import Growth
from modeling_kormo.views_kormo import PREFIX, attach_views

from .config import StageConfig
from .engine.bits_per_byte import BitsPerByte
from .engine.flops import count_parameters, flops_per_token, peak_flops
from .engine.growing import GrowthRamp, check_grown_so, grow, plan_stage
from .engine.handover import (
    BASE_USAGE,
    DataFacts,
    Trained,
    leave,
    read_lineage,
    save_kormo,
    write_final,
)
from .engine.metrics import Throughput
from .engine.model_setup import (
    compile_layers,
    empty_model,
    empty_of_checkpoint,
    receives_weights,
    recompute_layers,
    stream_in_compute_dtype,
)
from .engine.quick_eval import QuickEval
from .engine.reproduce import ReproduceRecord, initial_digests, list_inputs, write_recipe
from .engine.trainer import PretrainTrainer
from .engine.unfreezing import Unfreezing
from .engine.windows_data import WindowDataset, attended_length, build_collator
from .pretrain import StageRules, Steps


def model_config(config: StageConfig, tokenizer: PreTrainedTokenizerBase | None) -> KORMoConfig:
    """Config of the model that a stage begins with, before it grows.

    Without a tokenizer (`--dry-run`) the ids are left unset.
    """
    ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if tokenizer is not None:
        ids = {name: getattr(tokenizer, name) for name in ids}
    made = KORMoConfig(
        **config.model.shape.model_dump(),
        **ids,
        embedding_std=config.model.embedding_std,
        **config.model.norms(),
        **({"rope_theta": config.model.rope_theta} if config.model.rope_theta else {}),
        # Mixed precision trains on fp32 angles, so the model must also be served on them.
        rope_frequencies_in_model_dtype=False,
    )
    if config.model.rope_scaling:
        config.model.rope_scaling.scale(made)
    return made


def growth_of(config: StageConfig) -> Growth | None:
    """How the model grows before it is trained; `None` if it does not.

    Raises:
        RecipeError: it cannot grow so.
    """
    if config.growth is None:
        return None
    return plan_stage(config, model_config(config, tokenizer=None))


def trained_shape(config: StageConfig) -> KORMoConfig:
    """Config of the model that a stage trains, which has grown if it grows; ids are unset.

    Raises:
        RecipeError: it cannot grow so.
    """
    growth = growth_of(config)
    return growth.new if growth else model_config(config, tokenizer=None)


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
    """Open the shards, and print the mixture as a table on the first rank.

    Raises:
        RecipeError: missing or corrupt shards, shards that another tokenizer made, or shards of
            pairs where the recipe does not say how they are seen.
    """
    data, batch = config.data, config.batch
    mixture = data.open(batch.sequence_length, tokenizer.pad_token_id)
    if tokenizer_hash(data.tokenizer) != mixture.tokenizer_sha256:
        raise RecipeError(
            f"data.tokenizer {data.tokenizer} is not the tokenizer that made the shards in "
            f"{data.shards}: use that one, or make the shards again"
        )
    paired = [name for name, s in mixture.sources.items() if "pair" in s.manifest.pipeline]
    if paired and data.pairs is None:
        raise RecipeError(
            f"data.mixture: {', '.join(paired)} has two documents in a segment; set data.pairs to "
            "together (the second sees the first) or apart"
        )
    rows = mixture.plan(steps.total * batch.windows_per_step)
    if int(os.environ.get("RANK", "0")) == 0:
        print(format_plan(rows, batch.sequence_length), flush=True)
    return mixture


def _check_same(kind: str, wanted: dict, found: dict, where: str) -> None:
    differences = [f"{k}: {found[k]} instead of {v}" for k, v in wanted.items() if found[k] != v]
    if differences:
        raise RecipeError(
            f"{where}: its {kind} differs from the recipe's: {', '.join(differences)}"
        )


def _own_config(name: str, revision: str) -> KORMoConfig:
    """Config of a KORMo checkpoint, or of a Llama one, whose two norms have other names there."""
    found, _ = KORMoConfig.get_config_dict(name, revision=revision)
    family = found.get("model_type")
    if family not in ("kormo", "llama"):
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
    own = _own_config(*split_revision(config.model.init_from))
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


def _load(
    config: StageConfig, tokenizer: PreTrainedTokenizerBase, growth: Growth | None
) -> KORMoForCausalLM:
    name, revision = split_revision(config.model.init_from)
    own = _own_shape(config, growth)
    with errors_about(f"model.init_from {config.model.init_from}", OSError):
        settings = {
            "dtype": torch.float32,
            "attn_implementation": config.model.attention,
        }
        if receives_weights() and not growth:  # what grows is grown on each rank
            make = partial(KORMoForCausalLM._from_config, own, **settings)
            model = empty_of_checkpoint(make, name, revision)
        else:
            model = KORMoForCausalLM.from_pretrained(
                name,
                config=own,
                revision=revision,
                key_mapping={f".{theirs}.": f".{ours}." for ours, theirs in LLAMA_NORMS.items()},
                **settings,
            )
    # A checkpoint's ids must be the tokenizer's: EOS and EOT of KORMo are easily mixed up.
    ids = {k: getattr(tokenizer, k) for k in ("bos_token_id", "eos_token_id")}
    _check_same("token ids", ids, model.config.to_dict(), config.model.init_from)
    return model


def _attach_views(config: StageConfig, model: KORMoForCausalLM) -> None:
    if views := config.model.views:
        attach_views(model, views.kind, views.count, views.weight, config.data.seed)


def build_model(config: StageConfig, tokenizer: PreTrainedTokenizerBase) -> KORMoForCausalLM:
    """The model with fp32 weights, randomly initialised, or loaded and, maybe, grown.

    Raises:
        RecipeError: weights that cannot be loaded, or whose shape or token ids differ.
    """
    set_seed(config.data.seed)
    growth = growth_of(config)
    if config.model.init_from:
        model = _load(config, tokenizer, growth)
        if growth:
            model = grow(config, model, growth)
        _attach_views(config, model)
    else:

        def make() -> KORMoForCausalLM:
            made = KORMoForCausalLM._from_config(
                model_config(config, tokenizer),
                attn_implementation=config.model.attention,
                dtype=torch.float32,
            )
            _attach_views(config, made)
            return made

        model = empty_model(make) if receives_weights() else make()
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    stream_in_compute_dtype(model)
    if every := config.model.activation_checkpointing:
        recompute_layers(model, every, config.model.selective_checkpointing)
    if config.model.compile:
        compile_layers(model)
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


def build_trainer(
    config: StageConfig,
    rules: StageRules,
    args: TrainingArguments,
    steps: Steps,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    mixture: Mixture,
) -> PretrainTrainer:
    """Put data, measurements and model into the trainer."""
    batch = config.batch
    device_peak = None
    if torch.cuda.is_available():
        device_peak = peak_flops(torch.cuda.get_device_name())
    trainer = PretrainTrainer(
        model=model,
        args=args,
        config=config,
        train_dataset=WindowDataset(mixture, steps.total * batch.windows_per_step),
        bits_per_byte=BitsPerByte(
            config.data.heldout_shards or config.data.shards,
            config.data.heldout or list(config.data.mixture),
            batch.sequence_length,
            config.data.heldout_tokens,
            tokenizer,
            rows=args.per_device_train_batch_size if config.model.compile else 1,
        ),
        throughput=Throughput(
            flops_per_token(model.config, batch.sequence_length, config.model.views),
            device_peak * args.world_size if device_peak else None,
            on_cpu=not torch.cuda.is_available(),
            attended_flops=flops_per_token(
                model.config,
                attended_length(mixture, config.data.document_masking),
                config.model.views,
            ),
        ),
        collator=build_collator(config, rules.unscored, tokenizer),
        unfreezing=build_unfreezing(config),
    )
    if config.model.init_from is None and trainer.is_world_process_zero():
        trainer.initial_weights = initial_digests(model)
    if tokens := config.logging.quick_eval_every_tokens:
        every = max(1, tokens // batch.tokens_per_step)
        trainer.add_callback(
            QuickEval(config.logging, tokenizer, every, batch.tokens_per_step, trainer.throughput)
        )
    if growth := growth_of(config):
        trainer.add_callback(GrowthRamp(config, model, growth))
    return trainer


def record_run(
    trainer: PretrainTrainer,
    config: StageConfig,
    config_path: Path,
    mixture: Mixture,
    steps: Steps,
    start: int,
) -> None:
    """Keep what `kormo replay`, `publish` and `verify` look back at, from the first step on.

    Args:
        trainer: of the run.
        config: its resolved recipe, which is written.
        config_path: the YAML that it was read from.
        mixture: of the run.
        steps: of the run.
        start: step that it goes on from.
    """
    inputs = {}
    if trainer.is_world_process_zero():
        write_recipe(config, config.logging.output_dir)
        inputs = list_inputs(config, config_path, mixture)
    trainer.add_callback(ReproduceRecord(trainer, steps.save_every, steps.total, inputs, start))


def export(
    trainer: PretrainTrainer,
    config: StageConfig,
    tokenizer: PreTrainedTokenizerBase,
    mixture: Mixture,
    steps: Steps,
) -> None:
    """Gather the trained weights and write `final/`; say where everything is."""
    gathered = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    state_dict = {k: v for k, v in gathered.items() if not k.startswith(PREFIX)}
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        rows = mixture.plan(steps.total * config.batch.windows_per_step)
        table = format_plan(rows, config.batch.sequence_length)
        growth = growth_of(config)
        trained = Trained(
            parent=config.model.init_from,
            parameters=count_parameters(model.config),
            tokens=steps.total * config.batch.tokens_per_step,
            data=DataFacts.of(rows, mixture.fingerprint, table),
            tokenizer_sha256=mixture.tokenizer_sha256,
            usage=BASE_USAGE,
            growth=growth.record() if growth else None,
            initial_weights=trainer.initial_weights,
            views=config.model.views.model_dump() if config.model.views else None,
        )
        save = partial(save_kormo, model.config, model.generation_config, state_dict)
        write_final(config, save, tokenizer, trained)
    leave(trainer.accelerator)
