"""The folder of a sample run: what it shows is read from the run, and its commands exist."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from data_recipes.common.errors import RecipeError
from recipes.__main__ import COMMANDS as KORMO
from recipes.ladder import RUNGS, Rung
from scripts import sample_run
from tests.conftest import ROOT

COMMITTED = ROOT / "docs" / "sample_run"


def test_the_commands_that_it_names_exist() -> None:
    lines = [shlex.split(line) for line in sample_run.COMMANDS.splitlines()]
    assert len(lines) == 3
    for words in lines:
        known = words[1] in KORMO if words[0] == "kormo" else (ROOT / words[1]).is_file()
        assert known, words


def test_the_committed_one_is_whole_and_made_by_these_commands() -> None:
    page = (COMMITTED / "README.md").read_text(encoding="utf-8")
    assert sample_run.COMMANDS.replace("    ", "") in page
    for stage in RUNGS:
        lineage = json.loads((COMMITTED / stage / "lineage.json").read_text(encoding="utf-8"))
        assert lineage["stage"] == stage
        assert f"{lineage['tokens']:,}" in page
        recipe = yaml.safe_load((COMMITTED / stage / "recipe.yaml").read_text(encoding="utf-8"))
        assert recipe["size"] == "small"
        for name in (*sample_run.OF_RUN, *sample_run.OF_FINAL):
            assert (COMMITTED / stage / name).is_file()
    size = sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file())
    assert size < sample_run.MOST_BYTES


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RecipeError, match="stage1/metrics.jsonl: missing; finish the run with"):
        sample_run.copy_stages(tmp_path, tmp_path / "out")
    with pytest.raises(RecipeError, match="ko_reasoning_mini-think.jsonl: missing; evaluate"):
        sample_run.shown_answers(tmp_path)


def test_right_and_wrong_answers_are_shown_as_they_were_given(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    for task in sample_run.ASKED:
        rows = [
            {
                "prompt": f"<|BOT|>user\n{number} + 1?<|EOT|>\n<|BOT|>assistant\n<think>\n",
                "answer": [f"<think>\ncount\n</think>\n\nIt is {number + 1 + number % 2}."],
                "target": str(number + 1),
                "metrics": {"right": float(number % 2 == 0)},
            }
            for number in range(sample_run.SHOWN + 1)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "tasks" / f"{task}-think.jsonl").write_text(lines, encoding="utf-8")
    text = sample_run.shown_answers(tmp_path)
    assert text.count("(right)") == text.count("(wrong: ") == sample_run.SHOWN
    assert "**1 + 1?**\n\n```\n<think>\ncount\n</think>\n\nIt is 3.\n```\n\n(wrong: 2)" in text
    assert f"**{sample_run.SHOWN} + 1?**" not in text


def test_stages_are_drawn_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"tokens": 1_000_000, "loss": 2.0}, {"step": 3}, {"tokens": 3_000_000, "loss": 1.0}]
    monkeypatch.setattr(sample_run, "read_metrics", lambda _: lines)
    drawn: list[list[float]] = []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda _, x, y, **how: drawn.append(x))
    sample_run.draw_ladder(tmp_path, tmp_path / "ladder.png")
    assert drawn == [[3.0 * n + 1, 3.0 * n + 3] for n in range(len(RUNGS) - 1)]


def test_each_stage_has_its_row(tmp_path: Path) -> None:
    for number, stage in enumerate(RUNGS):
        (tmp_path / stage).mkdir()
        lineage = json.dumps({"commit": f"{number}" * 40})
        (tmp_path / stage / "lineage.json").write_text(lineage, encoding="utf-8")
    rungs = [
        Rung(stage, 1_000 + number, 2.5, {"en": 1.5, "ko": 0.25}, None)
        for number, stage in enumerate(RUNGS)
    ]
    sample_run.write_page(tmp_path, "tiny", rungs, "what it says")
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (
        "| stage | tokens | loss | en bits per byte | ko bits per byte | files | commit |" in page
    )
    assert "| [sft](sft/README.md) | 1,004 | 2.500 | 1.500 | 0.250 |" in page
    assert f"| {'4' * 12} |" in page
    assert page.endswith("what it says")
