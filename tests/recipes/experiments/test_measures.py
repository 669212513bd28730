"""Every measure of every last stage: made of what the stage leaves, or refused at the start."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import ValidationError

from data_recipes.common.errors import RecipeError
from eval.needle import __main__ as needle
from recipes.experiments.config import _ORDER, MEASURED, ROW_STAGES, ExperimentConfig
from recipes.experiments.evaluations import SOURCES
from recipes.experiments.measures import curve_of, higher_is_better, measure_run, training_seconds
from recipes.experiments.plan import seed_runs
from recipes.experiments.runs import Run

from .conftest import small

_BITS = {"bits_per_byte/ko": 2.0, "source_bits/web_ko": 2.0, "position_bits/ko 64-127": 2.0}
_QUICK = {"proxy/sums": 1.5, "quick/sums": 0.5}
_STEP = {"loss": 2.0, "grad_norm": 0.5, "tokens_per_second": 9.0}
# What a line of the log has beside its step, by stage; of the others, as of text.
LINES: dict[str, dict[str, float]] = {
    "text": _STEP | _BITS | _QUICK | {"skipped_updates": 0, "tokens": 1024},
    **dict.fromkeys(("sft", "dpo"), _STEP | _QUICK | {"heldout_loss": 2.0, "tokens": 1024}),
    **dict.fromkeys(("vision_align", "vision_sft"), _STEP | {"heldout_loss": 2.0, "tokens": 1024}),
    "knowledge_vqa": {"answer": 2.0, "entity": 1.0, "path": 1.0, "seconds": 1.0},
}
_SHARE = {"seen": {"share": 0.5}, "question only": {"share": 0.25}}
_ROW = {"label": "sums", "metric": "right,none", "value": 0.5, "units": ["sums"]}
ANSWERS: dict[str, dict[str, Any]] = {
    "suite": {"rows": [_ROW], "units": {"sums": {"metrics": {"as_asked,none": 1.0}}}},
    "vision": {"splits": {"new": {"languages": {"ko": {"all": _SHARE}}}}},
    "needle": {"lengths": {"en": {"64": {"share": 0.5}}, "ko": {"64": {"share": 0.25}}}},
    "answers": {"splits": {"seen": {"groups": {"all": {"all": _SHARE}}}}},
}

ASKED = {"suite": {"tasks": ["sums"]}, "vision": {"set": "x"}, "needle": {"lengths": [64]}}


def experiment(data_dir: Path, out: Path, stage: str, measure: str, **more: Any) -> dict[str, Any]:
    shared: dict[str, Any] = {} if stage == "knowledge_vqa" else {"logging.log_every": 1}
    if stage not in ROW_STAGES:
        shared |= {
            "data.shards": str(data_dir / "shards"),
            "data.tokenizer": str(data_dir / "tokenizer"),
            "data.mixture": {"web_en": 0.5, "stories_ko": 0.5},
            "data.heldout": ["web_ko"],
        }
    if measure == "position_bits":
        shared |= {"data.heldout_positions": [64]}
    if measure in ("quick", "proxy"):
        shared |= {"logging.quick_eval_every_tokens": 4096, "logging.quick_eval_suite": measure}
    return {
        "question": "?",
        "stages": [stage],
        "output_dir": str(out),
        "baseline": "a",
        "arms": {"a": {}, "b": {}},
        "seeds": [1, 2],
        "shared": shared,
        "measures": [measure],
        "evaluate": {k: v for k, v in ASKED.items() if SOURCES.get(measure) == k},
        "decide": {f"{measure}/x": 0.1},
    } | more


def planned(given: dict[str, Any]) -> Run:
    return seed_runs(ExperimentConfig.model_validate(given), "tiny", {"a": {}, "b": {}})[0]


def log(run: Run, line: dict[str, float], steps: int = 9) -> None:
    folder = run.cells[-1].directory
    folder.mkdir(parents=True)
    lines = [json.dumps({"step": step + 10_000} | line) for step in range(steps)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))


@pytest.mark.parametrize("stage", _ORDER)
@pytest.mark.parametrize("measure", MEASURED)
def test_a_measure_is_to_be_had_or_refused_at_the_start(
    data_dir: Path, tmp_path: Path, measure: str, stage: str
) -> None:
    given = experiment(data_dir, tmp_path, stage, measure)
    if stage not in MEASURED[measure]:
        with pytest.raises(ValidationError, match=f"{measure!r} is not to be had of {stage}"):
            ExperimentConfig.model_validate(given)
        return
    run = planned(given)
    log(run, LINES.get(stage, LINES["text"]))
    for name, aside in run.cells[-1].after.items():
        aside.makes.parent.mkdir()
        aside.makes.write_text(json.dumps(ANSWERS[name]))
    assert measure_run(run, [measure])
    assert curve_of(run) or stage == "knowledge_vqa"


def test_a_measure_is_the_number_that_the_stage_left(data_dir: Path, tmp_path: Path) -> None:
    def found(stage: str, measure: str, lines: list[dict[str, float]]) -> dict[str, float]:
        run = planned(experiment(data_dir, tmp_path / measure, stage, measure))
        folder = run.cells[-1].directory
        folder.mkdir(parents=True)
        log = [json.dumps({"step": 10_000 + i} | line) for i, line in enumerate(lines)]
        (folder / "metrics.jsonl").write_text("\n".join(log))
        for name, aside in run.cells[-1].after.items():
            aside.makes.parent.mkdir()
            aside.makes.write_text(json.dumps(ASIDE[name]))
        return measure_run(run, [measure])

    bits = [{"bits_per_byte/ko": 3.0}, {"bits_per_byte/ko": 2.0, "bits_per_byte/en": 1.0}]
    assert found("stage1", "averaged", [*bits, {"average_bits_per_byte/ko": 1.5}]) == {
        "averaged/ko": 1.5, "averaged/en": 1.0
    }  # fmt: skip
    norms = [{"step": 1, "grad_norm": 99.0}, {"grad_norm": 0.5}, {"grad_norm": 3.0}]
    assert found("stage1", "gradient_norm", norms) == {
        "largest gradient norm": 3.0, "share of steps clipped": 0.5
    }  # fmt: skip
    # What branches off another run was measured for the first time after steps of its own.
    assert found("stage1", "bits_per_byte", bits) == {
        "bits_per_byte/ko": 2.0,
        "bits_per_byte/en": 1.0,
    }
    rewards = [{"step": 0, "heldout_rewards/chosen": 0.1}, {"heldout_rewards/chosen": 0.4}]
    assert found("dpo", "heldout", rewards) == {
        "heldout/rewards/chosen": 0.4, "heldout/rewards/chosen before": 0.1
    }  # fmt: skip
    places = {"position_bits/ko 0-63": 2.0, "position_bits/ko 64-127": 1.0}
    assert (
        found("midtrain_long", "position_bits", [{name: 9.0 for name in places}, places]) == places
    )
    assert found("stage1", "needle", []) == {"needle/en 64": 0.5, "needle/ko 64": 0.25}
    assert found("sft", "suite", []) == {"suite/sums": 0.5, "bits/tales": 0.9}
    assert found("sft", "mode", []) == {"mode/sums": 0.75}
    assert found("vision_sft", "vision", []) == pytest.approx(
        {"vision/ko new": 0.7, "vision/ko new, lead": 0.3}
    )
    assert found("knowledge_vqa", "answers", []) == {
        "answers/seen": 0.5, "seen, question only": 0.25
    }  # fmt: skip


_TALES = {"label": "tales", "metric": "bits_per_byte,none", "value": 0.9, "units": ["tales"]}
ASIDE: dict[str, dict[str, Any]] = {
    "suite": {
        "rows": [_ROW | {"units": ["one", "two"]}, _TALES],
        "units": {
            "one": {"metrics": {"as_asked,none": 1.0}},
            "two": {"metrics": {"as_asked,none": 0.5}},
            "tales": {"metrics": {}},
        },
    },
    "vision": {
        "splits": {
            "new": {
                "languages": {
                    "ko": {
                        "all": {
                            "seen": {"share": 0.7},
                            "question only": {"share": 0.4},
                            "other": {"share": 0.2},
                            "items": 9,
                        }
                    }
                }
            }
        }
    },
    **{name: ANSWERS[name] for name in ("needle", "answers")},
}


def test_which_of_two_measures_is_better() -> None:
    more = ("quick/x", "answers/x", "suite/x", "mode/x", "needle/ko 64")
    for name in (*more, "vision/ko new", "vision/x, lead"):
        assert higher_is_better(name)
    for name in (
        "found",
        "rewards/accuracies",
        "rewards/margins",
        "rewards/chosen",
        "logps/chosen",
    ):
        assert higher_is_better(f"heldout/{name}")
    for name in ("loss", "chosen_nll", "rewards/rejected", "logps/rejected"):
        assert not higher_is_better(f"heldout/{name}")
    less = ("bits_per_byte/ko", "averaged/ko", "source_bits/x", "position_bits/ko 0-63")
    for name in (*less, "proxy/x", "bits/x", "unrest"):
        assert not higher_is_better(name)


@pytest.mark.parametrize("stage", ["stage1", "sft", "dpo"])
@pytest.mark.parametrize("measure", ["quick", "proxy"])
@pytest.mark.parametrize("said", [{}, {"logging.quick_eval_every_tokens": 4096}])
def test_a_suite_that_no_stage_evaluates_is_refused(
    data_dir: Path, tmp_path: Path, stage: str, measure: str, said: dict[str, int]
) -> None:
    given = experiment(data_dir, tmp_path, stage, measure)
    suites = ("logging.quick_eval_every_tokens", "logging.quick_eval_suite")
    given["shared"] = {k: v for k, v in given["shared"].items() if k not in suites} | said
    if said and measure == "quick":  # the suite by default
        planned(given)
        return
    with pytest.raises(RecipeError, match=f"^measures: '{measure}' is evaluated while {stage}.*$"):
        planned(given)


@pytest.mark.parametrize("measure", ["unrest", "spikes", "gradient_norm", "bits_per_byte"])
def test_a_log_that_is_too_short_is_said_in_a_line(
    data_dir: Path, tmp_path: Path, measure: str
) -> None:
    run = planned(experiment(data_dir, tmp_path, "stage1", measure))
    log(run, {"tokens": 1024}, steps=1)
    with pytest.raises(RecipeError, match=f"nothing for the measure '{measure}'; leave it out"):
        measure_run(run, [measure])


def test_places_that_no_stage_measures_are_refused(data_dir: Path, tmp_path: Path) -> None:
    given = experiment(data_dir, tmp_path, "stage1", "position_bits")
    del given["shared"]["data.heldout_positions"]
    with pytest.raises(RecipeError, match="^measures: 'position_bits' has no places; set data.h"):
        planned(given)


def test_a_needle_is_looked_for_as_the_experiment_says(data_dir: Path, tmp_path: Path) -> None:
    given = experiment(data_dir, tmp_path, "stage1", "needle")
    asked = {"lengths": [64, 128], "depths": 3, "prompts": 7, "style": "recall", "distractors": 2}
    given["evaluate"]["needle"] = asked
    words = planned(given).cells[-1].after["needle"].words
    with patch("sys.argv", [words[1], *words[2:]]):
        grid = needle._grid(needle._arguments())
    assert (grid.lengths, grid.depths, grid.trials) == ([64, 128], [0, 0.5, 1], 7)
    assert (grid.style, grid.distractors, grid.languages) == ("recall", 2, ["en", "ko"])


def test_what_is_logged_by_steps_alone_has_no_curve(data_dir: Path, tmp_path: Path) -> None:
    run = planned(experiment(data_dir, tmp_path, "knowledge_vqa", "answers"))
    log(run, {"loss": 2.0, "seconds": 1.0})
    assert curve_of(run) == {}


def test_the_mixture_of_a_run_is_that_of_its_korean_sources(data_dir: Path, tmp_path: Path) -> None:
    mixture = {"web_en": 0.5, "stories_ko": 0.25, "stories_en": 0.25}
    given = small(data_dir, tmp_path, arms={"a": {}, "b": {"optimizer.beta1": 0.8}})
    given["shared"] |= {"data.mixture": mixture, "data.heldout": ["web_ko"]}
    given["measures"] = ["mixture", "bits_per_byte"]
    run = planned(given)
    folder = run.cells[0].directory
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 0, "bits_per_byte/ko": 2.0}) + "\n")
    values = measure_run(run, ["mixture"])
    assert values["synthetic sources"] == values["synthesizers"] == 1
    # 4,096 tokens in windows of 128, a quarter of them Korean, over those of the source.
    windows = json.loads((data_dir / "shards/stories_ko/train/manifest.json").read_text())["tokens"]
    assert values["epochs"] == pytest.approx(8 / (windows // 128), rel=0.1)
    with pytest.raises(RecipeError, match="nothing for the measure 'unrest'"):
        measure_run(run, ["unrest"])
    given["shared"] |= {"data.mixture": {"web_en": 0.5, "stories_en": 0.5}}
    with pytest.raises(RecipeError, match="nothing for the measure 'mixture'"):
        measure_run(planned(given), ["mixture"])


def test_unrest_is_the_noise_about_a_slow_trend(data_dir: Path, tmp_path: Path) -> None:
    run = planned(small(data_dir, tmp_path))
    folder = run.cells[0].directory
    folder.mkdir(parents=True)
    for losses, expected in (
        ([9, 9, 9, 3.0, 2.9, 2.8, 2.7], 0.0),
        ([9, 9, 9, 3.0, 3.4, 2.6, 3.0], 0.4),
    ):
        lines = [json.dumps({"step": i, "loss": loss}) for i, loss in enumerate(losses)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        steps = [b - a for a, b in zip(losses[3:], losses[4:])]
        mean = sum(steps) / 3
        exact = (sum((s - mean) ** 2 for s in steps) / 2) ** 0.5 / 2**0.5
        assert measure_run(run, ["unrest"])["unrest"] == pytest.approx(exact, abs=1e-9)
        assert exact == pytest.approx(expected, abs=0.1)


def test_time_is_that_of_all_stages_and_bits_are_the_last_ones(
    data_dir: Path, tmp_path: Path
) -> None:
    given = small(data_dir, tmp_path, stages=["stage1", "stage2"], budget={"tokens": 40_960})
    run = planned(given)
    for cell, rate in zip(run.cells, (100, 50)):
        cell.directory.mkdir(parents=True)
        lines = [
            {"step": 0, "tokens": 0, "bits_per_byte/ko": 9.0},
            {"step": 1, "tokens": 1000, "tokens_per_second": rate, "bits_per_byte/ko": 3.0},
            {"step": 2, "tokens": 3000, "tokens_per_second": 2 * rate, "bits_per_byte/ko": 2.0},
            {"step": 2, "tokens": 3000, "loss": 1.0},
        ]
        (cell.directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert training_seconds(run.cells) == pytest.approx((10 + 10) + (20 + 20))
    # What goes on from a checkpoint counts its tokens along, and trained on the rest alone.
    branched = replace(run.cells[0], branched_at=600)
    assert training_seconds([branched]) == pytest.approx(4 + 10)
    assert measure_run(run, ["bits_per_byte"]) == {
        "bits_per_byte/ko": 2.0,
        "bits_per_byte/ko before": 9.0,
    }
