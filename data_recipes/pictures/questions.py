"""What is asked about a scene, in no language yet, and what the answer is made of.

The kinds are X-LLaVA's four (object, location, atmosphere, conversation; arXiv 2403.11399), with
captions and balanced questions of yes or no beside them. Everything that is asked has one answer
that follows from the scene.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..toy.items.types import choose, distinct
from .scenes import CELLS, Group, Kind, Scene

KINDS = ("caption", "object", "location", "atmosphere", "conversation", "yes_no")
_AXES = {"left_right": ("left", "right"), "above_below": ("above", "below")}
_OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
# Which cell lies at which side of another.
_NEIGHBOURS = {
    "left": {"top_right": "top_left", "bottom_right": "bottom_left"},
    "right": {"top_left": "top_right", "bottom_left": "bottom_right"},
    "above": {"bottom_left": "top_left", "bottom_right": "top_right"},
    "below": {"top_left": "bottom_left", "top_right": "bottom_right"},
}


@dataclass(frozen=True)
class Word:
    """An entry of a language's table, as `Word("places", "top_left")`."""

    table: str
    key: str


@dataclass(frozen=True)
class SceneQuestion:
    """One thing to ask, or, of kind `conversation`, several in turn.

    Attributes:
        kind: one of `KINDS`.
        ask: which sentence of the language tables; empty for captions and conversations.
        slots: what its sentence is filled with: a `Group`, a tuple of them, a `Word`, a number.
        truth: the answer to a question of yes or no, else `None`.
        turns: of a conversation; the last is the one whose answer counts.
    """

    kind: str
    ask: str = ""
    slots: dict[str, Any] = field(default_factory=dict)
    truth: bool | None = None
    turns: tuple["SceneQuestion", ...] = ()


def _object_items(scene: Scene, about: list[Group], repeats: bool) -> list[SceneQuestion]:
    items = [SceneQuestion("object", "what", {"things": scene.groups})]
    names = Counter(group.name for group in scene.groups)
    if repeats:
        items += [SceneQuestion("object", "count", {"x": g, "number": len(g.cells)}) for g in about]
    items.append(SceneQuestion("object", "total", {"number": scene.total}))
    items += [
        SceneQuestion("object", "colour", {"x": g, "colour": Word("colours", g.colour)})
        for g in about
        if g.colour is not None and names[g.name] == 1
    ]
    return items


def _pairs(scene: Scene) -> Iterator[tuple[Group, str, Group]]:
    """Pairs of single things side by side: x stands `side` of y."""
    single = {group.cells[0]: group for group in scene.groups if len(group.cells) == 1}
    for side, neighbours in _NEIGHBOURS.items():
        for cell, beside in neighbours.items():
            if cell in single and beside in single:
                yield single[beside], side, single[cell]


def _location_items(scene: Scene, about: list[Group]) -> list[SceneQuestion]:
    items = [
        SceneQuestion("location", "place", {"x": g, "place": Word("places", g.cells[0])})
        for g in about
        if len(g.cells) == 1
    ]
    for x, side, y in _pairs(scene):
        if x not in about and y not in about:
            continue
        items.append(SceneQuestion("location", "beside", {"x": x, "side": (side, y)}))
        axis = next(name for name, sides in _AXES.items() if side in sides)
        items.append(
            SceneQuestion("location", axis, {"x": x, "y": y, "answer": Word("sides", side)})
        )
    return items


def _atmosphere_items(scene: Scene) -> list[SceneQuestion]:
    light, season = Word("lights", scene.light), Word("seasons", scene.season)
    mood = Word("moods", f"{scene.light}_{scene.season}")
    return [
        SceneQuestion("atmosphere", "light", {"light": light}),
        SceneQuestion("atmosphere", "season", {"season": season}),
        SceneQuestion("atmosphere", "mood", {"mood": mood}),
    ]


class Questions:
    """Draws what is asked about the scenes of one split, one after another.

    Of the questions whether a thing is there, each is answered yes as often as no, as nearly as
    the scenes allow, so that the question alone says nothing about its answer.

    Args:
        shown: kinds of thing that the split shows.
        repeats: as of the catalogue.
    """

    def __init__(self, shown: list[Kind], repeats: bool) -> None:
        self._shown = shown
        self._repeats = repeats
        self._owed: Counter[Kind] = Counter()  # yes so far, less no

    def about(self, rng: random.Random, scene: Scene) -> list[SceneQuestion]:
        """Draw what is asked about the next scene."""
        about = list(scene.groups) if scene.focus is None else [scene.groups[scene.focus]]
        objects = _object_items(scene, about, self._repeats)
        locations = _location_items(scene, about)
        atmospheres = _atmosphere_items(scene)
        items = [caption_of(scene)]
        items += _some(rng, objects, 2) + _some(rng, locations, 2) + _some(rng, atmospheres, 1)
        items.append(_conversation(rng, [objects, locations, atmospheres]))
        items += self._whether_there(rng, scene, about)
        items += _whether_beside(rng, [p for p in _pairs(scene) if p[0] in about or p[2] in about])
        return items

    def _whether_there(
        self, rng: random.Random, scene: Scene, about: list[Group]
    ) -> list[SceneQuestion]:
        there = choose(rng, about)
        self._owed[there.kind] += 1
        seen = {group.kind for group in scene.groups}
        absent = [kind for kind in self._shown if kind not in seen]
        most = max(self._owed[kind] for kind in absent)
        name, colour = choose(rng, [kind for kind in absent if self._owed[kind] == most])
        self._owed[name, colour] -= 1
        return [
            SceneQuestion("yes_no", "exists", {"x": there}, truth=True),
            SceneQuestion("yes_no", "exists", {"x": Group(name, colour, (CELLS[0],))}, truth=False),
        ]


def caption_of(scene: Scene) -> SceneQuestion:
    """Say what the caption of a scene is made of."""
    light, season = Word("lights", scene.light), Word("seasons", scene.season)
    return SceneQuestion(
        "caption", slots={"things": scene.groups, "light": light, "season": season}
    )


def _some(rng: random.Random, items: list[SceneQuestion], number: int) -> list[SceneQuestion]:
    return [items[i] for i in distinct(rng, len(items), min(number, len(items)))]


def _conversation(rng: random.Random, kinds: list[list[SceneQuestion]]) -> SceneQuestion:
    """Two or three questions, none of them twice, from different kinds."""
    several = [items for items in kinds if items]
    order = distinct(rng, len(several), len(several))
    turns = tuple(choose(rng, several[i]) for i in order)
    return SceneQuestion("conversation", turns=turns)


def _whether_beside(
    rng: random.Random, pairs: list[tuple[Group, str, Group]]
) -> list[SceneQuestion]:
    """One question with its right side, or with the opposite one, each in half of the cases."""
    if not pairs:
        return []
    x, side, y = choose(rng, pairs)
    truth = rng.random() < 0.5
    asked = side if truth else _OPPOSITE[side]
    return [SceneQuestion("yes_no", "is_beside", {"x": x, "side": (asked, y)}, truth=truth)]
