"""Hand-made rows and a configured stage for the tests of reinforcement learning."""

import json
from pathlib import Path

from data_recipes.common.config_files import load_config
from recipes.post.grpo_config import GRPOStageConfig
from tests.conftest import ROOT

TEXT = [
    "The answer is 17. How many apples are there? 답은 열일곱 개입니다. 사과는 몇 개인가요? "
] * 20
ROWS = [
    {"id": "a", "language": "en", "question": "8 + 9?", "answer": "It is 17.", "value": "17"},
    {"language": "ko", "question": "사과는 몇 개인가요?", "value": 12},
    {
        "language": "ko",
        "question": "1 + 1?",
        "value": "2",
        "chat_template_kwargs": {"enable_thinking": False},
    },
    {
        "language": "en",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "5 + 5?"},
        ],
        "value": "10",
    },
]


def write_rows(path: Path, rows: list[dict]) -> Path:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def stage(overrides: list[str], *extra: str) -> GRPOStageConfig:
    return load_config(
        ROOT / "recipes" / "configs" / "tiny" / "grpo.yaml", GRPOStageConfig, [*overrides, *extra]
    )


def small_grpo(chat_model: Path, directory: Path) -> list[str]:
    """Overrides of a stage of three steps, with its rows and its run in a directory."""
    return [
        f"model.init_from={chat_model}",
        f"data.paths=[{write_rows(directory / 'rows.jsonl', ROWS)}]",
        f"logging.output_dir={directory / 'run'}",
        "batch.prompts_per_step=2",
        "batch.generations_per_prompt=4",
        "batch.micro_batch=4",
        "batch.max_completion_tokens=12",
        "schedule.steps=3",
        "schedule.warmup_steps=1",
        "logging.save_every=2",
    ]
