"""Histograms count every value once, whatever it is, and add up."""

import numpy as np
import pytest

from data_recipes.engine.documents import SCALES, by_outcome, histogram
from data_recipes.engine.steps import add_counts


@pytest.mark.parametrize("scale", sorted(SCALES))
def test_every_value_is_in_the_bin_whose_edges_enclose_it(scale: str) -> None:
    edges = SCALES[scale].edges
    assert (np.diff(edges) > 0).all()
    values = np.concatenate(
        [edges, (edges[:-1] + edges[1:]) / 2, [edges[0] - 1, edges[-1] + 1, np.inf]]
    )
    counts = histogram(scale, values)
    assert len(counts) == SCALES[scale].bins and sum(counts) == len(values)
    for value in values:
        (place,) = np.flatnonzero(histogram(scale, np.array([value])))
        assert edges[place] <= value or place == 0
        assert value < edges[place + 1] or place == len(edges) - 2


def test_small_whole_numbers_have_bins_of_their_own() -> None:
    assert max(histogram("count", np.arange(5))) == 1


def test_what_is_not_a_number_is_not_dropped() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        histogram("fraction", np.array([0.5, np.nan]))


def test_batches_add_up() -> None:
    rng = np.random.default_rng(0)
    values, kept = rng.random(100).astype(np.float32), rng.random(100) < 0.5
    parts = [by_outcome("fraction", values[s], kept[s]) for s in (slice(40), slice(40, None))]
    assert add_counts(add_counts({}, parts[0]), parts[1]) == by_outcome("fraction", values, kept)
    assert sum(by_outcome("fraction", values, kept)["fraction"]["kept"]) == kept.sum() > 0
    assert histogram("fraction", values[:0]) == [0] * SCALES["fraction"].bins
