"""Scenes of things from a catalogue, at random, and what training never shows of them."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from ..common.errors import RecipeError
from ..toy.items.types import between, choose, distinct
from .config import HeldoutConfig, PicturesConfig, SceneSplit

LIGHTS = ("day", "night")
SEASONS = ("spring", "summer", "autumn", "winter")
# A picture has two rows of two.
CELLS = ("top_left", "top_right", "bottom_left", "bottom_right")
# Our choice: as many pictures of one kind of thing as of two, and as many of three.
_GROUPS = (1, 1, 2, 2, 3, 3)
_TRIES = 1000

Kind = tuple[str, str | None]  # a thing and its colour
# Name of a thing, its colour (`None`: as it is) and the edge of the square that it is to fill, in
# pixels; gives an RGBA cut-out.
Draw = Callable[[str, str | None, int], Image.Image]


@dataclass(frozen=True)
class Catalogue:
    """Cut-outs and their names.

    Attributes:
        kind: `drawn`, `emoji` or `stamps`.
        things: keys, in a fixed order.
        colours: keys of the colours that a thing can be drawn in; empty: it has its own.
        names: by language and thing, as a noun without article.
        draw: makes a cut-out.
        sources: what it was made from: `name`, `version`, `licence` and what was left out.
        repeats: whether several of a thing are drawn and counted. Not where names were not written
            to be put in the plural.
        captions: what people wrote under a thing's picture, by language and thing.
        alone: keys of things that have captions and no name; each is shown once, by itself.
    """

    kind: str
    things: list[str]
    colours: list[str]
    names: dict[str, dict[str, str]]
    draw: Draw
    sources: list[dict[str, Any]]
    repeats: bool = False
    captions: dict[str, dict[str, str]] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """One or several equal things in a scene.

    Attributes:
        name: of the thing, its key in the catalogue.
        colour: key, or `None` where things have their own.
        cells: where they stand, some of `CELLS`.
    """

    name: str
    colour: str | None
    cells: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        return self.name, self.colour


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        groups: in the order in which their first thing is met, row by row.
        light: `day` or `night`.
        season: one of `SEASONS`.
        focus: number of the group that questions of a held-out split are about; `None` in others.
    """

    groups: tuple[Group, ...]
    light: str
    season: str
    focus: int | None = None

    @property
    def total(self) -> int:
        return sum(len(group.cells) for group in self.groups)

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        things = [
            {"name": g.name, "colour": g.colour, "count": len(g.cells), "cells": list(g.cells)}
            for g in self.groups
        ]
        return {"things": things, "light": self.light, "season": self.season, "focus": self.focus}


class Holdout:
    """Which kinds of thing each split shows, drawn by a seed.

    Args:
        catalogue: what there is.
        config: how much of it is held out.
        seed: decides which.

    Raises:
        RecipeError: nothing would be left to train on.
    """

    def __init__(self, catalogue: Catalogue, config: HeldoutConfig, seed: int) -> None:
        rng = random.Random(f"{seed}/holdout")
        things, colours = _shuffled(rng, catalogue.things), _shuffled(rng, catalogue.colours)
        self.objects = things[: config.objects]
        self.known = things[config.objects :]
        if len(self.known) < 4:
            raise RecipeError(
                f"heldout.objects {config.objects}: of {len(things)} things that leaves "
                f"{len(self.known)}, and training needs 4"
            )
        every, self._coloured = config.combinations_every, bool(colours)
        if self._coloured:
            pairs = itertools.product(enumerate(self.known), enumerate(colours))
        else:
            pairs = itertools.combinations(enumerate(self.known), 2)
        # A diagonal of the table, so that no thing and no colour loses more than its share.
        self.combinations = [(a, b) for (i, a), (j, b) in pairs if (i + j) % every == 0]
        self._barred = set(self.combinations)
        palette: list[str | None] = [*colours] or [None]
        kinds = list(itertools.product(self.known, palette))
        self._kinds = [k for k in kinds if not (self._coloured and k in self._barred)]
        self._new = list(itertools.product(self.objects, palette))

    def shown(self, split: SceneSplit) -> list[Kind]:
        """Return the kinds of thing that a split may show."""
        if split == "heldout_objects":
            return self._kinds + self._new
        if split == "heldout_combinations" and self._coloured:
            return self._kinds + self.combinations
        return self._kinds

    def draw(self, rng: random.Random, split: SceneSplit, number: int) -> list[Kind]:
        """Draw different kinds of thing for one picture; in a held-out split the first is new.

        Of things that have their own colour, the first two are what was never seen together.
        """
        chosen: list[Kind] = []
        if split == "heldout_objects":
            chosen = [choose(rng, self._new)]
        elif split == "heldout_combinations":
            pair = choose(rng, self.combinations)
            chosen = [pair] if self._coloured else [(name, None) for name in pair]
        for _ in range(_TRIES):
            if len(chosen) >= number:
                break
            kind = choose(rng, self._kinds)
            if kind not in chosen and self._fits(kind, chosen):
                chosen.append(kind)
        return chosen

    def _fits(self, kind: Kind, chosen: list[Kind]) -> bool:
        if self._coloured:
            return True
        return not any({(kind[0], other), (other, kind[0])} & self._barred for other, _ in chosen)


def _shuffled(rng: random.Random, values: list[str]) -> list[str]:
    return [values[i] for i in distinct(rng, len(values), len(values))]


def draw_scene(
    rng: random.Random, holdout: Holdout, split: SceneSplit, most: int, repeats: bool
) -> Scene:
    """Draw a scene.

    Args:
        rng: source of all choices.
        holdout: what may be shown.
        split: where it goes.
        most: things in it.
        repeats: whether several of a kind may stand in it.
    """
    kinds = holdout.draw(rng, split, min(most, choose(rng, _GROUPS)))
    counts = [1] * len(kinds)
    if repeats:
        for _ in range(between(rng, 0, most - len(kinds))):
            counts[between(rng, 0, len(kinds) - 1)] += 1
    places = distinct(rng, len(CELLS), sum(counts))
    groups = []
    for (name, colour), count in zip(kinds, counts):
        own = sorted(places.pop() for _ in range(count))
        groups.append(Group(name, colour, tuple(CELLS[place] for place in own)))
    ordered = sorted(groups, key=lambda group: CELLS.index(group.cells[0]))
    new = split in ("heldout_objects", "heldout_combinations")
    focus = ordered.index(groups[0]) if new else None
    return Scene(tuple(ordered), choose(rng, LIGHTS), choose(rng, SEASONS), focus)


def draw_scenes(
    config: PicturesConfig, catalogue: Catalogue, holdout: Holdout, split: SceneSplit
) -> Iterator[Scene]:
    """Draw the scenes of a split, each by its own number, so that more of them change none.

    Those of training end with the things that have captions alone, one in each.
    """
    for number in range(config.scenes[split]):
        rng = random.Random(f"{config.seed}/{split}/{number}")
        yield draw_scene(rng, holdout, split, config.most_things, catalogue.repeats)
    for key in catalogue.alone if split == "train" else ():
        rng = random.Random(f"{config.seed}/alone/{key}")
        group = Group(key, None, (choose(rng, CELLS),))
        yield Scene((group,), choose(rng, LIGHTS), choose(rng, SEASONS))
