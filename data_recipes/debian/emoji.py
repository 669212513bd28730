"""Emoji: pictures out of the bitmaps of Debian's `fonts-noto-color-emoji`, kinds by Unicode."""

import io
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from .archive import Package

if TYPE_CHECKING:
    from PIL.Image import Image

LICENCE = "Apache-2.0 and OFL-1.1 (Noto Color Emoji)"
# The letter A of the pairs that stand for flags.
_REGIONAL_A = 0x1F1E6
_LINE = re.compile(r"\[(.*)\]\s*;\s*[^;]+;\s*([\w-]+)\s*$")


class NotoPictures:
    """The bitmaps of the font by entity. Read from its tables: text layout is not needed, which
    Pillow has only with a library that many machines lack.
    """

    def __init__(self, package: Package) -> None:
        from fontTools.ttLib import TTFont

        ((_, data),) = package.members(r".*/NotoColorEmoji\.ttf")
        font = TTFont(io.BytesIO(data))
        self._glyphs = font.getBestCmap()
        self._bitmaps = font["CBDT"].strikeData[0]
        self._pairs: dict[tuple[str, str], str] = {}
        for lookup in font["GSUB"].table.LookupList.Lookup:
            for table in lookup.SubTable:
                for first, ligatures in getattr(table, "ligatures", {}).items():
                    for ligature in ligatures:
                        if len(ligature.Component) == 1:
                            self._pairs[first, ligature.Component[0]] = ligature.LigGlyph

    def _glyph(self, entity: str) -> str | None:
        kind, _, code = entity.partition(":")
        if kind == "emoji":
            return self._glyphs.get(int(code, 16))
        if kind == "country" and len(code) == 2 and code.isalpha():
            letters = [self._glyphs[_REGIONAL_A + ord(letter) - ord("A")] for letter in code]
            return self._pairs.get((letters[0], letters[1]))
        return None

    def draw(self, entity: str) -> "Image | None":
        """Draw an emoji or the flag of a country, 136 by 128 pixels with transparency.

        Returns:
            `None` if the font has no picture of it.
        """
        from PIL import Image

        glyph = self._glyph(entity)
        if glyph is None or glyph not in self._bitmaps:
            return None
        return Image.open(io.BytesIO(self._bitmaps[glyph].imageData)).convert("RGBA")


def emoji_kinds(labels: str) -> dict[str, list[str]]:
    """Read the characters of each kind of emoji, `animal-bird` say; sequences are left out.

    Args:
        labels: CLDR's `properties/labels.txt`.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for match in filter(None, map(_LINE.match, labels.splitlines())):
        singles = re.sub(r"\{[^}]*\}", "", match[1])
        for first, last in re.findall(r"(.)(?:-(.))?", singles):
            kinds[match[2]] += map(chr, range(ord(first), ord(last or first) + 1))
    return dict(kinds)
