"""The table of the ladder."""

from recipes.ladder import RUNGS, Rung, format_rungs


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
