"""What reinforcement learning has of its own beside the other chat stages: checks and arguments."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
import yaml
from trl import GRPOConfig

from data_recipes.common.errors import RecipeError

from ..arguments import one_device, process_count, shared_arguments, stream_dtype
from ..engine.handover import read_lineage
from ..pretrain import BatchSplit
from .grpo_config import GRPOOptimizerConfig, GRPOStageConfig
from .model import load_rollout_tokenizer
from .prompts import Prompts, load_prompts


def check_generation(config: GRPOStageConfig) -> None:
    """Make sure that this machine and installation can generate the completions.

    Raises:
        RecipeError: vLLM or its GPU is missing.
    """
    if config.generation.backend != "vllm":
        return
    if importlib.util.find_spec("vllm") is None:
        raise RecipeError(
            "generation.backend is vllm, which is not installed: `pip install vllm` in an "
            "environment of its own version of torch, or set generation.backend=transformers"
        )
    if not torch.cuda.is_available():
        raise RecipeError(
            "generation.backend is vllm, which needs a CUDA GPU and torch sees none: set "
            "generation.backend=transformers"
        )


def _split(config: GRPOStageConfig) -> BatchSplit:
    batch, ranks = config.batch, process_count()
    at_once = batch.micro_batch * ranks
    if batch.completions_per_step % at_once:
        raise RecipeError(
            f"batch: {batch.prompts_per_step} prompts x {batch.generations_per_prompt} generations "
            f"= {batch.completions_per_step} completions a step cannot be dealt out as "
            f"{batch.micro_batch} (batch.micro_batch) on each of {ranks} processes; choose a "
            "micro_batch that divides them"
        )
    return BatchSplit(batch.micro_batch, batch.completions_per_step // at_once)


def grpo_plan(config: GRPOStageConfig) -> str:
    """Describe a run for `--dry-run`: the resolved config, and the prompts if they are here.

    Raises:
        RecipeError: fewer prompts than a step takes.
    """
    lines = [yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)]
    needed = [*map(str, config.data.paths), config.model.init_from]
    if missing := [path for path in needed if not Path(path).exists()]:
        return "\n".join([*lines, f"not on this machine: {', '.join(missing)}"])
    prompts = load_prompts(config.data, load_rollout_tokenizer(config.model.init_from))
    prompts.in_order(config.schedule.steps, config.batch.prompts_per_step, config.data.seed)
    return "\n".join([*lines, prompts.counts()])


def grpo_arguments(config: GRPOStageConfig, end_id: int) -> GRPOConfig:
    """Translate a config into TRL's arguments.

    Args:
        config: the stage.
        end_id: id of the token that ends a turn.

    Raises:
        RecipeError: completions that cannot be dealt out evenly.
    """
    batch, generation, optimizer = config.batch, config.generation, config.optimizer
    rewards, vllm = config.rewards, generation.backend == "vllm"
    save_every, seed = config.logging.save_every, config.data.seed
    args = GRPOConfig(
        **shared_arguments(config, _split(config), save_every, seed),
        gradient_checkpointing=config.model.activation_checkpointing,
        max_steps=config.schedule.steps,
        warmup_steps=config.schedule.warmup_steps,
        lr_scheduler_type="constant_with_warmup",
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
        loss_type=optimizer.loss_type,
        beta=optimizer.kl_beta,
        reward_weights=[rewards.answer, rewards.language, rewards.format],
        shuffle_dataset=False,  # `Prompts.in_order` has
    )
    return one_device(args)


def grpo_fingerprint(config: GRPOStageConfig, prompts: Prompts) -> dict[str, dict[str, Any]]:
    """Collect what must not change between a run and its resumption, by section."""
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
            "stream": stream_dtype(config.parallelism.precision),
        },
        **sections,
    }
