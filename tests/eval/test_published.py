"""The card's table adds up to the card's averages."""

import pytest

from eval.published import load_published
from eval.suites import load_suite, suite_names


def test_averages_are_those_of_the_card() -> None:
    published = load_published()
    assert (len(published.english), len(published.korean)) == (13, 9)
    english, korean = published.averages("english"), published.averages("korean")
    assert english["KORMo-10B"] == pytest.approx(63.45, abs=0.0051)
    assert korean["KORMo-10B"] == pytest.approx(58.15, abs=0.0051)
    # The other columns, as the card has them: a digit typed wrong would show.
    card_english = [63.45, 59.83, 61.36, 64.06, 61.52, 67.90, 61.49, 59.05, 66.73]
    card_korean = [58.15, 47.37, 35.82, 39.34, 60.94, 63.35, 49.60, 49.60, 60.37]
    assert list(english.values()) == pytest.approx(card_english, abs=0.0051)
    assert list(korean.values()) == pytest.approx(card_korean, abs=0.0051)


def test_only_scores_measured_alike_stand_side_by_side() -> None:
    rows = load_published().rows()
    assert rows["kmmlu"].match(5, "acc,none") == "same"
    assert rows["kmmlu"].match(0, "acc,none") == "other"
    assert rows["hellaswag"].match(5, "acc_norm,none") == "other"
    assert rows["click"].match(5, "acc,none") == "unknown"


def test_suites_name_rows_of_the_card() -> None:
    named = {task.published for name in suite_names() for task in load_suite(name).tasks} - {None}
    assert named == set(load_published().rows())
