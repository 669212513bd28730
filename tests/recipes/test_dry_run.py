"""A dry run plans: it starts nothing and writes nothing, whatever is missing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from recipes.command_line import CONFIGS
from tests.conftest import Stage

STAGES = ["stage1", "stage2", "midtrain_long", "midtrain_reasoning", "expand", "sft", "dpo", "grpo"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_dry_run_starts_nothing_and_writes_nothing(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("something was started"))
    for config in sorted(CONFIGS.glob(f"*/{stage}.yaml")):
        Stage(stage, []).main("--config", str(config), "--dry-run")
        assert f"stage: {stage}\n" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())


def test_a_plan_in_copies_of_another_size(capsys: pytest.CaptureFixture[str]) -> None:
    copies = ["parallelism.gpus=4", "parallelism.shard_gpus=2"]
    Stage("stage1", copies).main("--dry-run")
    said = capsys.readouterr().out
    assert "layout                2 copies, each sharded over 2 GPUs (HSDP)" in said
    assert "GB between copies for each GPU" in said


def test_a_plan_counts_what_is_attended_where_the_shards_are(
    small_stage: Callable[..., Stage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_stage(tmp_path / "run").main("--dry-run")
    assert "tokens that a token sees (mean of the shards)" in capsys.readouterr().out
    small_stage(tmp_path / "run", f"data.shards={tmp_path}").main("--dry-run")
    said = capsys.readouterr().out
    assert "the 64 tokens that a token sees (at most: the shards are not there" in said
    assert "(arithmetic; not measured on a GPU)" in said
    assert not any(tmp_path.iterdir())


def figures(capsys: pytest.CaptureFixture[str], size: str, *overrides: str) -> dict[str, str]:
    """What a plan of stage 1 on H100s says, by the name of the line; the shards are not there."""
    overrides = ("parallelism.gpu=H100", "data.shards=/absent", *overrides)
    Stage("stage1", list(overrides)).main(
        "--config", str(CONFIGS / size / "stage1.yaml"), "--dry-run"
    )
    lines = [line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if "  " in line]
    return {name: figure.strip() for name, figure in lines if name}


def test_hours_cost_and_memory_are_those_of_a_count_by_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ("schedule.total_tokens=60_000_000_000", "parallelism.planned_mfu=0.4")
    own += ("parallelism.gpus=16", "parallelism.gpu_hour_usd=2", "batch.micro_batch=4")
    own += ("batch.tokens_per_step=4_194_304", "parallelism.sync_each_microbatch=false")
    plan = figures(capsys, "1b", *own)
    # 14,305 steps of 4,194,304 tokens, 7.981e9 FLOPs each, at 0.4 x 989e12 a second.
    assert plan["tokens"] == "59,999,518,720" and plan["FLOPs"] == "4.789e+20"
    assert plan["GPU-hours"].startswith("336 on H100 at 40% MFU (49,567 tokens/s/GPU), 0.9 days")
    assert plan["cost"] == "$672"
    # A rate of each GPU, and the days of all 16 with it.
    rate, days = re.match(
        r"([\d,]+) tokens/s/GPU, \d+% MFU, ([\d.]+) days", plan["predicted"]
    ).groups()
    seconds = 59_999_518_720 / 16 / float(rate.replace(",", ""))
    assert float(days) == pytest.approx(seconds / 86_400, abs=0.06)
    # 16 bytes of 1.318e9 parameters over 8 GPUs; gradients in fp32 beside 6 x 125,184 x 2,048.
    assert "states 2.5," in plan["memory per GPU"] and "gradients 6.3," in plan["memory per GPU"]
    plan = figures(capsys, "1b", *own, "batch.micro_batch=64", "logging.average_tokens=8_388_608")
    # One pass a step accumulates nothing; a running average is 4 bytes more a parameter.
    assert "states 3.1," in plan["memory per GPU"] and "gradients 1.4," in plan["memory per GPU"]


def test_passes_that_reduce_nothing_gather_weights_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ("parallelism.gpus=128", "parallelism.shard_gpus=128", "batch.micro_batch=1")
    own += ("batch.tokens_per_step=8_388_608", "parallelism.sync_each_microbatch=false")
    plan = figures(capsys, "10b", *own)
    # 42.7 GB at 50 GB/s for each pass of 4,096 tokens, and as much again in one of 16.
    rate = float(plan["predicted"].partition(" ")[0].replace(",", ""))
    assert rate == pytest.approx(4096 / (42.69 / 50 * 17 / 16), rel=0.02)
