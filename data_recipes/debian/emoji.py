"""Emoji: pictures out of Debian's `fonts-noto-color-emoji`, names and kinds out of its CLDR."""

import io
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .archive import Package

if TYPE_CHECKING:
    from PIL.Image import Image

CLDR, CLDR_LICENCE = "unicode-cldr-core", "Unicode-DFS-2016"
FONT = "fonts-noto-color-emoji"
LICENCE = "Apache-2.0 and OFL-1.1 (Noto Color Emoji)"
# The letter A of the pairs that stand for flags.
_REGIONAL_A = 0x1F1E6
_ROOT = "usr/share/unicode/cldr/common/"
_LABELS = "properties/labels.txt"
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


def read_cldr(package: Package, files: str) -> dict[str, bytes]:
    """Unpack files of CLDR.

    Args:
        package: `unicode-cldr-core`.
        files: pattern of their paths below `common/`, by which they are returned.
    """
    return {path.removeprefix(_ROOT): data for path, data in package.members(_ROOT + files)}


def read_emoji(
    package: Package, languages: Iterable[str]
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """Read what CLDR says of emoji of one character.

    Returns:
        Names by language and character, a language that CLDR lacks left out; and the characters of
        each kind, `animal-bird` say.
    """
    from lxml import etree

    files = read_cldr(package, rf"(annotations/({'|'.join(languages)})\.xml|{re.escape(_LABELS)})")
    names = {}
    for language in languages:
        if (path := f"annotations/{language}.xml") in files:
            found = etree.fromstring(files[path]).iterfind(".//annotation[@type='tts']")
            texts = {each.get("cp"): each.text.strip() for each in found}
            names[language] = {emoji: text for emoji, text in texts.items() if len(emoji) == 1}
    kinds: dict[str, list[str]] = defaultdict(list)
    for match in filter(None, map(_LINE.match, files[_LABELS].decode().splitlines())):
        singles = re.sub(r"\{[^}]*\}", "", match[1])
        for first, last in re.findall(r"(.)(?:-(.))?", singles):
            kinds[match[2]] += map(chr, range(ord(first), ord(last or first) + 1))
    return names, dict(kinds)
