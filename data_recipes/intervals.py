"""How far a share that was counted can be trusted."""

import math

_Z = 1.959964  # 97.5 % quantile of the normal distribution


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 1927); all of [0, 1] without a trial."""
    if not trials:
        return 0.0, 1.0
    p = successes / trials
    middle = p + _Z**2 / (2 * trials)
    half = _Z * math.sqrt(p * (1 - p) / trials + _Z**2 / (4 * trials**2))
    scale = 1 + _Z**2 / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
