"""Schema of a picture set."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..common.config_files import CONFIGS as _ALL
from ..common.config_files import Strict

CONFIGS = _ALL / "pictures"

SceneSplit = Literal["train", "heldout_scenes", "heldout_combinations", "heldout_objects"]
SCENE_SPLITS: tuple[SceneSplit, ...] = (
    "train",
    "heldout_scenes",
    "heldout_combinations",
    "heldout_objects",
)


class DrawnConfig(Strict):
    """Things that the project draws itself.

    Attributes:
        things: some of `shapes.SHAPES`; by default all.
        colours: some of `shapes.COLOURS`; by default all.
    """

    things: list[str] | None = None
    colours: list[str] | None = None


class EmojiConfig(Strict):
    """Emoji of Debian's Noto font, with the names that Unicode's CLDR has for them.

    Attributes:
        kinds: of CLDR's `labels.txt`, as `animal-bird`.
        most: things to take; which ones is drawn by the seed.
        leave_out: English names of those that are no thing to be counted.
    """

    kinds: list[str] = Field(min_length=1)
    most: int = Field(gt=3)
    leave_out: list[str] = []


class StampsConfig(Strict):
    """Stamps of Debian's Tux Paint, with the captions that people wrote.

    Attributes:
        folders: below the package's `stamps`, as `animals`; by default all.
        most: things to take; by default all that fit.
    """

    folders: list[str] | None = None
    most: int | None = Field(default=None, gt=3)


class HeldoutConfig(Strict):
    """What training never shows.

    Attributes:
        objects: number of things, drawn by the seed.
        combinations_every: one in so many combinations. A combination is a thing in a colour, or,
            of things that have their own, two in one picture.
    """

    objects: int = Field(gt=0)
    combinations_every: int = Field(gt=2)


class PicturesConfig(Strict):
    """A picture set. Everything lies under `output_dir`.

    Attributes:
        output_dir: `images`, `<split>.jsonl`, `scenes.jsonl`, `manifest.json`.
        drawn: cut-outs by the project itself; one of `drawn`, `emoji` and `stamps` is given.
        emoji: cut-outs from a font.
        stamps: cut-outs from Tux Paint.
        languages: tables of words and sentences, as files or by the names of those in
            `data_recipes/configs/pictures/languages`.
        pixels: edge of a picture.
        most_things: in one picture.
        scenes: pictures of each split. `heldout_scenes` are new pictures of what training shows.
        heldout: what training does not show.
        licence: of pictures and text together.
        seed: another one gives other scenes, and holds out other things.
    """

    output_dir: Path
    drawn: DrawnConfig | None = None
    emoji: EmojiConfig | None = None
    stamps: StampsConfig | None = None
    languages: list[str] = Field(min_length=1)
    pixels: int = Field(ge=32, le=1024)
    most_things: int = Field(default=4, ge=2, le=4)
    scenes: dict[SceneSplit, int]
    heldout: HeldoutConfig
    licence: str = Field(min_length=1)
    seed: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> "PicturesConfig":
        given = [name for name in ("drawn", "emoji", "stamps") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of drawn, emoji and stamps, not {' and '.join(given) or 'none'}"
            )
        if absent := [split for split in SCENE_SPLITS if self.scenes.get(split, 0) < 1]:
            raise ValueError(f"scenes: how many of {', '.join(absent)}? At least 1 each")
        if len(set(self.languages)) != len(self.languages):
            raise ValueError("languages: one is given twice")
        return self
