"""From a scene to its picture: sky and ground of its light and season, and cut-outs upon it."""

import random

from PIL import Image, ImageDraw

from ..toy.items.types import between
from .scenes import CELLS, Draw, Scene

Colour = tuple[int, int, int]

_SKY: dict[str, Colour] = {"day": (150, 205, 245), "night": (22, 26, 66)}
_GROUND: dict[str, Colour] = {
    "spring": (150, 215, 120),
    "summer": (30, 125, 45),
    "autumn": (176, 105, 40),
    "winter": (228, 234, 242),
}
# What falls or flies in a season, and how large, in hundredths of the edge. Summer has none.
_FLAKES: dict[str, tuple[Colour, int]] = {
    "spring": ((255, 170, 205), 2),
    "autumn": ((205, 80, 25), 3),
    "winter": ((255, 255, 255), 2),
}
_DARKER = 0.55  # ground by night
_HORIZON = (66, 74)  # hundredths of the height
_SIZE = (72, 92)  # of a cut-out, hundredths of its quarter
_FINER = 3  # the background is drawn so many times larger, for smooth edges


def _varied(rng: random.Random, colour: Colour, light: float = 1.0) -> Colour:
    """A colour near another, so that none can be learned as a number."""
    red, green, blue = (min(255, max(0, int(c * light) + between(rng, -12, 12))) for c in colour)
    return red, green, blue


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def draw_background(rng: random.Random, light: str, season: str, pixels: int) -> Image.Image:
    """Draw sky, sun or moon, ground, and what falls, as an RGB picture."""
    edge = pixels * _FINER
    image = Image.new("RGB", (edge, edge), _varied(rng, _SKY[light]))
    draw = ImageDraw.Draw(image)
    x = edge * between(rng, 10, 90) // 100
    if light == "night":
        for _ in range(14):
            star = edge * between(rng, 0, 99) // 100, edge * between(rng, 0, 60) // 100
            _dot(draw, *star, edge / 160, (250, 250, 215))
        _dot(draw, x, edge * 0.09, edge * 0.06, (240, 240, 220))
        _dot(draw, x + edge * 0.03, edge * 0.075, edge * 0.05, _SKY["night"])
    else:
        _dot(draw, x, edge * 0.09, edge * 0.075, (255, 236, 120))
    ground = _varied(rng, _GROUND[season], _DARKER if light == "night" else 1.0)
    draw.rectangle((0, edge * between(rng, *_HORIZON) // 100, edge, edge), fill=ground)
    if season in _FLAKES:
        colour, size = _FLAKES[season]
        for _ in range(24):
            place = edge * between(rng, 0, 99) // 100, edge * between(rng, 0, 99) // 100
            _dot(draw, *place, edge * size / 200, colour)
    return image.resize((pixels, pixels), Image.Resampling.BOX)


def compose(rng: random.Random, scene: Scene, draw: Draw, pixels: int) -> Image.Image:
    """Draw a scene.

    Args:
        rng: source of what the scene leaves open: shades, sizes, places within a quarter.
        scene: what to show.
        draw: makes the cut-outs.
        pixels: edge of the picture.

    Returns:
        An RGB picture, in which every cut-out lies within its quarter.
    """
    image = draw_background(rng, scene.light, scene.season, pixels)
    quarter = pixels // 2
    for group in scene.groups:
        for cell in group.cells:
            size = max(8, quarter * between(rng, *_SIZE) // 100)
            piece = draw(group.name, group.colour, size)
            down, right = divmod(CELLS.index(cell), 2)
            x = right * quarter + between(rng, 0, quarter - piece.width)
            y = down * quarter + between(rng, 0, quarter - piece.height)
            image.paste(piece, (x, y), piece)
    return image
