"""`--dry-run`: say what a stage would do and cost, without doing it."""

import yaml

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig

from ..config import StageConfig
from ..pretrain import Steps, split_windows
from .metrics import count_parameters, count_view_parameters, flops_per_token, peak_flops
from .prediction import (
    MemoryEstimate,
    count_traffic,
    estimate_memory,
    gpu_memory,
    plan_layout,
    predict,
)
from .windows_data import attended_length

_GIB = 2**30
# What fragmentation, the CUDA context and NCCL leave of a GPU (our choice).
_USABLE = 0.9


def memory_lines(memory: MemoryEstimate, gpu: str, where: str = "", width: int = 22) -> list[str]:
    """Say what a GPU has to hold, and whether it can.

    Args:
        memory: that is needed.
        gpu: its name; of one not in the table it is not known whether it fits.
        where: of several plans, the one that this is.
        width: of the labels.
    """
    lines = [
        f"{'memory per GPU':<{width}}{memory.total / _GIB:.1f} GiB{where}: states "
        f"{memory.states / _GIB:.1f}, gathered weights {memory.gathered / _GIB:.1f}, gradients "
        f"{memory.gradients / _GIB:.1f}, activations {memory.activations / _GIB:.1f}, loss "
        f"{memory.loss / _GIB:.1f} (an estimate)"
    ]
    if has := gpu_memory(gpu):
        advice = "fits"
        if memory.total > _USABLE * has:
            advice = (
                "does NOT fit; lower batch.micro_batch, recompute layers "
                "(model.activation_checkpointing), or plan more GPUs"
            )
        lines.append(f"{gpu:<{width}}{has / _GIB:.1f} GiB, {_USABLE:.0%} of it usable: {advice}")
    return lines


def _attended(config: StageConfig) -> tuple[float, str]:
    """Tokens that a token attends to on average, and where that is known from."""
    data, length = config.data, config.batch.sequence_length
    try:
        mixture = data.open(length, pad_token_id=0)
        return attended_length(mixture, data.document_masking), "mean of the shards"
    except RecipeError:
        return (length + 1) / 2, "at most: the shards are not there to be looked at"


def plan_report(config: StageConfig, shape: KORMoConfig, steps: Steps) -> str:
    """Describe a stage: its resolved config and the figures that follow from it."""
    batch, parallelism = config.batch, config.parallelism
    split = split_windows(config, parallelism.gpus)
    views = config.model.views
    parameters, view_parameters = count_parameters(shape), count_view_parameters(shape, views)
    flops = flops_per_token(shape, batch.sequence_length, views)
    keys, known = _attended(config)
    computed = flops_per_token(shape, keys, views)
    tokens = steps.total * batch.tokens_per_step
    layout = plan_layout(parallelism.gpus, parallelism.shard_gpus)
    micro_tokens = split.micro_batch * batch.sequence_length
    memory = estimate_memory(
        shape,
        micro_tokens,
        layout.shards,
        config.model.activation_checkpointing,
        config.model.selective_checkpointing,
        parallelism.sync_each_microbatch,
        split.accumulation > 1,
        config.model.compile,
        views,
        config.logging.average_tokens is not None,
    )
    lines = [
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        f"parameters            {parameters:,}",
        *([f"parameters of views   {view_parameters:,}, not in final/"] if views else []),
        f"tokens per step       {batch.tokens_per_step:,} = {parallelism.gpus} GPUs x "
        f"{split.micro_batch} windows x {split.accumulation} forward passes x "
        f"{batch.sequence_length:,}",
        f"steps                 {steps.total:,} (warm-up {steps.warmup:,}, decay {steps.decay:,})",
        f"tokens                {tokens:,}",
        f"FLOPs per token       {flops:.4g} with attention to the whole window, {computed:.4g} "
        f"with that to the {keys:,.0f} tokens that a token sees ({known})",
        f"FLOPs                 {flops * tokens:.4g}",
        f"layout                {layout}",
        *memory_lines(memory, parallelism.gpu),
    ]
    peak = peak_flops(parallelism.gpu)
    traffic = count_traffic(parameters + view_parameters, layout)
    if parallelism.gpus > 1:
        beside = ""
        if peak is not None:
            computing = flops * micro_tokens / peak
            beside = f" beside {computing:.2f} s of computing at peak"
            if traffic.seconds > computing:
                beside += f": at most {computing / traffic.seconds:.0%} MFU"
        lines.append(
            f"communication         {traffic.inside / 1e9:.1f} GB inside a copy and "
            f"{traffic.between / 1e9:.1f} GB between copies for each GPU and reduced forward pass: "
            f"{traffic.seconds:.2f} s{beside}"
        )
    if peak is None:
        lines.append(f"GPU-hours             unknown: no peak for {parallelism.gpu!r}")
    else:
        rate = parallelism.planned_mfu * peak / flops
        hours = tokens / rate / 3600
        days = hours / parallelism.gpus / 24
        lines.append(
            f"GPU-hours             {hours:,.0f} on {parallelism.gpu} at "
            f"{parallelism.planned_mfu:.0%} MFU ({rate:,.0f} tokens/s/GPU), {days:,.1f} days; "
            f"{parallelism.planned_mfu * computed / flops:.0%} of what is attended"
        )
        layers, every = shape.num_hidden_layers, config.model.activation_checkpointing
        reductions = split.accumulation if parallelism.sync_each_microbatch else 1
        sent = traffic.seconds * reductions + traffic.gathering * (split.accumulation - reductions)
        sent /= split.accumulation * micro_tokens
        predicted = predict(
            shape,
            parallelism.gpu,
            keys,
            config.model.compile,
            len(range(0, layers, every)) / layers if every else 0.0,
            config.model.selective_checkpointing,
            layout.shards,
            split.accumulation * micro_tokens,
            sent if parallelism.gpus > 1 else 0.0,
        )
        if predicted is not None:
            lines.append(
                f"predicted             {1 / predicted.total:,.0f} tokens/s/GPU, "
                f"{flops / peak / predicted.total:.0%} MFU, "
                f"{tokens * predicted.total / parallelism.gpus / 86400:,.1f} days: products "
                f"{predicted.products / predicted.total:.0%} of the time, attention "
                f"{predicted.attention / predicted.total:.0%}, moving data "
                f"{predicted.moving / predicted.total:.0%}, optimizer "
                f"{predicted.optimizer / predicted.total:.0%}, exchange "
                f"{predicted.exchange / predicted.total:.0%} (arithmetic; not measured on a GPU)"
            )
        if parallelism.gpu_hour_usd:
            lines.append(f"cost                  ${hours * parallelism.gpu_hour_usd:,.0f}")
    return "\n".join(lines)
