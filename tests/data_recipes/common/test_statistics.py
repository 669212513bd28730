"""Intervals of shares."""

import pytest

from data_recipes.common.statistics import wilson


def test_wilson() -> None:
    # By hand for 8 of 10 (Brown, Cai and DasGupta 2001).
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1
