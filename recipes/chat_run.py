"""What the chat stages share: tokenizer, model, arguments, resume, and the end."""

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from data_recipes.errors import RecipeError
from modeling_kormo import KORMoConfig
from modeling_kormo.adapter import merge_adapter
from modeling_kormo.chat_config import (
    END_OF_TURN,
    RESPONSE_TEMPLATE,
    chat_generation_config,
    check_token_ids,
)

from .build import split_revision
from .chat_tokens import training_template
from .checkpoints import find_newest, record_fingerprint
from .flops import flops_per_token, peak_flops
from .handover import CHAT_USAGE, Trained, read_lineage, save_kormo, write_final
from .metrics import CURVE, Throughput
from .sft_config import ChatSource, ChatStageConfig


@dataclass(frozen=True)
class DataFacts:
    """What the hand-over says of the data.

    Attributes:
        languages: codes.
        licences: of the sources.
        fingerprint: changes whenever the data could.
        table: for people.
    """

    languages: list[str]
    licences: list[str]
    fingerprint: str
    table: str

    @staticmethod
    def of(sources: list[ChatSource], fingerprint: str, table: str) -> "DataFacts":
        languages, licences = ({getattr(s, k) for s in sources} for k in ("language", "licence"))
        return DataFacts(sorted(languages), sorted(licences), fingerprint, table)


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


def trainer_arguments(
    config: ChatStageConfig, total: int, accumulation: int, seed: int
) -> dict[str, Any]:
    """Arguments that every TRL trainer takes.

    Args:
        config: the stage.
        total: steps.
        accumulation: forward passes per step and rank.
        seed: order of the data.

    Raises:
        RecipeError: no GPU where the config demands one, or precision at odds with the launcher's.
    """
    gpu = torch.cuda.is_available()
    if config.parallelism.require_gpu and not gpu:
        raise RecipeError(
            "parallelism.require_gpu: this recipe needs a CUDA GPU and torch sees none. Run it on "
            "a GPU machine, use the tiny recipe, or see its plan with --dry-run"
        )
    disable_progress_bar()  # of loading and saving; training has its own
    # TRL reads the old name of this argument, transformers warns of it.
    warnings.filterwarnings("ignore", message="`gradient_checkpointing` is deprecated")
    precision = config.parallelism.precision
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launcher not in ("no", "bf16" if precision == "bf16" else "no"):
        raise RecipeError(
            f"parallelism.precision is {precision} but accelerate was launched with "
            f"mixed_precision {launcher}: make them agree"
        )
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    schedule, optimizer, logging = config.schedule, config.optimizer, config.logging
    warmup = round(total * schedule.warmup_fraction)
    return {
        "output_dir": str(logging.output_dir),
        "use_cpu": not gpu,
        "ddp_backend": "gloo" if ranks > 1 and not gpu else None,
        "ddp_find_unused_parameters": False,
        "bf16": precision == "bf16",
        "gradient_checkpointing": config.model.activation_checkpointing,
        "per_device_train_batch_size": config.batch.micro_batch,
        "per_device_eval_batch_size": config.batch.micro_batch,
        "gradient_accumulation_steps": accumulation,
        "max_steps": total,
        "learning_rate": optimizer.learning_rate,
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {
            "num_decay_steps": 0 if schedule.decay_type == "none" else total - warmup,
            "decay_type": "linear" if schedule.decay_type == "none" else schedule.decay_type,
            "min_lr_ratio": schedule.min_lr_ratio,
        },
        "warmup_steps": warmup,
        "optim": "adamw_torch_fused",
        "adam_beta1": optimizer.beta1,
        "adam_beta2": optimizer.beta2,
        "adam_epsilon": optimizer.epsilon,
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.max_grad_norm,
        "average_tokens_across_devices": True,
        "include_num_input_tokens_seen": "all",
        "dataloader_pin_memory": gpu,
        "logging_strategy": "steps",
        "logging_steps": logging.log_every,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps",
        "eval_steps": logging.eval_every,
        "save_strategy": "steps",
        "save_steps": logging.save_every,
        "save_total_limit": None,  # `checkpoints.publish` rotates, after the new one is whole
        "report_to": list(logging.report_to) or "none",
        "seed": seed,
        "data_seed": seed,
        "disable_tqdm": True,
        "log_level": "warning",
    }


