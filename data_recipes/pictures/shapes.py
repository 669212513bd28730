"""The project's own drawings: a dozen things in eight colours, with a dark outline.

A shape is given as polygons and ellipses in a square of 100 by 100, y downwards.
"""

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

# Far apart, so that a small picture still tells them apart.
COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 140, 20),
    "yellow": (250, 220, 50),
    "green": (40, 150, 60),
    "blue": (40, 80, 220),
    "purple": (130, 50, 170),
    "pink": (250, 150, 190),
    "white": (245, 245, 245),
}
_OUTLINE = (25, 25, 25)
_CLEAR = (0, 0, 0, 0)
_FINER = 4  # drawn so many times larger, for smooth edges

Point = tuple[float, float]


class _Pen:
    """Draws on a square of 100 by 100 in one colour."""

    def __init__(self, colour: tuple[int, int, int], pixels: int) -> None:
        self.image = Image.new("RGBA", (pixels, pixels), _CLEAR)
        self._draw = ImageDraw.Draw(self.image)
        self._scale = pixels / 100
        self._line = max(1, round(5 * self._scale))
        self.colour = colour

    def polygon(self, *points: Point) -> None:
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.polygon(scaled, fill=self.colour)
        self._draw.line([*scaled, *scaled[:2]], fill=_OUTLINE, width=self._line, joint="curve")

    def ellipse(self, left: float, top: float, right: float, bottom: float) -> None:
        box = [edge * self._scale for edge in (left, top, right, bottom)]
        self._draw.ellipse(box, fill=self.colour, outline=_OUTLINE, width=self._line)

    def hole(self, left: float, top: float, right: float, bottom: float) -> None:
        box = [edge * self._scale for edge in (left, top, right, bottom)]
        self._draw.ellipse(box, fill=_CLEAR, outline=_OUTLINE, width=self._line)

    def line(self, *points: Point) -> None:
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.line(scaled, fill=_OUTLINE, width=self._line)


def _around(corners: int, radii: tuple[float, ...] = (46,), turn: float = -90) -> list[Point]:
    """Corners about the middle, at radii that take turns."""
    angles = [math.radians(turn + 360 * k / corners) for k in range(corners)]
    return [
        (50 + radii[k % len(radii)] * math.cos(a), 52 + radii[k % len(radii)] * math.sin(a))
        for k, a in enumerate(angles)
    ]


def _heart(pen: _Pen) -> None:
    # x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t (a well-known heart curve).
    turns = [2 * math.pi * k / 60 for k in range(60)]
    pen.polygon(
        *(
            (
                50 + 2.8 * 16 * math.sin(t) ** 3,
                46
                - 2.8
                * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)),
            )
            for t in turns
        )
    )


def _ring(pen: _Pen) -> None:
    pen.ellipse(4, 4, 96, 96)
    pen.hole(30, 30, 70, 70)


def _house(pen: _Pen) -> None:
    pen.polygon((14, 46), (86, 46), (86, 95), (14, 95))
    pen.polygon((4, 48), (50, 6), (96, 48))
    pen.line((42, 95), (42, 68), (58, 68), (58, 95))


def _tree(pen: _Pen) -> None:
    pen.polygon((42, 70), (58, 70), (58, 97), (42, 97))
    pen.polygon((50, 3), (88, 42), (12, 42))
    pen.polygon((50, 26), (94, 74), (6, 74))


def _flower(pen: _Pen) -> None:
    for x, y in _around(6, (27,)):
        pen.ellipse(x - 19, y - 19, x + 19, y + 19)
    pen.ellipse(36, 38, 64, 66)


def _fish(pen: _Pen) -> None:
    pen.polygon((66, 50), (97, 22), (97, 78))
    pen.ellipse(3, 22, 76, 78)
    pen.ellipse(18, 38, 28, 48)


def _boat(pen: _Pen) -> None:
    pen.polygon((4, 66), (96, 66), (78, 95), (22, 95))
    pen.polygon((46, 5), (46, 60), (8, 60))
    pen.polygon((54, 16), (88, 60), (54, 60))


def _cup(pen: _Pen) -> None:
    pen.ellipse(62, 32, 97, 70)
    pen.hole(72, 42, 87, 60)
    pen.polygon((12, 14), (76, 14), (68, 92), (20, 92))


SHAPES: dict[str, Callable[[_Pen], None]] = {
    "circle": lambda pen: pen.ellipse(4, 4, 96, 96),
    "square": lambda pen: pen.polygon((8, 8), (92, 8), (92, 92), (8, 92)),
    "triangle": lambda pen: pen.polygon((50, 6), (96, 92), (4, 92)),
    "star": lambda pen: pen.polygon(*_around(10, (48, 20))),
    "heart": _heart,
    "ring": _ring,
    "house": _house,
    "tree": _tree,
    "flower": _flower,
    "fish": _fish,
    "boat": _boat,
    "cup": _cup,
}


def draw_shape(name: str, colour: str | None, pixels: int) -> Image.Image:
    """Draw a thing of `SHAPES` in one of `COLOURS`, as an RGBA picture of `pixels` by `pixels`."""
    pen = _Pen(COLOURS[colour or "red"], pixels * _FINER)
    SHAPES[name](pen)
    return pen.image.resize((pixels, pixels), Image.Resampling.LANCZOS)
