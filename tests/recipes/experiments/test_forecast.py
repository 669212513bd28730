"""A forecast from its ladder to its check, and what would make it no forecast."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from recipes.command_line import CONFIGS
from recipes.config import StageConfig
from recipes.experiments.cost import cost_of
from recipes.experiments.forecast import (
    ForecastConfig,
    check,
    forecast_page,
    plan_forecast,
    read_points,
)
from recipes.forecast import main

Call = Callable[..., str]
Plant = Callable[..., list[list[str]]]
SHIPPED = sorted((CONFIGS / "forecasts").glob("*/*.yaml"))


def law(config: StageConfig, tokens: int) -> dict[str, float]:
    """Of width and tokens, with what a seed adds."""
    width, seed = config.model.shape.hidden_size, config.data.seed
    value = 1 + 0.3 * (width / 64) ** -0.6 + 0.5 * (tokens / 1e5) ** -0.4 + 0.0005 * seed
    return {"en": value, "ko": 0.9 * value}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rungs = {
        f"w{width}": {"tokens": tokens, "set": {"model.shape.hidden_size": width}}
        for width, tokens in ((32, 400_000), (64, 300_000), (96, 200_000), (128, 100_000))
    }
    given = {
        "question": "What will it come to?",
        "stage": "stage1",
        "output_dir": str(tmp_path / "out"),
        "rungs": rungs,
        "target": {"tokens": 4_000_000, "set": {"model.shape.hidden_size": 192}},
        "seeds": [1, 2],
        "languages": ["en", "ko"],
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(given))
    return tmp_path / "x.yaml"


def test_a_forecast_from_its_ladder_to_its_check(path: Path, planted: Plant, call: Call) -> None:
    arguments, out = [path, "--size", "tiny"], path.parent / "out"
    ran = planted(law)
    plan = call(main, *arguments, "--dry-run")
    assert plan.count("stage1.py") == 9 and not out.exists() and not ran
    for early in ("--target", "--check"):
        with pytest.raises(RecipeError, match="nothing is sealed yet"):
            call(main, *arguments, early)
    page = call(main, *arguments)
    assert len(ran) == 8 and "What will it come to?" in page
    sealed = json.loads((out / "forecast.json").read_text())
    assert sealed["sha256"] in page and "actual" not in page
    with pytest.raises(RecipeError, match="the target is not finished"):
        call(main, *arguments, "--check")
    call(main, *arguments)  # sealed once
    assert json.loads((out / "forecast.json").read_text()) == sealed and len(ran) == 8

    page = call(main, *arguments, "--target")
    assert len(ran) == 9 and "held" in page and "missed" not in page
    config = load_config(path, ForecastConfig, [])
    rungs, target = plan_forecast(config, "tiny")
    actual = law(target.cells[0].config, target.tokens)
    for language, own in sealed["prediction"].items():
        assert own["value"] == pytest.approx(actual[language], rel=0.01)
        assert own["low"] <= own["value"] <= own["high"]
    assert max(cost_of(r.cells).flops for r in rungs) <= cost_of(target.cells).flops / 30
    assert "held" in call(main, *arguments, "--check", sealed["sha256"])
    # What would be right was sealed, too, and of what; what is said of it may change.
    for change in ("within=1e-9", "rungs.w32.tokens=300_000", "seeds=[1,3]", "languages=[ko]"):
        for how in ((), ("--check",)):
            with pytest.raises(RecipeError, match="was sealed with other settings than"):
                call(main, *arguments, change, *how)
    assert "held" in call(main, *arguments, "note=so it was", "--check")
    with pytest.raises(RecipeError, match="the hash given is abc"):
        call(main, *arguments, "--check", "abc")

    # A prediction that was made to fit, with a hash of its own or without one.
    (out / "forecast.json").write_text(json.dumps(sealed | {"date": "earlier"}))
    with pytest.raises(RecipeError, match="is not the forecast that was sealed.*its content is"):
        call(main, *arguments, "--check")
    from recipes.experiments.forecast import _digest

    changed = sealed | {"prediction": {"en": {"value": 1.0, "low": 0.9, "high": 1.1}}}
    changed["sha256"] = _digest(changed)
    (out / "forecast.json").write_text(json.dumps(changed))
    with pytest.raises(RecipeError, match="forecast.sha256 is"):
        call(main, *arguments, "--check")
    for text in ("{", "[]"):
        (out / "forecast.json").write_text(text)
        with pytest.raises(RecipeError, match="forecast.json: damaged .*; restore it"):
            call(main, *arguments, "--check")
    (out / "forecast.json").write_text("{}")
    with pytest.raises(RecipeError, match="is not the forecast that was sealed: it says None"):
        call(main, *arguments, "--check")
    (out / "forecast.json").write_text(json.dumps(sealed))
    with pytest.raises(RecipeError, match="predicts a target with other settings"):
        call(main, *arguments, "target.tokens=5_000_000", "--check")


def test_what_counts_of_a_rung_is_what_comes_after_its_warm_up(
    path: Path, planted: Plant, call: Call
) -> None:
    planted(law)
    call(main, path, "--size", "tiny")
    for change, counted in ((), 7), (("fit_from=0.75",), 3):
        config = load_config(path, ForecastConfig, list(change))
        points = read_points(config, plan_forecast(config, "tiny")[0], "ko")
        assert len(points) == 8 * counted
        own = [p for p in points if p.run == "w32, seed 2"]
        assert own[-1].tokens == 400_000 // 2048 * 2048
    assert own[-1].loss < own[0].loss and len({p.run for p in points}) == 8
    # Of a rate that falls, only the end is what a run of that length comes to.
    config = load_config(path, ForecastConfig, ["shared={schedule.decay_tokens: 20_480}"])
    assert len(read_points(config, plan_forecast(config, "tiny")[0], "ko")) == 8


@pytest.mark.parametrize(("low", "where"), [(0.0, "inside"), (9.0, "outside")])
def test_the_check_says_whether_the_interval_held(
    path: Path, planted: Plant, call: Call, low: float, where: str
) -> None:
    planted(law)
    call(main, path, "--size", "tiny")
    call(main, path, "--size", "tiny", "--target")
    config = load_config(path, ForecastConfig, [])
    _, target = plan_forecast(config, "tiny")
    own = {"value": 1.0, "low": low, "high": 10.0}
    sealed = json.loads((config.output_dir / "forecast.json").read_text())
    sealed |= {"prediction": {"en": own}}
    assert "do not tell" not in forecast_page(sealed, None).to_markdown()
    steep = sealed | {"laws": {"en": sealed["laws"]["en"] | {"beta": 2.0}}}
    assert "the rungs do not tell beta" in forecast_page(steep, None).to_markdown()
    found = check(sealed, target)["en"]
    assert found["inside"] == (where == "inside") and found["error"] == 1 / found["actual"] - 1
    assert found["actual"] == law(target.cells[0].config, target.tokens)["en"]  # at its end
    assert found["error"] < -0.01 and not found["held"]  # too low is missed as well


def test_after_the_target_has_begun_nothing_is_sealed(
    path: Path, planted: Plant, call: Call
) -> None:
    ran = planted(law)
    target = path.parent / "out" / "target" / "1" / "stage1"
    target.mkdir(parents=True)
    (target / "metrics.jsonl").write_text("")
    with pytest.raises(RecipeError, match="the target has been started already.*metrics.jsonl"):
        call(main, path, "--size", "tiny")
    assert not ran and not (path.parent / "out" / "forecast.json").exists()


def test_a_rung_that_costs_too_much_is_refused(path: Path, call: Call) -> None:
    with pytest.raises(RecipeError, match=r"rungs\.w128: .* FLOPs are more than .*divided by 30"):
        call(main, path, "--size", "tiny", "rungs.w128.tokens=900_000", "--dry-run")


def test_what_every_run_is_given_cannot_be_set(path: Path, call: Call) -> None:
    for change in ("shared={data.seed: 3}", "target.set={schedule.total_tokens: 9}"):
        with pytest.raises(RecipeError, match="(data.seed|schedule.total_tokens): .* take it out"):
            call(main, path, "--size", "tiny", change, "--dry-run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seeds=[1,1]", "seeds: .*a seed is given twice"),
        ("rungs.w32.set={stage2: {optimizer.beta1: 0.8}}", "w32.stage2: nothing goes through"),
        ("shared={sft: {schedule.steps: 8}}", "shared.sft: nothing goes through"),
        ("shared={start: scratch}", "start: unknown key"),
    ],
)
def test_what_would_be_ignored_or_counted_twice_is_refused(
    path: Path, call: Call, change: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        call(main, path, "--size", "tiny", change, "--dry-run")


def test_a_language_that_no_rung_measured_is_named(path: Path, planted: Plant, call: Call) -> None:
    planted(law)
    with pytest.raises(RecipeError, match="languages: .* no bits per byte of fr, but of en, ko"):
        call(main, path, "--size", "tiny", "languages=[fr]")


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_what_is_shipped_plans(shipped: Path) -> None:
    config = load_config(shipped, ForecastConfig, [])
    assert config.output_dir == Path("runs") / shipped.parent.name / "forecasts" / shipped.stem
    assert config.times >= 30
    plan_forecast(config, shipped.parent.name)
