"""The references of DPO and of GRPO's KL under FSDP2: the model's weights, dtypes and shards."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import TrainerState

from data_recipes.common.errors import RecipeError
from recipes.post.measurements import ChatMeasurements
from tests import processes
from tests.conftest import ROOT
from tests.recipes.post.grpo_hand_made import write_rows

PAIRS = [
    {"prompt": f"{n} + {n}?", "chosen": f"It is {2 * n}. " * 9, "rejected": f"{n}, or so. " * 5}
    for n in range(10, 26)
]


def run_under_fsdp2(commands: list[list[str]], ranks: int) -> list[str]:
    """What the stages print that are started one after the other in a launch."""
    worker = [str(ROOT / "tests" / "recipes" / "workers.py"), "fsdp-chat-stages"]
    result = processes.run([*worker, *map(json.dumps, commands)], ranks)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.splitlines()


@pytest.mark.parametrize("ranks", [2])
def test_references_compute_and_are_sharded_as_the_model(
    chat_model: Path, overrides: list[str], tmp_path: Path, ranks: int
) -> None:
    source = f"{{path: {write_rows(tmp_path / 'pairs.jsonl', PAIRS)}, language: en, licence: x}}"
    both = ["parallelism.precision=bf16", f"model.init_from={chat_model}"]
    preferences = [
        *("dpo", *both, f"data.sources=[{source}]", f"logging.output_dir={tmp_path / 'dpo'}"),
        *("data.heldout_rows=4", "batch.sequence_length=400", "batch.micro_batch=1"),
        *(f"batch.tokens_per_step={400 * 2 * ranks}", "schedule.epochs=1"),
        *("optimizer.learning_rate=1e-2", "logging.log_every=2", "logging.eval_every=2"),
        *("logging.save_every=2",),
    ]
    rewards = ["grpo", *overrides, *both, "optimizer.kl_beta=0.1", "batch.micro_batch=1"]
    # The first line of the log is not the first step's.
    rewards += ["logging.log_every=2", "optimizer.learning_rate=1e-2"]
    printed = run_under_fsdp2([preferences, rewards], ranks)

    layers = "'FSDPKORMoDecoderLayer', 'FSDPKORMoDecoderLayer'"
    for trainer in ("PairTrainer", "RewardTrainer"):
        found = {}
        for name in ("model", "reference"):
            (line,) = {x for x in printed if x.startswith(f"{trainer} {name}:")}
            found[name] = line.split(": ", 1)[1]
        assert found["model"] == found["reference"] and layers in found["model"]
        assert "param_dtype=torch.bfloat16, reduce_dtype=torch.float32" in found["model"]
        assert "cast_forward_inputs=False" in found["model"]
        said = [re.match(rf"{trainer} log-ratios of \d+ answers: (.*)", x) for x in printed]
        ratios = [float(match[1]) for match in said if match]
        assert len(ratios) >= 8 and max(ratios) < 1e-5, ratios


@pytest.mark.parametrize("answers", [1, 64])
def test_one_answer_that_differs_is_enough(answers: int) -> None:
    trainer = object.__new__(ChatMeasurements)
    trainer.state = TrainerState(global_step=0)
    log_probs, ratios = torch.full((answers,), -100.0), torch.zeros(answers)
    trainer.check_reference(ratios + 0.001, log_probs)
    for apart in (0.02, -0.02):
        ratios[0] = apart
        with pytest.raises(RecipeError, match="by 0.020 nats in an answer"):
            trainer.check_reference(ratios, log_probs)
    trainer.state.global_step = 1  # from here on it may
    trainer.check_reference(ratios, log_probs)
