"""What is answered without looking, and the pictures that are shown in place of the right ones."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from data_recipes.common.errors import RecipeError

from .items import PictureQuestion

Key = Callable[[PictureQuestion], Hashable]


def of_kind(item: PictureQuestion) -> Hashable:
    """Take questions of a kind for alike."""
    return item.kind


# Of a question whose words were never seen: the same question of other things, else its kind.
QUESTION_ONLY: tuple[Key, ...] = (
    lambda item: item.question,
    lambda item: (item.kind, item.ask),
    of_kind,
)


class Commonest:
    """Answers by what was most often right in training, of questions that are alike.

    Args:
        trained: with the answers that may be learned. Without any it says nothing.
        keys: what questions that are alike share, beside the language; where training has none, the
            next is looked at.
    """

    def __init__(self, trained: Iterable[PictureQuestion], keys: Sequence[Key]) -> None:
        self._keys = keys
        self._counts: dict[tuple[int, str, Hashable], Counter[str]] = defaultdict(Counter)
        for item in trained:
            for number, key in enumerate(keys):
                self._counts[number, item.language, key(item)][item.answers[0]] += 1

    def answer(self, item: PictureQuestion) -> str:
        """Answer without the picture."""
        for number, key in enumerate(self._keys):
            if seen := self._counts.get((number, item.language, key(item))):
                return min(seen, key=lambda text: (-seen[text], text))
        return ""


def swapped(items: list[PictureQuestion]) -> dict[str, tuple[Path, ...]]:
    """Give every question pictures of another thing, half the list further on, by id.

    Raises:
        RecipeError: there are no others, and its own would be called swapped.
    """
    shift = max(1, len(items) // 2)
    others: dict[str, tuple[Path, ...]] = {}
    for place, item in enumerate(items):
        order = (items[(place + shift + step) % len(items)] for step in range(len(items)))
        fits = (
            o.pictures
            for o in order
            if o.subject != item.subject and len(o.pictures) == len(item.pictures)
        )
        if (other := next(fits, None)) is None:
            raise RecipeError(
                f"{item.id}: no other question of {item.split} has as many pictures, or others, to "
                "swap with; raise --limit"
            )
        others[item.id] = other
    return others
