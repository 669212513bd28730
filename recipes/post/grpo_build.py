"""What the reinforcement learning stage is made of, and the checks that come before it starts."""

import importlib.util
import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar
from trl import GRPOConfig

import modeling_kormo  # noqa: F401  (registers the model)
from data_recipes.common.errors import RecipeError
from data_recipes.common.references import split_revision
from data_recipes.tokenizer.train import EOT

from ..engine.handover import read_lineage
from ..engine.metrics import Throughput
from .grpo_config import GRPOOptimizerConfig, GRPOStageConfig
from .prompts import Prompts
from .rewards import END_THINK, THINK, answer_reward, format_reward, language_reward
from .trainers import RewardTrainer


def build_tokenizer(config: GRPOStageConfig) -> PreTrainedTokenizerBase:
    """Tokenizer of the start, ending turns at `<|EOT|>`, where TRL looks for `eos_token`.

    Raises:
        RecipeError: it cannot be loaded, or lacks what a chat needs.
    """
    where = f"model.init_from {config.model.init_from}"
    name, revision = split_revision(config.model.init_from)
    # A path that was meant as one: Hub ids have one slash and are not below a runs directory.
    if not Path(name).exists() and (name.count("/") != 1 or name.startswith((".", "/"))):
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
    if missing := [token for token in (THINK, END_THINK, EOT) if token not in vocabulary]:
        raise RecipeError(
            f"{where}: its tokenizer has no {', '.join(missing)}, so reasoning and the end of an "
            "answer cannot be told; start from a model with KORMo's tokenizer"
        )
    tokenizer.eos_token = EOT
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        raise RecipeError(
            f"{where}: its padding token is {tokenizer.pad_token!r}; it must be one of its own, "
            f"or the end {EOT} would be taken for padding"
        )
    return tokenizer


def build_model(config: GRPOStageConfig) -> PreTrainedModel:
    """The start, with fp32 master weights.

    Raises:
        RecipeError: it cannot be loaded.
    """
    name, revision = split_revision(config.model.init_from)
    try:
        return AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            dtype=torch.float32,
            attn_implementation=config.model.attention,
        )
    except (OSError, ValueError, ImportError) as error:
        raise RecipeError(f"model.init_from {config.model.init_from}: {error}") from error


def _accumulation(config: GRPOStageConfig) -> int:
    batch, ranks = config.batch, int(os.environ.get("WORLD_SIZE", "1"))
    at_once = batch.micro_batch * ranks
    if batch.completions_per_step % at_once:
        raise RecipeError(
            f"batch: {batch.prompts_per_step} prompts x {batch.generations_per_prompt} generations "
            f"= {batch.completions_per_step} completions a step cannot be dealt out as "
            f"{batch.micro_batch} (batch.micro_batch) on each of {ranks} processes; choose a "
            "micro_batch that divides them"
        )
    return batch.completions_per_step // at_once


def check_machine(config: GRPOStageConfig) -> None:
    """Raises RecipeError if this machine or installation cannot run the config."""
    _accumulation(config)
    gpu = torch.cuda.is_available()
    if config.parallelism.require_gpu and not gpu:
        raise RecipeError(
            "parallelism.require_gpu: this recipe needs a CUDA GPU and torch sees none. Run it on "
            "a GPU machine, or use the tiny recipe"
        )
    if config.generation.backend == "vllm":
        if importlib.util.find_spec("vllm") is None:
            raise RecipeError(
                "generation.backend is vllm, which is not installed: `pip install vllm` in an "
                "environment of its own version of torch, or set generation.backend=transformers"
            )
        if not gpu:
            raise RecipeError(
                "generation.backend is vllm, which needs a CUDA GPU and torch sees none: set "
                "generation.backend=transformers"
            )


def check_enough(config: GRPOStageConfig, prompts: Prompts) -> None:
    """Raises RecipeError if there are fewer prompts than a step takes."""
    if len(prompts.rows) < config.batch.prompts_per_step:
        raise RecipeError(
            f"data.paths: {len(prompts.rows):,} usable prompts, but a step takes "
            f"{config.batch.prompts_per_step:,} (batch.prompts_per_step): lower it or add rows"
        )


