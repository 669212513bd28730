"""Which of several weighted options an id goes to."""

import hashlib
import math
from collections.abc import Mapping


def assign(seed_id: str, purpose: str, weights: Mapping[str, float]) -> str:
    """One of the options, each with a probability in proportion to its weight.

    A function of the arguments alone. Every option draws a waiting time from an exponential
    distribution whose rate is its weight, and the shortest wins (weighted rendezvous hashing,
    Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005): an option that is
    added takes its share evenly from the others, and no id moves between those that were there.

    Args:
        seed_id: what is assigned.
        purpose: separates choices that are to be independent of each other.
        weights: positive, by option.
    """

    def waits(option: str) -> float:
        digest = hashlib.sha256(f"{purpose}\0{option}\0{seed_id}".encode()).digest()
        uniform = (int.from_bytes(digest[:8]) + 1) / 2**64  # in (0, 1]
        return -math.log(uniform) / weights[option]

    return min(weights, key=waits)
