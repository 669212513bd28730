"""Thresholds, precision and curves against numbers counted by hand."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from data_recipes.common.errors import RecipeError
from data_recipes.quality.config import ThresholdConfig
from data_recipes.quality.report import area_under_curve, choose_threshold, draw, measure, table

POSITIVE = np.array([0.9, 0.8, 0.8, 0.4], np.float32)
NEGATIVE = np.array([0.8, 0.3, 0.2, 0.1], np.float32)


def test_precision_and_recall_are_those_counted_by_hand() -> None:
    found = measure(POSITIVE, NEGATIVE, 0.8)
    assert (found["positive_kept"], found["positive_lost"]) == (3, 1)
    assert (found["negative_kept"], found["negative_removed"]) == (1, 3)
    assert (found["precision"], found["recall"], found["f1"]) == (0.75, 0.75, 0.75)
    assert measure(POSITIVE, NEGATIVE, 0.95)["precision"] is None
    # 4 + 2 * (3 + 1/2) + 3 pairs of 16 are in the right order.
    assert area_under_curve(POSITIVE, NEGATIVE) == 14 / 16


def test_measures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    positive = rng.beta(4, 2, 300).astype(np.float32).round(2)
    negative = rng.beta(2, 4, 200).astype(np.float32).round(2)
    labels, scores = [1] * 300 + [0] * 200, np.concatenate([positive, negative])
    assert area_under_curve(positive, negative) == pytest.approx(roc_auc_score(labels, scores))
    rows = table(positive, negative, scores, chosen=0.5)
    assert [r["chosen"] for r in rows].count(True) == 1 and len(rows) > 10
    for row in rows:
        kept = scores >= row["threshold"]
        assert row["precision"] == pytest.approx(precision_score(labels, kept))
        assert row["recall"] == pytest.approx(recall_score(labels, kept))
        assert row["keep_rate"] == pytest.approx(kept.mean())


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.93])
def test_a_keep_rate_is_the_share_that_is_kept(rate: float) -> None:
    incoming = np.random.default_rng(1).random(10_000, np.float32)
    threshold = choose_threshold(ThresholdConfig(keep_rate=rate), incoming)
    assert (incoming >= threshold).mean() == pytest.approx(rate, abs=1e-4)


def test_a_keep_rate_among_equal_scores_is_refused() -> None:
    incoming = np.array([1.0] * 30 + [0.0] * 70, np.float32)
    assert choose_threshold(ThresholdConfig(keep_rate=0.3), incoming) == 1.0
    with pytest.raises(RecipeError, match=r"keep_rate: 0.1 cannot be had; .*0.3000 .* 0.0000"):
        choose_threshold(ThresholdConfig(keep_rate=0.1), incoming)


def test_a_precision_is_reached_by_the_lowest_threshold_that_reaches_it() -> None:
    positive = np.repeat(POSITIVE, 20)
    negative = np.repeat(NEGATIVE, 20)
    target = ThresholdConfig(precision=0.75)
    assert choose_threshold(target, POSITIVE, positive, negative) == pytest.approx(0.4)
    target = ThresholdConfig(precision=0.9)
    assert choose_threshold(target, POSITIVE, positive, negative) == pytest.approx(0.9)
    with pytest.raises(RecipeError, match=r"0.95 is not reached .* best is 0.8571 at 0.9000"):
        worse = np.append(negative, np.array([0.95] * 2 + [0.9], np.float32))[2:]
        choose_threshold(ThresholdConfig(precision=0.95), POSITIVE, positive[:18], worse)


def test_few_kept_documents_measure_no_precision() -> None:
    with pytest.raises(RecipeError, match="keeps 20 documents; there is no such threshold"):
        choose_threshold(ThresholdConfig(precision=0.5), POSITIVE, POSITIVE, NEGATIVE)


@pytest.mark.parametrize("given", [{}, {"keep_rate": 0.1, "value": 0.5}, {"keep_rate": None}])
def test_a_threshold_is_found_in_exactly_one_way(given: dict) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        ThresholdConfig(**given)


def test_histograms_are_drawn(tmp_path: Path) -> None:
    for name, counts in (("a", [1] * 50), ("b", [0] * 49 + [9])):
        draw(tmp_path / f"{name}.png", {"incoming": counts}, 0.5, "quality, ko")
    images = [imread(tmp_path / f"{name}.png") for name in "ab"]
    assert images[0].shape == images[1].shape and (images[0] != images[1]).any()
