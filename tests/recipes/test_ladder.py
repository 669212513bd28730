"""The ladder's table."""

from pathlib import Path

import pytest

from data_recipes.tokenizer.load import load_tokenizer
from recipes.engine.metrics import read_metrics
from recipes.engine.windows_data import BitsPerByte
from recipes.ladder import RUNGS, Rung, format_rungs, look


def test_the_ladder_has_every_stage_and_adds_up() -> None:
    assert RUNGS[0] == "stage1" and RUNGS[-2:] == ("sft", "dpo")
    rungs = [
        Rung("stage1", 1000, 3.0, {"en": 2.0, "ko": 1.5}, 10.0),
        Rung("stage2", 2000, 2.5, {"en": 1.9, "ko": 1.4}, None),
    ]
    lines = format_rungs(rungs).splitlines()
    assert lines[1].split() == ["stage1", "1,000", "3.000", "2.000", "1.500", "10", "s"]
    assert lines[2].split()[-1] == "-" and lines[3].split() == ["3,000", "10", "s"]
    tower = format_rungs([*rungs, Rung("vision_tower", 10, 0.5, {}, 1.0)]).splitlines()[3]
    assert tower.split() == ["vision_tower", "10", "0.500", "-", "-", "1", "s"]


def test_a_rung_is_what_its_stage_came_to(
    uninterrupted: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.ladder._output_dir", lambda size, stage: uninterrupted)
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    measure = BitsPerByte(data_dir / "shards", ["web_en", "web_ko"], 128, 512, tokenizer)
    rung = look("tiny", "stage1", 2.5, measure)
    log = read_metrics(uninterrupted)
    last = [line for line in log if "bits_per_byte/ko" in line][-1]
    assert (rung.stage, rung.tokens, rung.seconds) == ("stage1", 12 * 1024, 2.5)
    assert rung.loss == [line["loss"] for line in log if "loss" in line][-1]
    assert rung.bits_per_byte == pytest.approx(
        {code: last[f"bits_per_byte/{code}"] for code in ("en", "ko")}, rel=1e-6
    )
