"""Fixtures for reinforcement learning: a random chat model, and a stage that starts from it."""

from pathlib import Path

import pytest

from data_recipes.tokenizer.train import train_tokenizer
from modeling_kormo.export import save_portable
from tests.random_model import random_model
from tests.recipes.post.grpo_hand_made import ROWS, TEXT, write_rows


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with the tokenizer and chat template of a trained one."""
    directory = tmp_path_factory.mktemp("chat")
    tokenizer = train_tokenizer(TEXT, 270)
    model = random_model(tokenizer, 320, layers=2, max_position_embeddings=512)
    save_portable(model, directory)  # as a `final/` is
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def overrides(chat_model: Path, tmp_path: Path) -> list[str]:
    return [
        f"model.init_from={chat_model}",
        f"data.paths=[{write_rows(tmp_path / 'rows.jsonl', ROWS)}]",
        f"logging.output_dir={tmp_path / 'run'}",
        "batch.prompts_per_step=2",
        "batch.generations_per_prompt=4",
        "batch.micro_batch=4",
        "batch.max_completion_tokens=12",
        "schedule.steps=3",
        "schedule.warmup_steps=1",
        "logging.save_every=2",
    ]
