"""Every measure of every last stage: made of what the stage leaves, or refused at the start."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from data_recipes.common.errors import RecipeError
from recipes.experiments.config import _MEASURES, _ORDER, MEASURED, ROW_STAGES, ExperimentConfig
from recipes.experiments.measures import curve_of, measure_run
from recipes.experiments.plan import seed_runs
from recipes.experiments.runs import Run

_BITS = {"bits_per_byte/ko": 2.0}
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
    "answers": {"splits": {"seen": {"groups": {"all": {"all": _SHARE}}}}},
}


def experiment(data_dir: Path, out: Path, stage: str, measure: str, **more: Any) -> dict[str, Any]:
    shared: dict[str, Any] = {} if stage == "knowledge_vqa" else {"logging.log_every": 1}
    if stage not in ROW_STAGES:
        shared |= {
            "data.shards": str(data_dir / "shards"),
            "data.tokenizer": str(data_dir / "tokenizer"),
            "data.mixture": {"web_en": 0.5, "stories_ko": 0.5},
            "data.heldout": ["web_ko"],
        }
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
        "evaluate": {"suite": {"tasks": ["sums"]}, "vision": {"set": "x"}},
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
@pytest.mark.parametrize("measure", get_args(_MEASURES))
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


def test_what_is_logged_by_steps_alone_has_no_curve(data_dir: Path, tmp_path: Path) -> None:
    run = planned(experiment(data_dir, tmp_path, "knowledge_vqa", "answers"))
    log(run, {"loss": 2.0, "seconds": 1.0})
    assert curve_of(run) == {}
