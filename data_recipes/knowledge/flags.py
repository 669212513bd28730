"""Pictures of what is asked about: plain flags drawn here, and any picture put into a scene."""

import random
from typing import TYPE_CHECKING

from .world import Flag

if TYPE_CHECKING:
    from PIL.Image import Image

_COLOURS = {
    "black": (20, 20, 20), "white": (250, 250, 250), "red": (205, 25, 40), "green": (0, 130, 65),
    "blue": (10, 50, 150), "skyblue": (70, 160, 225), "yellow": (250, 210, 10),
    "gold": (255, 200, 0), "orange": (245, 135, 25), "maroon": (150, 40, 55),
}  # fmt: skip
# Units of a flag, two by three; every stripe of up to six falls on whole ones.
_HEIGHT, _WIDTH = 60, 90


def draw_flag(flag: Flag) -> "Image":
    """Draw a flag, 90 by 60 pixels."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (_WIDTH, _HEIGHT))
    draw = ImageDraw.Draw(picture)
    for number, colour in enumerate(stripes := flag.rows.split()):
        step = _HEIGHT / len(stripes)
        draw.rectangle((0, number * step, _WIDTH, (number + 1) * step), _COLOURS[colour])
    for number, colour in enumerate(stripes := flag.columns.split()):
        step = _WIDTH / len(stripes)
        draw.rectangle((number * step, 0, (number + 1) * step, _HEIGHT), _COLOURS[colour])
    if flag.disc:
        colour, share = flag.disc.split()
        radius = _HEIGHT * float(share) / 2
        draw.circle((_WIDTH / 2, _HEIGHT / 2), radius, _COLOURS[colour])
    for number, colour in enumerate(flag.cross.split()):
        half = (8, 4)[number]
        draw.rectangle((33 - half, 0, 33 + half, _HEIGHT), _COLOURS[colour])
        draw.rectangle((0, 30 - half, _WIDTH, 30 + half), _COLOURS[colour])
    if flag.plus:
        draw.rectangle((39, 12, 51, 48), _COLOURS[flag.plus])
        draw.rectangle((27, 24, 63, 36), _COLOURS[flag.plus])
    if flag.triangle:
        draw.polygon(((0, 0), (40, 30), (0, _HEIGHT)), _COLOURS[flag.triangle])
    if flag.hoist:
        draw.rectangle((0, 0, 28, _HEIGHT), _COLOURS[flag.hoist])
    return picture


def place(picture: "Image", size: int, rng: random.Random) -> "Image":
    """Put a picture somewhere on a grey square, at 70 to 95 % of its width: a view of its own.

    Args:
        picture: RGB, or RGBA whose transparent part shows the square.
        size: of the square, in pixels.
        rng: draws grey, size and place.
    """
    from PIL import Image

    square = Image.new("RGB", (size, size), (rng.randint(90, 170),) * 3)
    width = round(size * rng.uniform(0.7, 0.95))
    height = max(1, round(width * picture.height / picture.width))
    if height > size:
        width, height = max(1, round(width * size / height)), size
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    corner = rng.randint(0, size - width), rng.randint(0, size - height)
    square.paste(small, corner, small if small.mode == "RGBA" else None)
    return square
