"""A planted optimum is found, and what is no better than the prior is called so."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.tokens.mixture_plan import load_mixture
from data_recipes.tokens.shards import read_manifest
from recipes.command_line import CONFIGS
from recipes.config import StageConfig
from recipes.experiments.mixture import (
    SearchConfig,
    caps_of,
    draw_swarm,
    fit,
    optimum,
    rank_correlation,
    recipe_of,
    search,
    value_of,
)
from recipes.mixture_search import main

Call = Callable[..., str]
Plant = Callable[..., list[list[str]]]
PRIOR = {"web_en": 0.4, "stories_en": 0.2, "web_ko": 0.3, "stories_ko": 0.1}
# Each target learns most from a source of its own: the optimum has all of them.
SLOPES = {
    "source_bits/web_en": [-4.0, -1.0, 0.1, 0.2],
    "proxy/stories": [-1.0, -5.0, 0.0, -0.5],
    "source_bits/web_ko": [0.0, 0.1, -4.0, -1.0],
    "proxy/tales": [0.0, -0.5, -0.5, -6.0],
}
SHIPPED = sorted((CONFIGS / "searches").glob("*/*.yaml"))


def planted_values(shares: np.ndarray) -> np.ndarray:
    """[runs, targets]."""
    return 0.8 + np.exp(shares @ np.array(list(SLOPES.values())).T)


def best_by_grid(caps: np.ndarray) -> np.ndarray:
    grid = np.arange(0, 1.0001, 0.01)
    a, b, c = (x.ravel() for x in np.meshgrid(grid, grid, grid))
    shares = np.stack([a, b, c, 1 - a - b - c], 1)
    shares = shares[(shares[:, 3] >= -1e-9) & (shares <= caps + 1e-9).all(1)]
    return shares[planted_values(shares).mean(1).argmin()]


def given(output: Path, **changes: object) -> dict:
    return {
        "question": "Which shares?",
        "stages": ["stage1"],
        "output_dir": str(output),
        "prior": PRIOR,
        "proxies": 32,
        "concentration": 6,
        "tokens": 1_000,
        "budget": {"tokens": 40_960},
        "targets": {
            "source_bits/web_en": {"weight": 1, "smallest": 0.01},
            "source_bits/web_ko": {"weight": 1, "smallest": 0.01},
        },
        "confirm": {"seeds": [1, 2, 3], "budget": {"tokens": 20_480}, "smallest": 0.005},
    } | changes


def test_a_planted_optimum_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipes.experiments.mixture._RESAMPLED", 40)
    targets = {name: {"weight": 1, "smallest": 0.01} for name in SLOPES}
    config = SearchConfig.model_validate(given(tmp_path, targets=targets))
    swarm = draw_swarm(config, PRIOR, np.full(4, 0.45))
    assert swarm.shape == (32, 4) and swarm.sum(1) == pytest.approx(1) and (swarm <= 0.45).all()
    noise = np.random.default_rng(1).normal(size=(32, 4)) * 0.002
    for caps in (np.full(4, 0.45), np.array([0.22, 0.45, 0.45, 0.45])):  # without effect, and with
        found = search(config, PRIOR, caps, swarm, planted_values(swarm) + noise)
        assert np.abs(found["found"] - best_by_grid(caps)).sum() / 2 < 0.03
    assert found["found"][0] == 0.22
    assert (found["low"] - 0.005 <= found["found"]).all()
    assert (found["found"] <= found["high"] + 0.005).all()
    # Of what it has not seen, too; of noise alone it says nothing.
    assert found["correlation"].keys() == {*config.targets, "all"}
    assert min(found["correlation"].values()) > 0.9
    assert found["gain_low"] < found["gain"] < found["gain_high"]
    assert rank_correlation(config, swarm, 2 + 50 * noise)["all"] < 0.1  # in fold: 0.27


def test_the_optimum_lies_inside_what_the_swarm_has_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.experiments.mixture._RESAMPLED", 10)
    config = SearchConfig.model_validate(given(tmp_path, concentration=30))
    swarm = draw_swarm(config, PRIOR, np.ones(4))
    assert swarm[0] == pytest.approx(list(PRIOR.values()))  # the prior itself, if it may be ...
    tight = np.array([0.39, 1, 1, 1])
    assert (draw_swarm(config, PRIOR, tight)[:, 0] <= 0.39).all()  # ... and else not
    # By its law nothing but the second source would be best, and the fourth the worst of all.
    values = 0.8 + np.exp(swarm @ np.array([[-1.0, -4.0, -1.0, 1.0]] * 2).T)
    found = search(config, PRIOR, np.ones(4), swarm, values)["found"]
    assert found[1] == pytest.approx(swarm[:, 1].max(), abs=1e-3)
    assert found[3] == pytest.approx(swarm[:, 3].min(), abs=1e-3) and found[3] > 0.01


def test_a_target_counts_by_its_weight(tmp_path: Path) -> None:
    targets = {f"proxy/{name}": {"weight": w, "smallest": 1} for name, w in (("a", 3), ("b", 1))}
    config = SearchConfig.model_validate(given(tmp_path, targets=targets))
    assert config.total([1.0, 5.0]) == 2.0


def test_a_law_is_what_it_was_fitted_to(tmp_path: Path) -> None:
    swarm = draw_swarm(SearchConfig.model_validate(given(tmp_path)), PRIOR, np.ones(4))
    values = planted_values(swarm)[:, 0]
    assert value_of(fit(swarm, values), swarm) == pytest.approx(values, abs=1e-4)


@pytest.fixture
def path(data_dir: Path, tmp_path: Path) -> Path:
    shared = {
        "data.recipe": str(data_dir / "recipe.yaml"),
        "data.shards": str(data_dir / "shards"),
        "data.tokenizer": str(data_dir / "tokenizer"),
    }
    own = given(tmp_path / "out", shared=shared, proxies=12)
    own["confirm"]["shared"] = shared
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    return tmp_path / "x.yaml"


def test_no_source_is_seen_more_often_than_said(path: Path) -> None:
    config = load_config(path, SearchConfig, ["tokens=400_000", "max_epochs=2"])
    recipe = recipe_of(config, "tiny")
    found = [read_manifest(recipe.data.shards / name / "train").tokens for name in PRIOR]
    caps = caps_of(config, recipe, PRIOR)
    assert caps == pytest.approx([2 * tokens / 400_000 for tokens in found]) and (caps < 1).all()


def test_an_optimum_that_was_not_found_is_no_optimum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import scipy.optimize

    config = SearchConfig.model_validate(given(tmp_path))
    laws = [np.append(np.log(0.8), own) for own in SLOPES.values()][: len(config.targets)]
    low, high = np.zeros(4), np.array([0.7, 0.6, 0.5, 0.4])
    best = optimum(config, laws, low, high)
    assert best.sum() == pytest.approx(1)
    minimize = scipy.optimize.minimize

    def gives_up(*args: object, **kwargs: object) -> object:
        found = minimize(*args, **kwargs | {"options": {"maxiter": 1}})
        assert not found.success
        return found

    monkeypatch.setattr("scipy.optimize.minimize", gives_up)
    with pytest.raises(RecipeError, match=r"no optimum of the laws was found \(Iteration limit"):
        optimum(config, laws, low, high)

    def says_no(*args: object, **kwargs: object) -> object:
        found = minimize(*args, **kwargs)
        found.success = False  # as it does where no step leads lower any more
        return found

    monkeypatch.setattr("scipy.optimize.minimize", says_no)
    assert optimum(config, laws, low, high) == pytest.approx(best)


@pytest.mark.parametrize("real", [True, False])
def test_a_search_from_its_swarm_to_its_verdict(
    path: Path, planted: Plant, call: Call, monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    monkeypatch.setattr("recipes.experiments.mixture._RESAMPLED", 20)

    def law(config: StageConfig, tokens: int) -> dict[str, float]:
        mixture = config.data.mixture
        shares = np.array([[mixture.get(name, 0) for name in PRIOR]]) / sum(mixture.values())
        wiggle = 0.0003 * np.sin(1e4 * shares[0, 0] + config.data.seed)
        # If it is not real, all that was found on the swarm's seed is gone on others.
        gone = not real and config.data.seed > 0
        values = np.full(2, 2.0) if gone else planted_values(shares)[0, ::2]
        measured = map(float, values + wiggle)
        return {"en": 1.0} | dict(zip(("source_bits/web_en", "source_bits/web_ko"), measured))

    arguments, out = [path, "--size", "tiny"], path.parent / "out"
    ran = planted(law)
    plan = call(main, *arguments, "--dry-run")
    assert plan.count("stage1.py") == 12 and "6 to do" in plan and not out.exists()
    page = call(main, *arguments)
    lengths = [own[-1] for own in ran]
    assert lengths == ["schedule.total_tokens=40960"] * 12 + ["schedule.total_tokens=20480"] * 6
    record = json.loads((out / "search.json").read_text())
    mixture = load_mixture(out / "mixture.yaml").shares()
    assert mixture == {
        name: share for name, share in zip(record["sources"], record["found"]) if share > 0
    }
    assert "Rank correlation with proxies that a law has not seen" in page
    assert f"kormo mixture-search {path} --size tiny" in page and "kormo experiment" not in page
    if real:
        assert "what was found beats the prior: -0." in page
        assert record["verdict"]["high"] < 0
    else:
        assert "does not beat the prior (no difference)" in page and "keep the prior" in page
    # All arms are measured on the prior's sources; a second start trains nothing.
    assert all("data.heldout=[web_en, stories_en, web_ko, stories_ko]" in own for own in ran)
    call(main, *arguments)
    assert len(ran) == 18


def test_what_cannot_be_searched_is_refused(path: Path, call: Call) -> None:
    for change, message in (
        ("tokens=1_000_000_000", "more than 4 epochs of all sources"),
        ("confirm.seeds=[0,1]", "0 is the swarm's"),
        ("confirm.seeds=[1,1]", "confirm.seeds: .*a seed is given twice"),
        ("shared={data.mixture: {web_en: 1}}", "shared.data.mixture: is what is searched"),
        ("confirm.shared={sft: {schedule.steps: 8}}", "confirm.shared.sft: nothing goes through"),
        ("proxies=9", "proxies: 9 cannot hold laws of 5 numbers.* at least 10"),
        ("prior={web_en: 1, web_ko: 0}", "prior.web_ko"),
        ("prior={web_en: 1}", "prior: web_en alone has one mixture; name two"),
        ("seed=-1", "seed: .*greater than or equal to 0"),
        ("targets={quick/kmmlu_mini: {weight: 1, smallest: 1}}", "give source_bits/SOURCE"),
        ("targets={bits_per_byte/en: {weight: 1, smallest: 1}}", "follows no law of their shares"),
    ):
        with pytest.raises(RecipeError, match=message):
            call(main, path, "--size", "tiny", change, "--dry-run")


def test_a_target_that_nothing_measures_is_told_after_one_run(
    path: Path, planted: Plant, call: Call
) -> None:
    ran = planted(lambda config, tokens: {"en": 1.0, "source_bits/web_ko": 1.0})
    target = "targets={source_bits/fr: {weight: 1, smallest: 1}}"
    with pytest.raises(RecipeError, match="targets.source_bits/fr: .*source_bits/web_ko"):
        call(main, path, "--size", "tiny", target)
    assert len(ran) == 1


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_what_is_shipped_is_sound(shipped: Path) -> None:
    config = load_config(shipped, SearchConfig, [])
    assert config.output_dir == Path("runs") / shipped.parent.name / "searches" / shipped.stem
