"""Chat stages on a few rows: how they are set up, and what of a run is compared."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from data_recipes.common.config_files import load_config
from recipes.engine.metrics import read_metrics
from recipes.post.chat_config import SFTStageConfig
from recipes.post.chat_trainer import ChatTrainer, build_trainer, sft_arguments
from recipes.post.chats import Chats, build_chats
from recipes.post.model import load_chat_tokenizer
from tests.conftest import ROOT, Stage

CONFIGS = ROOT / "recipes" / "configs" / "tiny"
LORA = "model.adapter={rank: 4, alpha: 8}"


def chat_stage(name: str, model: Path, sources: Path, output: Path, *extra: str) -> Stage:
    """A small SFT or DPO from a model on the chats or pairs of `sources`."""
    file = {"sft": "chats", "dpo": "pairs"}[name]
    source = f"{{path: {sources / file}.jsonl, language: ko, licence: Apache-2.0}}"
    own = [
        f"model.init_from={model}",
        f"data.sources=[{source}]",
        "data.heldout_rows=12",
        "batch.sequence_length=400",
        "batch.micro_batch=2",
        "batch.tokens_per_step=1600",
        "schedule.epochs=1",
        "optimizer.learning_rate=3e-3",
        "logging.log_every=1",
        "logging.eval_every=3",
        "logging.save_every=3",
        f"logging.output_dir={output}",
    ]
    return Stage(name, [*own, *extra])


def sft_config(stage: Stage) -> SFTStageConfig:
    return load_config(CONFIGS / "sft.yaml", SFTStageConfig, stage.overrides)


def sft_trainer(stage: Stage, data: Path) -> tuple[ChatTrainer, Chats]:
    """Build the trainer as the stage does, with its tokens in `data`, where they may be already."""
    config = sft_config(stage)
    tokenizer = load_chat_tokenizer(config.model.init_from)
    chats = build_chats(config.data, tokenizer, config.batch.sequence_length, data)
    return build_trainer(config, sft_arguments(config), tokenizer, chats), chats


def log_of(output: Path) -> list[dict[str, Any]]:
    """`metrics.jsonl` without what a clock measured."""
    timings = {"tokens_per_second", "data_wait_percent", "cpu_percent"}
    return [{k: v for k, v in m.items() if k not in timings} for m in read_metrics(output)]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def newest_checkpoint(run: Path) -> Path:
    return max(run.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
