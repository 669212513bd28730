"""Chat stages learn the same however a step is split over forward passes and ranks."""

import json
from pathlib import Path

import pytest

from recipes.post.reward_trainer import RewardTrainer
from tests import processes
from tests.conftest import ROOT, Once, Stage
from tests.recipes.workers import fix_completions

from .chat_runs import chat_stage, log_of
from .grpo_hand_made import ROWS, write_rows

STAGES = ("sft", "dpo", "grpo")


@pytest.fixture(scope="session")
def one_at_a_time(base: Path, sources: Path, chat_model: Path, once: Once) -> dict[str, Stage]:
    """Each stage, run by one process with one window, pair or completion a forward pass.

    Neither windows nor held-out windows and pairs divide by what the tests split them into.
    """

    def stage(name: str, root: Path) -> Stage:
        if name == "grpo":
            own = [f"model.init_from={chat_model}", f"data.paths=[{root / 'rows.jsonl'}]"]
            own += ["batch.prompts_per_step=2", "batch.generations_per_prompt=4"]
            own += ["batch.max_completion_tokens=12", "schedule.steps=3", "optimizer.kl_beta=0.1"]
            return Stage(name, [*own, "batch.micro_batch=1", f"logging.output_dir={root / name}"])
        own = ["data.heldout_rows=11", "batch.tokens_per_step=3200", "batch.micro_batch=1"]
        if name == "dpo":
            own += ["preference.sft_weight=0.5", "preference.beta=0.3"]
        return chat_stage(name, base, sources, root / name, *own)

    def make(root: Path) -> None:
        write_rows(root / "rows.jsonl", ROWS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RewardTrainer, "_generate_single_turn", None)  # restored at the end
            fix_completions()
            for name in STAGES:
                stage(name, root).main()

    root = once("one-at-a-time", make)
    return {name: stage(name, root) for name in STAGES}


def output_of(stage: Stage) -> Path:
    own = next(o for o in reversed(stage.overrides) if o.startswith("logging.output_dir="))
    return Path(own.partition("=")[2])


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_nothing_depends_on_how_a_step_is_split(
    one_at_a_time: dict[str, Stage], tmp_path: Path, name: str
) -> None:
    """Losses, gradients, held-out figures and tokens are equal for every micro-batch."""
    stage = one_at_a_time[name]
    stage.main("batch.micro_batch=4", f"logging.output_dir={tmp_path / 'four'}")
    one, four = log_of(output_of(stage)), log_of(tmp_path / "four")
    assert sum("heldout_loss" in line for line in one) >= 2 and len(one) > 4
    noted = {"loss", "grad_norm", "tokens"} | {k for k in one[0] if k.startswith("heldout_")}
    assert {"heldout_rewards/accuracies"} <= noted or name == "sft"
    for a, b in zip(one, four, strict=True):
        for key in noted & a.keys():
            # A margin is the difference of two rewards, and as exact as these.
            size = a["heldout_rewards/chosen" if key == "heldout_rewards/margins" else key]
            bound = max(2e-5 * abs(size), 2e-6)
            assert b[key] == pytest.approx(a[key], rel=0, abs=bound), (a["step"], key)


def test_two_processes_learn_what_one_does(one_at_a_time: dict[str, Stage], tmp_path: Path) -> None:
    """Two ranks of two forward passes of two windows are one of eight of one window."""
    commands = []
    for name, stage in one_at_a_time.items():
        own = ["batch.micro_batch=2", f"logging.output_dir={tmp_path / name}"]
        commands.append([name, *stage.overrides, *own])
    # All stages in one launch, one after the other.
    worker = [ROOT / "tests" / "recipes" / "workers.py", "chat-stages"]
    result = processes.run([*worker, *map(json.dumps, commands)], ranks=2)
    assert result.returncode == 0, result.stderr
    for name, stage in one_at_a_time.items():
        one, two = log_of(output_of(stage)), log_of(tmp_path / name)
        assert [m["step"] for m in one] == [m["step"] for m in two] and len(one) > 2
        noted = {"loss", "grad_norm", "tokens", "reward", "reward_std", "kl", "entropy"}
        noted |= {k for line in one for k in line if k.startswith("heldout_")}
        for a, b in zip(one, two):
            for key in noted & a.keys():
                assert b[key] == pytest.approx(a[key], rel=1e-4, abs=1e-5), (name, a["step"], key)
