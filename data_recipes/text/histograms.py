"""Histograms with fixed bins, so that those of many batches, shards and sources can be added up.

A step puts them in its counts as `counts["histograms"][statistic][scale][outcome]`, a list of
numbers of documents: `statistic` is any name, `scale` a key of `SCALES`, and `outcome` "kept" or
"rejected". The scale names the bins, so no edges have to be stored, and the report draws any
histogram that follows this form. `by_outcome` makes it.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scale:
    """Bins of one kind of value. The first and the last also take what lies beyond them.

    Attributes:
        edges: ascending, float64 [bins + 1]; a value on an edge counts above it.
        unit: what the axis says.
        logarithmic: whether the axis is.
    """

    edges: np.ndarray
    unit: str
    logarithmic: bool = False

    @property
    def bins(self) -> int:
        return len(self.edges) - 1


def _halves_of_octaves(first: int, last: int) -> np.ndarray:
    return 2.0 ** (np.arange(2 * first, 2 * last + 1) / 2)


# Our choice: fine enough that a threshold falls visibly inside a distribution.
SCALES = {
    # Shares, probabilities and scores.
    "fraction": Scale(np.linspace(0, 1, 51), "share"),
    # Lengths of texts, 16 bytes to 64 MiB.
    "bytes": Scale(_halves_of_octaves(4, 26), "bytes", logarithmic=True),
    # Whole numbers of things (words, lines, matches): below 4 each has a bin of its own.
    "count": Scale(np.array([0, 1, 2, 3, *_halves_of_octaves(2, 24)]), "count", logarithmic=True),
    # Means of small numbers, such as letters per word.
    "mean": Scale(np.linspace(0, 20, 81), "mean"),
}


def histogram(scale: str, values: np.ndarray) -> list[int]:
    """Numbers of values per bin, one int for each bin of the scale.

    Args:
        scale: key of `SCALES`.
        values: any numeric dtype, [n].

    Raises:
        ValueError: a value is not a number: what a statistic is where it has no meaning (a share
            of nothing) is for the step to decide.
    """
    edges = SCALES[scale].edges
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        raise ValueError(f"a histogram of values that are not numbers ({scale})")
    places = np.searchsorted(edges, values, side="right") - 1
    return np.bincount(places.clip(0, len(edges) - 2), minlength=len(edges) - 1).tolist()


def by_outcome(scale: str, values: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, list[int]]]:
    """What a step stores under `counts["histograms"][statistic]`.

    Args:
        scale: key of `SCALES`.
        values: one per document, [n].
        kept: whether the document goes on, bool [n].
    """
    return {
        scale: {
            "kept": histogram(scale, values[kept]),
            "rejected": histogram(scale, values[~kept]),
        }
    }
