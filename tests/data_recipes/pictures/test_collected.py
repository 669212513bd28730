"""Cut-outs of a Debian machine, from small packages in the form of the real ones."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.debian import archive
from data_recipes.debian.archive import Package
from data_recipes.pictures import collected
from data_recipes.pictures.config import CONFIGS, EmojiConfig, PicturesConfig, StampsConfig
from data_recipes.pictures.run import make_pictures

_STAMPS = {
    "animals/dog": "A dog.\nko.utf8=개 (강아지)\nja.utf8=犬\n",
    "animals/owl": "An owl!\nko.utf8=올빼미\nja.utf8=ふくろう\n",
    "animals/yak": "A yak.\nko.utf8=야크는 소입니다.\n",
    "food/pear": "A pear.\nko.utf8=배\n",
    "food/plum": "A plum.\nko.utf8=자두\n",
    "food/plum2": "A plum.\nko.utf8=오얏\n",
    "food/fig": "A fig.\nko.utf8=무화과\n",
    "food/lime": "A lime.\n",
    "food/oil": "Oil.\nko.utf8=기름\n",
    "town/inn": "An inn.\nko.utf8=주막\n",
    "town/mill": "A mill.\nko.utf8=방앗간\n",
}


class _Deb(Package):
    """A package whose files are given."""

    files: dict[str, bytes]

    def members(self, pattern: str) -> list[tuple[str, bytes]]:
        return sorted((p, d) for p, d in self.files.items() if re.fullmatch(pattern, p))


def deb(name: str, files: dict[str, bytes]) -> Package:
    package = _Deb(name, "1.0", Path("/none"))
    object.__setattr__(package, "files", files)
    return package


def _png(edge: int = 90) -> bytes:
    image = Image.new("RGBA", (edge, edge // 2), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((30, 10, 49, 19), fill=(250, 0, 250, 255))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def stamps() -> dict[str, Package]:
    root = "usr/share/tuxpaint/stamps"
    files = {f"{root}/{key}.txt": text.encode() for key, text in _STAMPS.items()}
    files |= {f"{root}/{key}.png": _png() for key in _STAMPS if key != "town/mill"}
    files[f"{root}/town/mill.svg"] = b"<svg/>"
    return {collected.STAMPS: deb(collected.STAMPS, files)}


def test_stamps_are_things_by_the_nouns_in_their_captions(stamps: dict[str, Package]) -> None:
    catalogue = collected.stamps_catalogue(StampsConfig(), ["en", "ko"], stamps, 0)
    assert catalogue.names["ko"] == {
        "animals/dog": "개",
        "animals/owl": "올빼미",
        "food/fig": "무화과",
        "food/pear": "배",
        "food/plum": "자두",
        "town/inn": "주막",
    }
    assert catalogue.names["en"]["animals/owl"] == "owl"
    assert catalogue.things == sorted(catalogue.names["ko"])
    # What is no noun keeps what people wrote; what lacks a caption or a picture is left out.
    assert catalogue.alone == ["animals/yak", "food/oil", "food/plum2"]
    assert catalogue.captions["ko"]["animals/yak"] == "야크는 소입니다."
    left_out = catalogue.sources[0]["left_out"]
    assert left_out["a drawing in SVG"] == left_out["no name in ko"] == 1
    assert left_out["another has its name"] == left_out["no article"] == 1
    # Its empty margin is cut off, and its shape kept.
    piece = catalogue.draw("food/fig", None, 40)
    assert piece.size == (40, 20) and piece.getpixel((20, 10)) == (250, 0, 250, 255)
    japanese = collected.stamps_catalogue(StampsConfig(), ["ja"], stamps, 0)
    assert japanese.names["ja"] == {"animals/dog": "犬", "animals/owl": "ふくろう"}
    with pytest.raises(RecipeError, match="no 'fod'; there are animals, food, town"):
        collected.stamps_catalogue(StampsConfig(folders=["fod"]), ["en"], stamps, 0)


def _annotations(names: dict[str, str]) -> bytes:
    rows = "".join(
        f'<annotation cp="{c}">x | y</annotation><annotation cp="{c}" type="tts">{n}</annotation>'
        for c, n in names.items()
    )
    return f"<ldml><annotations>{rows}</annotations></ldml>".encode()


def test_emoji_have_unicodes_names(monkeypatch: pytest.MonkeyPatch) -> None:
    root = "usr/share/unicode/cldr/common"
    english = {"🐕": "dog", "🐈": "cat", "🐐": "goat", "🐃": "water buffalo", "🍇": "grapes"}
    korean = {"🐕": "개", "🐈": "고양이", "🐐": "염소", "🐃": "물소", "🍇": "포도"}
    labels = "# x\n[🐃🐈🐐🐕{🐕‍🦺}] ; Animals ; animal-mammal\n[🍇🍞] ; Food ; food-fruit\n"
    files = {
        f"{root}/annotations/en.xml": _annotations(english | {"🍞": "bread"}),
        f"{root}/annotations/ko.xml": _annotations(korean | {"🍞": "빵"}),
        f"{root}/properties/labels.txt": labels.encode(),
    }

    class Pictures:
        def __init__(self, package: Package) -> None:
            assert package.name == collected.FONT

        def draw(self, entity: str) -> Image.Image | None:
            return None if entity == "emoji:1F410" else Image.open(io.BytesIO(_png()))

    monkeypatch.setattr(collected, "NotoPictures", Pictures)
    packages = {collected.CLDR: deb(collected.CLDR, files)}
    packages[collected.FONT] = deb(collected.FONT, {})
    config = EmojiConfig(kinds=["animal-mammal", "food-fruit"], most=9, leave_out=["bread"])
    catalogue = collected.emoji_catalogue(config, ["en", "ko"], packages, 0)
    assert sorted(catalogue.names["ko"].values()) == ["개", "고양이", "물소"]
    assert catalogue.sources[0]["left_out"] == {
        "not in the font": 1,
        "no plain noun": 1,
        "left out by the recipe": 1,
    }
    for wrong, message in ((["en", "xx"], "no emoji in 'xx'"), (["ko"], "no 'fish'")):
        given = config if "xx" in wrong else EmojiConfig(kinds=["fish"], most=9)
        with pytest.raises(RecipeError, match=message):
            collected.emoji_catalogue(given, wrong, packages, 0)


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_set_of_stamps_is_made_end_to_end(
    stamps: dict[str, Package], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People's captions under single things, pairs that training never joins, nothing counted."""
    monkeypatch.setattr(archive, "fetch_packages", lambda names: stamps)
    scenes = "scenes={train: 60, heldout_scenes: 9, heldout_combinations: 9, heldout_objects: 9}"
    heldout = "heldout={objects: 1, combinations_every: 4}"
    given = [f"output_dir={tmp_path / 'set'}", scenes, heldout]
    config = load_config(CONFIGS / "stamps.yaml", PicturesConfig, given)
    manifest = make_pictures(config)
    assert manifest["counts"]["train"]["pictures"] == 63
    assert manifest["sources"][0]["licence"] == "GPL-2+"
    new, pairs = set(manifest["heldout"]["objects"]), manifest["heldout"]["combinations"]
    captions: set[str] = set()
    for split in ("train", "heldout_scenes", "heldout_combinations", "heldout_objects"):
        for row in _rows(config.output_dir, split):
            names = {thing["name"] for thing in row["scene"]["things"]}
            assert bool(names & new) == (split == "heldout_objects")
            joined = any(set(pair) <= names for pair in pairs)
            assert joined == (split == "heldout_combinations")
            assert row["ask"] != "count" and all(
                thing["count"] == 1 and thing["colour"] is None for thing in row["scene"]["things"]
            )
            if row["kind"] == "caption" and len(names) == 1 and row["language"] == "ko":
                captions.add(row["messages"][-1]["content"][0]["text"])
    assert captions >= {"야크는 소입니다.", "기름", "오얏"} and "개 (강아지)" in captions
    images = {row["images"][0] for row in _rows(config.output_dir, "scenes")}
    assert len(images) == 90 and all((config.output_dir / path).is_file() for path in images)
