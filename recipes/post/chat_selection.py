"""Which conversations a run learns from: thinking against not, and difficulty, in balance."""

import random
from collections import defaultdict
from collections.abc import Sequence

from data_recipes.common.errors import RecipeError


def select(
    thinking: Sequence[bool], groups: Sequence[str] | None, share: float | None, seed: int
) -> list[int]:
    """As many conversations as the asked shares allow, none twice.

    Args:
        thinking: of each conversation, whether its last answer came with reasoning.
        groups: of each, the value that shall be equally frequent, within thinking and not, such as
            a difficulty: KORMo's SFT data are balanced by it (section 5). `None`: as they are.
        share: of conversations with reasoning; `None`: as they are.
        seed: of the choice.

    Returns:
        Their numbers, in order.

    Raises:
        RecipeError: a share that the data cannot give.
    """
    kinds = {kind: [i for i, t in enumerate(thinking) if t == kind] for kind in (True, False)}
    if groups is not None:
        kinds = {kind: _balanced(own, groups, seed) for kind, own in kinds.items()}
    if share is not None:
        shares = {True: share, False: 1 - share}
        for kind, own in shares.items():
            if own and not kinds[kind]:
                what = "with" if kind else "without"
                raise RecipeError(
                    f"data.thinking_share is {share}, but no conversation {what} reasoning is "
                    "left; add a source, or leave the share out"
                )
        total = min(len(kinds[k]) / own for k, own in shares.items() if own)
        kinds = {k: _sample(kinds[k], round(total * own), seed) for k, own in shares.items()}
    return sorted([*kinds[True], *kinds[False]])


def _sample(numbers: list[int], count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(numbers, min(count, len(numbers)))


def _balanced(numbers: list[int], groups: Sequence[str], seed: int) -> list[int]:
    members: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        members[groups[number]].append(number)
    smallest = min(map(len, members.values()), default=0)
    return [n for own in members.values() for n in _sample(own, smallest, seed)]
