"""A dry run plans: it starts nothing and writes nothing, whatever is missing."""

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
