"""What a stage is built from has to fit together, and what it lacks is named."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.load import tokenizer_hash
from data_recipes.tokens.shards import MANIFEST
from recipes.build import build_mixture, ensure_inputs
from recipes.config import StageConfig
from recipes.pretrain import plan_steps
from recipes.stage1 import RULES
from tests.conftest import SMALL, Stage
from tests.data_recipes.hand_made import write_data_set


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    known = tokenizer_hash(tmp_path / "tokenizer")
    for source in ("web_en", "web_ko"):
        for split in ("train", "heldout"):
            write_data_set(tmp_path / source / split, [[[1] * 100] * 50], tokenizer=known)
    return tmp_path


def config_of(data: Path, *overrides: str) -> StageConfig:
    paths = [f"data.shards={data}", f"data.tokenizer={data / 'tokenizer'}"]
    return Stage("stage1", [*SMALL, *paths, *overrides]).config()


def open_mixture(config: StageConfig) -> None:
    build_mixture(config, plan_steps(config), SimpleNamespace(pad_token_id=0))


def test_shards_of_another_tokenizer_are_refused(data: Path) -> None:
    open_mixture(config_of(data))
    (data / "tokenizer" / "tokenizer.json").write_text("{ }")
    with pytest.raises(RecipeError, match="tokenizer is not the tokenizer that made the shards"):
        open_mixture(config_of(data))


@pytest.mark.parametrize(
    ("missing", "overrides"),
    [
        ("tokenizer/tokenizer.json", ()),
        ("web_ko/train/manifest.json", ()),
        ("web_en/heldout/manifest.json", ()),
        ("web_ko/heldout/manifest.json", ("data.mixture={web_en: 1}", "data.heldout=[web_ko]")),
    ],
)
def test_any_part_of_the_data_that_is_missing_is_named(
    data: Path, missing: str, overrides: tuple[str, ...]
) -> None:
    config = config_of(data, "size=1b", *overrides)
    ensure_inputs(config, RULES)
    (data / missing).unlink()
    with pytest.raises(RecipeError, match=rf"{missing}: data missing; make it with\n  python"):
        ensure_inputs(config, RULES)


@pytest.mark.parametrize("where", ["data.heldout=[web_en]", "data.heldout_shards=elsewhere"])
def test_what_is_measured_elsewhere_is_not_asked_for(data: Path, where: str) -> None:
    (data / "web_ko/heldout/manifest.json").unlink()
    ensure_inputs(config_of(data, "size=1b", where), RULES)


def test_a_packing_plan_that_is_missing_is_named(data: Path) -> None:
    config = config_of(data, "size=1b", "data.packing=best_fit")
    with pytest.raises(RecipeError, match=r"packing plan missing; make it with\n  .*packing .*128"):
        ensure_inputs(config, RULES)


def test_data_that_the_recipe_makes_elsewhere_are_not_made(data: Path) -> None:
    """A stage of a size made here would else make them, and look for its own in vain."""
    (data / "web_ko" / "train" / MANIFEST).unlink()
    with pytest.raises(RecipeError, match="make the shards there or point data.shards at them"):
        ensure_inputs(config_of(data), RULES)
