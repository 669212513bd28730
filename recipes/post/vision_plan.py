"""`--dry-run` of the stages that see: tokens a picture, parameters, memory, by arithmetic alone."""

from dataclasses import replace

import torch
import yaml
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, SiglipVisionModel

from modeling_kormo.vision import TOKENS, build_processor, patches, tokens_of_picture

from ..command_line import CONFIGS, load_stage
from ..engine.dry_run import memory_lines
from ..engine.metrics import count_parameters
from ..engine.prediction import GPUS_OF_A_NODE, estimate_memory
from .chat_plan import data_plan, shape_of_size
from .seeing import AnyVisionConfig, vision_config
from .vision_config import AlignModelConfig, VisionTowerConfig

# Widths and heights of the pictures that are counted: small, COCO's, a screen's, a page's.
_SIZES = ((64, 64), (640, 480), (1920, 1080), (700, 2000))


def _put_together(config: AnyVisionConfig) -> AlignModelConfig:
    """What the model is made of: said by the config of its alignment."""
    if config.stage == "vision_align":
        return config.model
    return load_stage(CONFIGS / config.size / "vision_align.yaml", "vision_align").model


def _picture_tokens(made: AlignModelConfig) -> list[str]:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **TOKENS)
    processor = build_processor(tokenizer, vision_config(made.tower_shape), made.kind)
    counts = {size: tokens_of_picture(processor, *reversed(size)) for size in _SIZES}
    several = tokens_of_picture(processor, 480, 640, pictures=2)
    listed = [f"{width} x {height}: {count:,}" for (width, height), count in counts.items()]
    return [*listed, f"each of several: {several:,}"]


def tower_plan(config: VisionTowerConfig) -> str:
    """Describe the training of a tower: its config, size and steps' worth of pictures."""
    shape = vision_config(config.model.shape)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in SiglipVisionModel(shape).parameters())
    dumped = config.model_dump(mode="json")
    return "\n".join(
        [
            yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True),
            f"parameters        {parameters:,}",
            f"image tokens      {patches(shape):,} a picture",
            f"pictures a step   {config.batch.rows_per_step:,}, each held against all captions",
        ]
    )


def vision_plan(config: AnyVisionConfig) -> str:
    """Describe a stage: its config, image tokens, parameters, and memory on its GPUs and on one."""
    made, text = _put_together(config), shape_of_size(config.size)
    with torch.device("meta"):
        tower = SiglipVisionModel(vision_config(made.tower_shape))
    seen, width = made.tower_shape.hidden_size, text.hidden_size
    counts = {
        "tower": sum(p.numel() for p in tower.parameters()),
        "projector": seen * width + width + width * width + width,
        "language model": count_parameters(text),
    }
    if made.kind == "onevision":
        counts["projector"] += width  # the end of a row of patches
    trained = counts["projector"]
    adapter = config.model.adapter
    if config.stage == "vision_sft" and adapter is None:
        trained += counts["language model"]
    total = sum(counts.values())
    lines = [
        *data_plan(config),
        f"image tokens      {'; '.join(_picture_tokens(made))} ({made.kind})",
        f"parameters        {total:,}: "
        + ", ".join(f"{name} {count:,}" for name, count in counts.items()),
        f"  trained         {trained:,}"
        + (f", and an adapter of rank {adapter.rank}" if adapter else ""),
    ]
    for gpus in dict.fromkeys((config.parallelism.gpus, 1)):
        shards = 1 if adapter else min(gpus, GPUS_OF_A_NODE)  # adapters are not sharded
        memory = estimate_memory(
            text,
            config.batch.micro_batch * config.batch.sequence_length,
            shards,
            int(config.model.activation_checkpointing),
            selective=False,
            sync_each_microbatch=config.parallelism.sync_each_microbatch,
            accumulates=config.batch.rows_per_step > gpus * config.batch.micro_batch,
            compiled=False,
        )
        # Frozen weights have neither gradient nor moments.
        memory = replace(memory, states=(4 * (total - trained) + 16 * trained) / shards)
        if trained < counts["language model"]:
            memory = replace(memory, gradients=4 * trained)
        gpu = config.parallelism.gpu
        lines += memory_lines(memory, gpu, f" on {gpus} x {gpu}", width=18)
    return "\n".join(lines)
