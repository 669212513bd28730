"""Cut-outs that a Debian machine has: emoji with Unicode's names, stamps with people's captions.

Packages are fetched with apt, which checks their signatures, and read in memory; nothing is
installed, and nothing of them ships with the recipes.
"""

import io
import random
import re
from collections import Counter
from functools import lru_cache
from typing import Any

from PIL import Image

from ..common.errors import RecipeError
from ..debian.archive import Package
from ..debian.emoji import CLDR, CLDR_LICENCE, FONT, LICENCE, NotoPictures, read_emoji
from ..toy.items.types import distinct
from .config import EmojiConfig, StampsConfig
from .scenes import Catalogue

STAMPS = "tuxpaint-stamps-default"
PACKAGES = {"emoji": (CLDR, FONT), "stamps": (STAMPS,)}
_KEPT = 256  # pixels; a stamp is never drawn larger in a set, and some are photographs

# Nouns that can stand in a sentence: one English noun or two, no plural; Hangul words in Korean.
_NOUNS = {
    "en": re.compile(r"[a-z]+(?:[ -][a-z]+)?(?<![^s]s)"),
    "ko": re.compile(r"[가-힣]+(?: [가-힣]+){0,3}(?<![다요죠])"),
}
_ANY_NOUN = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+){0,3}")
_ARTICLE = re.compile(r"^an? ", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*[(（][^()（）]*[)）]\s*")


def as_noun(text: str, language: str) -> str | None:
    """Return what a name or caption names as a noun without article; `None` if it is more."""
    noun = _BRACKETS.sub(" ", text.strip().rstrip(".!")).strip()
    if language == "en":
        noun = _ARTICLE.sub("", noun)
        noun = noun[:1].lower() + noun[1:]
    return noun if _NOUNS.get(language, _ANY_NOUN).fullmatch(noun) else None


def _choose(keys: list[str], most: int | None, seed: int) -> list[str]:
    if most is None or len(keys) <= most:
        return keys
    chosen = distinct(random.Random(f"{seed}/things"), len(keys), most)
    return sorted(keys[i] for i in chosen)


class _Nouns:
    """Collects things that have a noun of their own in every language, and counts the others."""

    def __init__(self, languages: list[str]) -> None:
        self.names: dict[str, dict[str, str]] = {language: {} for language in languages}
        self._taken: dict[str, set[str]] = {language: set() for language in languages}
        self.left_out: Counter[str] = Counter()

    def add(self, key: str, texts: dict[str, str], refused: list[str]) -> bool:
        """Add a thing by what it is called; gives whether it was."""
        nouns = {language: as_noun(texts.get(language, ""), language) for language in self.names}
        reason = None
        if absent := [language for language in self.names if language not in texts]:
            reason = f"no name in {absent[0]}"
        elif None in nouns.values():
            reason = "no plain noun"
        elif nouns.get("en") in refused:
            reason = "left out by the recipe"
        elif any(noun in self._taken[language] for language, noun in nouns.items()):
            reason = "another has its name"
        if reason is not None:
            self.left_out[reason] += 1
            return False
        for language, noun in nouns.items():
            self.names[language][key] = noun
            self._taken[language].add(noun)
        return True


def _source(package: Package, licence: str, left_out: Counter[str] | None = None) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": package.name, "version": package.version, "licence": licence}
    return facts | ({"left_out": dict(left_out)} if left_out else {})


def _fitted(image: Image.Image, pixels: int) -> Image.Image:
    """Scale a picture so that its longer side has so many pixels."""
    scale = pixels / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


def emoji_catalogue(
    config: EmojiConfig, languages: list[str], packages: dict[str, Package], seed: int
) -> Catalogue:
    """Take emoji that have a plain noun for a name in every language.

    Raises:
        RecipeError: a kind that Unicode does not have, a language that CLDR does not have.
    """
    names, kinds = read_emoji(packages[CLDR], languages)
    if unknown := [kind for kind in config.kinds if kind not in kinds]:
        raise RecipeError(f"emoji.kinds: no {unknown[0]!r}; there are {', '.join(sorted(kinds))}")
    if absent := [language for language in languages if language not in names]:
        raise RecipeError(f"languages: Unicode's CLDR names no emoji in {absent[0]!r}")
    pictures, nouns, keys = NotoPictures(packages[FONT]), _Nouns(languages), []
    for character in (character for kind in config.kinds for character in kinds[kind]):
        key = f"emoji:{ord(character):X}"
        if pictures.draw(key) is None:
            nouns.left_out["not in the font"] += 1
            continue
        texts = {code: own[character] for code, own in names.items() if character in own}
        if nouns.add(key, texts, config.leave_out):
            keys.append(key)

    def draw(name: str, colour: str | None, pixels: int) -> Image.Image:
        return _fitted(pictures.draw(name), pixels)

    sources = [
        _source(packages[CLDR], CLDR_LICENCE, nouns.left_out),
        _source(packages[FONT], LICENCE),
    ]
    things = _choose(sorted(keys), config.most, seed)
    return Catalogue("emoji", things, [], nouns.names, draw, sources)


def _captions(text: str) -> dict[str, str]:
    """Read a stamp's captions by language: English first, then a line `ko.utf8=` each."""
    lines = text.splitlines() or [""]
    captions = {"en": lines[0].strip()}
    for line in lines[1:]:
        language, found, caption = line.partition(".utf8=")
        if found and caption.strip():
            captions[language] = caption.strip()
    return {language: caption for language, caption in captions.items() if caption}


def stamps_catalogue(
    config: StampsConfig, languages: list[str], packages: dict[str, Package], seed: int
) -> Catalogue:
    """Take stamps: those whose captions are nouns as things, all others for their captions alone.

    Raises:
        RecipeError: a folder that the package does not have.
    """
    root = "usr/share/tuxpaint/stamps/"
    members = packages[STAMPS].members(rf"{root}.*\.(png|txt|svg)")
    files = {path.removeprefix(root): data for path, data in members}
    folders = sorted({path.partition("/")[0] for path in files})
    if unknown := [name for name in config.folders or [] if name not in folders]:
        raise RecipeError(f"stamps.folders: no {unknown[0]!r}; there are {', '.join(folders)}")
    nouns, keys, alone = _Nouns(languages), [], []
    captions: dict[str, dict[str, str]] = {language: {} for language in languages}
    for path in sorted(files):
        key = path.removesuffix(".txt")
        if not path.endswith(".txt") or key.partition("/")[0] not in (config.folders or folders):
            continue
        if f"{key}.png" not in files:
            nouns.left_out["a drawing in SVG" if f"{key}.svg" in files else "no picture"] += 1
            continue
        texts = _captions(files[path].decode("utf-8", "replace"))
        # "Three." and "Happy." name no thing that could lie beside another; "A bull." does.
        named = _ARTICLE.match(texts.get("en", ""))
        thing = bool(named) and nouns.add(key, texts, [])
        nouns.left_out["no article"] += not named
        if all(language in texts for language in languages):
            (keys if thing else alone).append(key)
            for language in languages:
                captions[language][key] = texts[language]

    @lru_cache(maxsize=512)
    def load(name: str) -> Image.Image:
        with Image.open(io.BytesIO(files[f"{name}.png"])) as image:
            whole = image.convert("RGBA")
        # Many have a wide empty margin, in which the thing would be small.
        box = whole.getchannel("A").getbbox() or (0, 0, *whole.size)
        return _fitted(whole.crop(box), _KEPT)

    def draw(name: str, colour: str | None, pixels: int) -> Image.Image:
        return _fitted(load(name), pixels)

    sources = [_source(packages[STAMPS], "GPL-2+", nouns.left_out)]
    things = _choose(sorted(keys), config.most, seed)
    return Catalogue(
        "stamps", things, [], nouns.names, draw, sources, captions=captions, alone=alone
    )
