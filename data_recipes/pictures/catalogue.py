"""Things that a scene can show, wherever they come from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

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
