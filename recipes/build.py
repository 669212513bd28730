"""Parts of a pretraining stage: inputs, tokenizer, mixture, model, trainer, export at its end.

Inputs that are not there yet are made on the spot from the embedded corpus, or named.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments, set_seed

from data_recipes.common.config_files import CONFIGS as DATA_CONFIGS
from data_recipes.common.config_files import find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.load import load_tokenizer, padded_vocab_size, tokenizer_hash
from data_recipes.tokens.best_fit import make_plan, plan_dir, read_record
from data_recipes.tokens.mixture import Mixture, format_plan
from data_recipes.tokens.shards import MANIFEST, TokenSource
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.growth import Growth
from modeling_kormo.views_kormo import PREFIX, attach_views

from .arguments import receives_weights
from .config import SELF_CONTAINED, STAGES, StageConfig
from .engine.growing import GrowthRamp, grow, plan_stage
from .engine.handover import (
    BASE_USAGE,
    DataFacts,
    Trained,
    leave,
    save_kormo,
    write_final,
)
from .engine.metrics import Throughput, count_parameters, flops_per_token, peak_flops
from .engine.model_setup import (
    compile_layers,
    empty_model,
    recompute_layers,
    stream_in_compute_dtype,
)
from .engine.quick_eval import QuickEval
from .engine.reproduce import ReproduceRecord, initial_digests, list_inputs, write_recipe
from .engine.trainer import PretrainTrainer
from .engine.windows_data import BitsPerByte, WindowDataset, attended_length, build_collator
from .parent import ParentModel, build_unfreezing, load_parent
from .pretrain import StageRules, Steps


def parent_of(config: StageConfig, rules: StageRules) -> ParentModel:
    """Return the model that a stage of pretraining starts from."""
    init_from, command = config.model.init_from, None
    if rules.expands:
        command = f"kormo expand-vocabulary MODEL {config.data.tokenizer} {init_from}"
    return ParentModel(init_from, config.size, rules.parent or STAGES[0], command)


def _missing_data(config: StageConfig) -> list[Path]:
    data = config.data
    wanted = [data.tokenizer / "tokenizer.json"]
    wanted += [data.shards / name / "train" / MANIFEST for name in data.mixture]
    if data.heldout_shards is None:
        names = data.heldout or data.mixture
        wanted += [data.shards / name / "heldout" / MANIFEST for name in names]
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


def _ensure(
    config: StageConfig, missing: Path, what: str, make: Callable[[StageConfig], None], command: str
) -> None:
    if config.size not in SELF_CONTAINED:
        raise RecipeError(f"{missing}: {what} missing; make it with\n  {command}")
    print(f"{missing} is not there: making the {config.size} {what} now ({command})", flush=True)
    make(config)


def ensure_inputs(config: StageConfig, rules: StageRules) -> None:
    """Have the first rank make what a self-contained stage lacks, while the others wait.

    Raises:
        RecipeError: a stage of real size lacks something; the message has the command.
    """
    with PartialState().main_process_first():
        parent = parent_of(config, rules)
        train_parent = parent.init_from is not None and parent.is_to_be_trained()
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
        model = load_parent(config, tokenizer, growth)
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
    if config.parallelism.precision == "bf16":
        stream_in_compute_dtype(model)
    if every := config.model.activation_checkpointing:
        recompute_layers(model, every, config.model.selective_checkpointing)
    if config.model.compile:
        compile_layers(model)
    return model


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
            edges=config.data.heldout_positions,
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
        unfreezing=build_unfreezing(config) if config.unfreezing else None,
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
