"""Epochs and shares of a mixture; what cannot be met is refused; what is shipped fits together."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib import image

from data_recipes.__main__ import parse_arguments
from data_recipes.common.config_files import CONFIGS, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.look import mixture_report
from data_recipes.look.mixture_report import format_mixture
from data_recipes.prepare.config import DataConfig
from data_recipes.tokens.mixture_plan import (
    MIXTURES,
    MixtureConfig,
    check_plan,
    load_mixture,
    plan_sources,
    total_shares,
)

from ..hand_made import write_data_set

SHIPPED = ("stage1", "stage2", "long", "reasoning")


def source(name: str, share: float, tokens: int = 1000, **facts: Any) -> dict[str, Any]:
    return {"name": name, "share": share, "tokens": tokens, "language": "ko", **facts}


def mixture(*sources: dict[str, Any], **values: Any) -> MixtureConfig:
    given = {"stage": "stage1", "tokens": 1000, "max_epochs": 16, "sources": list(sources)}
    return MixtureConfig.model_validate({**given, **values})


FOUR = (
    source("web_en", 0.5, 4000, language="en"),
    source("web_ko", 0.2, 50),
    source("a_ko", 0.18, synthesizer="A"),
    source("b_ko", 0.12, synthesizer="B"),
)


def refusal(config: MixtureConfig, force: bool = False) -> str:
    with pytest.raises(RecipeError) as caught:
        check_plan(config, plan_sources(config), force)
    return str(caught.value)


def test_tokens_epochs_and_shares() -> None:
    config = mixture(*FOUR, stage="stage2")
    rows = plan_sources(config)
    assert [r.tokens for r in rows] == pytest.approx([500, 200, 180, 120])
    assert [r.epochs for r in rows] == pytest.approx([0.125, 4.0, 0.18, 0.12])
    totals = total_shares(rows)
    assert totals.korean == pytest.approx(0.5) and totals.synthetic == pytest.approx(0.3)
    # Of the Korean tokens, and of the Korean synthetic tokens.
    assert totals.korean_synthetic == pytest.approx(0.6)
    assert totals.synthesizers == pytest.approx({"A": 0.6, "B": 0.4})
    assert list(totals.synthesizers) == ["A", "B"]
    check_plan(config, rows, force_single=False)
    assert "warning" not in format_mixture(config, rows)
    longer = mixture(*FOUR, tokens=1100)
    table = format_mixture(longer, plan_sources(longer))
    assert table.count("warning") == 1 and "web_ko is seen 4.4 times" in table


def test_english_synthetic_text_does_not_count_as_korean() -> None:
    config = mixture(
        source("en", 0.6, language="en", synthesizer="A"), source("ko", 0.4, synthesizer="B")
    )
    totals = total_shares(plan_sources(config))
    assert totals.synthesizers == {"B": 1.0} and totals.korean_synthetic == 1.0
    assert totals.synthetic == pytest.approx(1.0) and totals.korean == pytest.approx(0.4)


def test_a_single_synthesizer_is_refused_in_stage2_unless_forced() -> None:
    sources = (source("web_ko", 0.5), source("a_ko", 0.3, synthesizer="A"))
    sources += (source("b_en", 0.2, language="en", synthesizer="B"),)
    config = mixture(*sources, stage="stage2")
    message = refusal(config)
    assert "'A'" in message and "--force-single-synthesizer" in message
    check_plan(config, plan_sources(config), force_single=True)
    check_plan(mixture(*sources), plan_sources(mixture(*sources)), force_single=False)


def test_what_cannot_be_met_is_refused_all_at_once() -> None:
    empty = refusal(mixture(source("a", 0.5, 0), source("b", 0.5, 20)))
    assert "a: a share of 50.00%, but it has no tokens" in empty
    assert "b: 500 tokens are 25.0 epochs of the 20" in empty and "max_epochs 16" in empty
    assert "b: 500 tokens are 16.1 epochs" in refusal(
        mixture(source("a", 0.5), source("b", 0.5, 31))
    )
    enough = mixture(source("a", 0.5), source("b", 0.5, 32))
    check_plan(enough, plan_sources(enough), False)
    assert "below 1/" in refusal(mixture(source("a", 1 - 1e-5, 10**6), source("b", 1e-5)))

    kept = {"min_short_share": 0.4}
    sources = (source("books", 0.7, long_documents=True), source("web", 0.3))
    assert "short text has a share of 30.00%, below" in refusal(mixture(*sources, **kept))
    sources = (source("books", 0.6, long_documents=True), source("web", 0.4))
    check_plan(mixture(*sources, **kept), plan_sources(mixture(*sources, **kept)), False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": [source("a", 0.5), source("b", 0.5 - 2e-6)]}, "add up to 0.999998"),
        ({"sources": [source("a", 0.5), source("a", 0.5)]}, "two sources share a name"),
        ({"sources": [source("a", 1.0, long_documents=True)]}, "min_short_share"),
        ({"sources": [source("a", 1.0, tokns=3)]}, "did you mean 'tokens'"),
        ({"sources": [source("a", 1.0, tokens=-1)]}, "greater than or equal to 0"),
        ({"max_epoch": 3}, "did you mean 'max_epochs'"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, values: dict, message: str) -> None:
    path = tmp_path / "mine.yaml"
    given = {"stage": "stage1", "tokens": 1000, "max_epochs": 16, "sources": [source("a", 1.0)]}
    path.write_text(yaml.safe_dump(given))
    assert load_mixture(path).shares() == {"a": 1.0}
    path.write_text(yaml.safe_dump(given | values))
    with pytest.raises(RecipeError, match=message) as caught:
        load_mixture(path)
    assert str(path) in str(caught.value)


def test_shares_that_add_up_within_rounding_are_accepted() -> None:
    mixture(*(source(f"s{i}", 1 / 3) for i in range(3)))
    mixture(source("a", 0.5), source("b", 0.5 - 5e-7))


def test_shards_replace_the_counts_of_the_file_and_must_agree_with_it(tmp_path: Path) -> None:
    write_data_set(tmp_path / "a" / "train", [[[1] * 60, [2] * 40]])
    write_data_set(tmp_path / "b" / "train", [[[3] * 250]], synthesizer="B")
    config = mixture(source("a", 0.5), source("b", 0.5, synthesizer="B"))
    rows = plan_sources(config, tmp_path)
    assert [r.available for r in rows] == [100, 250]
    assert [r.epochs for r in rows] == pytest.approx([5.0, 2.0])
    other = mixture(source("a", 0.5), source("b", 0.5, synthesizer="C"))
    with pytest.raises(RecipeError, match="the mixture says synthesizer 'C', the shards .* 'B'"):
        plan_sources(other, tmp_path)
    with pytest.raises(RecipeError, match="python -m data_recipes prepare"):
        plan_sources(mixture(source("c", 1.0)), tmp_path)


def test_shipped_mixtures_can_be_met_and_agree_with_the_data_recipe() -> None:
    assert sorted(p.stem for p in MIXTURES.glob("*.yaml")) == sorted(SHIPPED)
    made = {s.name: s for s in load_config(CONFIGS / "hub.yaml", DataConfig, []).sources}
    counts: dict[str, int] = {}
    for stage in SHIPPED:
        config = load_mixture(f"{stage}.yaml")
        assert config.stage == stage
        check_plan(config, plan_sources(config), force_single=False)
        for s in config.sources:
            recipe = made[s.name]
            assert (f"hub://{s.hub}", s.language) == (recipe.path, recipe.language)
            assert s.synthesizer == recipe.synthesizer
            assert counts.setdefault(s.name, s.tokens) == s.tokens
    assert set(counts) == set(made)
    assert load_mixture("long.yaml").sequence_length == 32_768


def test_shipped_mixtures_have_the_published_shares() -> None:
    # 5.6 % of KORMo's tokens are Korean, and 68.74 % of those synthetic, over all stages.
    configs = [load_mixture(f"{stage}.yaml") for stage in SHIPPED]
    published = [1_000_000_000_000, 1_800_000_000_000, 10_270_000_000, 157_760_000_000]
    assert [c.tokens for c in configs] == published
    totals = total_shares([row for c in configs for row in plan_sources(c)])
    assert totals.tokens == pytest.approx(math.fsum(c.tokens for c in configs))
    assert totals.korean == pytest.approx(0.056, abs=0.0005)
    assert totals.korean_synthetic == pytest.approx(0.6874, abs=0.002)
    stage2 = total_shares(plan_sources(configs[1]))
    assert len(stage2.synthesizers) == 3


def run(*arguments: str) -> None:
    mixture_report.run(parse_arguments(["mixture", *arguments]))


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "mixture.png"
    run("--config", "stage1.yaml", "--config", "stage2.yaml", "--plot", str(picture))
    out = capsys.readouterr().out
    assert "KORMo-Team/FineWeb2-ko-synth" in out and "all stages" in out
    pixels = image.imread(picture)[:, :, :3]
    height, width, _ = pixels.shape
    assert width > 1000
    # Most of the left bars is English, in blue and purple; all of the right ones Korean, in orange.
    blue = pixels[:, :, 2] > pixels[:, :, 0] + 0.15
    orange = pixels[:, :, 0] > pixels[:, :, 2] + 0.15
    half = width // 2
    bars = slice(0, int(0.6 * height))
    assert blue[bars, :half].mean() > 3 * orange[bars, :half].mean() > 0
    assert orange[bars, half:].mean() > 0.3 and blue[bars, half:].mean() < 0.01


def test_the_command_shows_the_table_of_what_it_refuses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(RecipeError, match="stage2 cannot be met") as caught:
        run("--config", "stage2.yaml", "tokens=100_000_000_000_000")
    assert "fineweb2_synth_ko: 2,000,000,000,000 tokens" in str(caught.value)
    assert "fineweb2_synth_ko is seen 50.0 times" in capsys.readouterr().out
