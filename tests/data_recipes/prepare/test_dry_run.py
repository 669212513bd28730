"""What a recipe will take is told before there is any text."""

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.deduplicate.bloom import FilterShape
from data_recipes.deduplicate.config import DedupConfig
from data_recipes.prepare.dry_run import estimate


def test_a_terabyte_is_planned_before_there_is_any_text() -> None:
    plan = estimate(10**12, DedupConfig(memory_gb=512))
    assert plan.shape.bytes == FilterShape.of(plan.ngrams, 0.01).bytes
    assert 200e9 < plan.shape.bytes < 240e9 and plan.disk_bytes == plan.shape.bytes
    assert str(plan).startswith("1 filter of 22")
    with pytest.raises(RecipeError, match=r"memory_gb is 64.000.*filters=4"):
        estimate(10**12, DedupConfig(memory_gb=64))
    four = estimate(10**12, DedupConfig(memory_gb=64, filters=4))
    assert four.shape.bytes <= 64e9 and four.disk_bytes == 4 * four.shape.bytes
    assert estimate(10**12, DedupConfig(expected_ngrams=10**6)).shape.bytes < 2e6
