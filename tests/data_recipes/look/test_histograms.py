"""Pictures of the data report show what was counted, where it was counted."""

import io

import numpy as np
from matplotlib.image import imread

from data_recipes.look.histograms import Panel, draw_histograms


def _columns(panel: Panel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of the picture with blue, with orange, and with a dashed line from top to bottom."""
    pixels = imread(io.BytesIO(draw_histograms("it", [panel]).image))[:, :, :3]
    red, blue = pixels[:, :, 0], pixels[:, :, 2]
    black = (pixels.max(axis=2) < 0.6).mean(axis=0) > 0.3
    black[: len(black) // 5] = False  # the left edge of the axes
    return (
        np.flatnonzero((blue > red + 0.2).any(axis=0)),
        np.flatnonzero((red > blue + 0.2).any(axis=0)),
        np.flatnonzero(black),
    )


def test_kept_and_removed_stand_on_their_sides_of_the_limit() -> None:
    counts = np.zeros((2, 50), int)
    counts[0, 30:40], counts[1, 10:20] = 100, 3  # scores of 0.6 to 0.8, and of 0.2 to 0.4
    panel = Panel("score", "fraction", counts[0].tolist(), counts[1].tolist(), [0.5])
    kept, removed, limit = _columns(panel)
    assert removed.max() < limit.min() <= limit.max() < kept.min()
    # Halfway between the two, and each as wide as the other.
    middle = (removed.max() + kept.min()) / 2
    assert abs(limit.mean() - middle) < 4 and abs(np.ptp(kept) - np.ptp(removed)) < 4


def test_a_histogram_of_nothing_is_drawn() -> None:
    kept, removed, _ = _columns(Panel("empty", "count", [0] * 48, [0] * 48))
    assert not len(kept) and not len(removed)