def plan_chat_steps(config: ChatStageConfig, rows: int, ranks: int) -> tuple[int, int]:
    """Steps of the run, and forward passes per step and rank.

    Args:
        config: the stage.
        rows: windows (or pairs) in the data.
        ranks: processes.

    Raises:
        RecipeError: the rows of a step cannot be dealt out evenly, or there is less than one step.
    """
    batch = config.batch
    share = ranks * batch.micro_batch
    if batch.windows_per_step % share:
        raise RecipeError(
            f"batch: {batch.windows_per_step} windows a step cannot be dealt out evenly over "
            f"{ranks} processes x {batch.micro_batch} (batch.micro_batch); change one of them"
        )
    total = int(config.schedule.epochs * rows / batch.windows_per_step)
    if total == 0:
        raise RecipeError(
            f"{config.schedule.epochs:g} epochs of {rows:,} windows are less than one step of "
            f"{batch.windows_per_step}: lower batch.tokens_per_step or give more data"
        )
    return total, batch.windows_per_step // share


def throughput(model: PreTrainedModel, config: ChatStageConfig, ranks: int) -> Throughput:
    """Meter for tokens per second, and for MFU where FLOPs and GPU are known."""
    own = model.config
    known = isinstance(own, KORMoConfig) and torch.cuda.is_available()
    peak = peak_flops(torch.cuda.get_device_name()) if known else None
    flops = flops_per_token(own, config.batch.sequence_length) if known else 0.0
    return Throughput(flops, peak * ranks if peak else None)


def chat_fingerprint(config: ChatStageConfig, data: str) -> dict[str, dict[str, Any]]:
    """What must not change between a run and its resumption, by section."""
    lineage = read_lineage(config.model.init_from)
    return {
        "data": {"fingerprint": data},
        "model": {
            **config.model.model_dump(mode="json", exclude={"attention"}),
            "init_weights": lineage["weights_sha256"] if lineage else None,
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
        if checkpoint is None:
            record_fingerprint(output_dir, fingerprint)
        print(
            f"writing to {output_dir}; if the run is interrupted, start the same command again to "
            "resume it",
            flush=True,
        )
    trainer.run(checkpoint)


def _saver(
    model: PreTrainedModel, generation: GenerationConfig, state: dict[str, torch.Tensor]
) -> Callable[[Path], None]:
    if isinstance(model.config, KORMoConfig):
        return partial(save_kormo, model.config, generation, state)

    def save(directory: Path) -> None:
        model.config.use_cache = True
        model.save_pretrained(directory, state_dict=state)

    return save


def _merged(config: Any, generation: GenerationConfig, adapter: Path) -> PreTrainedModel:
    """The base in fp32, whatever the adapter was trained on, with the adapter added."""
    name, revision = split_revision(config.model.init_from)
    base = AutoModelForCausalLM.from_pretrained(name, revision=revision, dtype=torch.float32)
    merged = merge_adapter(base, adapter, torch.float32)
    merged.generation_config = generation
    return merged


def export_chat(
    trainer: Any, config: Any, tokenizer: PreTrainedTokenizerBase, data: DataFacts
) -> None:
    """Write `final/` (an adapter merged into its base, and apart in `adapter/`), say where it is.

    Args:
        trainer: after training.
        config: the stage, any whose model is a chat model.
        tokenizer: goes along.
        data: what it was trained on.
    """
    output_dir = config.logging.output_dir
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    adapter = isinstance(model, PeftModel)
    state = None if adapter else trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        if adapter:
            model.save_pretrained(output_dir / "adapter")
            model = _merged(config, model.generation_config, output_dir / "adapter")
            state = model.state_dict()
        trained = Trained(
            parent=config.model.init_from,
            parameters=sum(p.numel() for p in state.values()),
            tokens=int(trainer.state.num_input_tokens_seen),
            data_fingerprint=data.fingerprint,
            tokenizer_sha256=hashlib.sha256(
                tokenizer.backend_tokenizer.to_str(pretty=True).encode()
            ).hexdigest(),
            languages=data.languages,
            licences=data.licences,
            table=data.table,
            usage=CHAT_USAGE,
        )
        save = _saver(model, model.generation_config, state)
        final = write_final(config, output_dir, save, tokenizer, trained)
        print(f"model       {final}")
        print(f"loss curve  {output_dir / CURVE}", flush=True)
    trainer.accelerator.wait_for_everyone()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.destroy_process_group()
