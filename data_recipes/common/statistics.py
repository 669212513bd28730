"""The uncertainty of a share."""

import math

# Two standard errors either side of a normal distribution's mean.
_Z = 1.96


def wilson(right: int, items: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927).

    Args:
        right: how many.
        items: of how many, at least one.
    """
    share = right / items
    middle = share + _Z**2 / (2 * items)
    half = _Z * math.sqrt(share * (1 - share) / items + _Z**2 / (4 * items**2))
    scale = 1 + _Z**2 / items
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