def grpo_arguments(config: GRPOStageConfig, end_id: int) -> GRPOConfig:
    """TRL's arguments for the stage. Also starts the process group if there is one."""
    disable_progress_bar()
    batch, generation, optimizer = config.batch, config.generation, config.optimizer
    rewards, logging = config.rewards, config.logging
    gpu = torch.cuda.is_available()
    vllm = generation.backend == "vllm"
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    args = GRPOConfig(
        output_dir=str(logging.output_dir),
        use_cpu=not gpu,
        ddp_backend="gloo" if ranks > 1 and not gpu else None,
        ddp_find_unused_parameters=False,
        bf16=config.parallelism.precision == "bf16",
        per_device_train_batch_size=batch.micro_batch,
        gradient_accumulation_steps=_accumulation(config),
        num_generations=batch.generations_per_prompt,
        max_completion_length=batch.max_completion_tokens,
        temperature=generation.temperature,
        use_vllm=vllm,
        vllm_mode=generation.vllm_mode,
        vllm_server_base_url=generation.vllm_server,
        vllm_gpu_memory_utilization=generation.vllm_memory,
        vllm_max_model_length=config.data.max_prompt_tokens + batch.max_completion_tokens,
        # vLLM reads a model's own end, which before this stage may be that of a document.
        generation_kwargs={"stop_token_ids": [end_id]} if vllm else None,
        # vLLM has no class for KORMo; its transformers backend runs the code in the directory.
        vllm_model_impl="transformers",
        trust_remote_code=vllm,
        max_steps=config.schedule.steps,
        warmup_steps=config.schedule.warmup_steps,
        lr_scheduler_type="constant_with_warmup",
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        max_grad_norm=optimizer.max_grad_norm,
        loss_type=optimizer.loss_type,
        beta=optimizer.kl_beta,
        reward_weights=[rewards.answer, rewards.language, rewards.format],
        gradient_checkpointing=config.model.activation_checkpointing,
        dataloader_pin_memory=gpu,
        logging_steps=logging.log_every,
        save_strategy="steps",
        save_steps=logging.save_every,
        save_total_limit=None,  # `checkpoints.publish` rotates, after the new one is whole
        report_to=list(logging.report_to) or "none",
        shuffle_dataset=False,  # `Prompts.in_order` has
        seed=config.data.seed,
        disable_tqdm=True,
        log_level="warning",
    )
    args._n_gpu = min(args.n_gpu, 1)  # one process drives one GPU
    return args


def build_trainer(
    config: GRPOStageConfig,
    args: GRPOConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Prompts,
) -> RewardTrainer:
    """Model, prompts and rewards in the trainer."""
    end_id = tokenizer.eos_token_id
    count = config.schedule.steps * config.batch.prompts_per_step
    trainer = RewardTrainer(
        model=model,
        args=args,
        processing_class=tokenizer,
        train_dataset=prompts.in_order(count, config.data.seed),
        reward_funcs=[answer_reward, language_reward, partial(format_reward, end_id=end_id)],
    )
    keep = config.logging.keep_checkpoints
    trainer.prepare(Throughput(0.0, None), keep, f"{config.size} grpo")
    return trainer


def grpo_fingerprint(config: GRPOStageConfig, prompts: Prompts) -> dict[str, dict[str, Any]]:
    """What must not change between a run and its resumption, by section."""
    lineage = read_lineage(config.model.init_from)
    sections = {
        section: getattr(config, section).model_dump(mode="json")
        for section in ("rewards", "batch", "generation", "schedule", "optimizer")
    }
    for key in ("beta1", "beta2", "epsilon"):
        # The records of older runs lack these: they had the values that are the defaults now.
        if sections["optimizer"][key] == GRPOOptimizerConfig.model_fields[key].default:
            del sections["optimizer"][key]
    return {
        "data": {"prompts_sha256": prompts.fingerprint, "seed": config.data.seed},
        "model": {
            "init_from": config.model.init_from,
            "init_weights": lineage["weights_sha256"] if lineage else None,
        },
        **sections,
    }
