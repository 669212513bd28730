"""A picture set on disk: pictures, rows for training and for the held-out splits, a manifest.

`images/*.png`, `<split>.jsonl` with a question or caption a row, `scenes.jsonl` with a picture a
row, and `manifest.json`, written last. A row:

    id, item     `item` is the same for one question in several languages
    images       paths below the directory
    messages     user and assistant turns, contents as lists of parts ({"type": "image"} first)
    kind         one of `questions.KINDS`
    ask          which question it is, `exists`, say
    language     its code
    scene        what the picture shows
    answers      what is exactly right, for the last turn; absent for captions
    truth        of questions of yes or no alone
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..common.errors import RecipeError
from ..common.files import (
    MANIFEST,
    disk_full_is_an_error,
    open_staged,
    sha256_file,
    write_json_atomically,
)
from ..read.conversations import about_picture
from .compose import compose
from .config import SCENE_SPLITS, PicturesConfig, SceneSplit
from .language import Language
from .questions import Questions, SceneQuestion, caption_of
from .scenes import Catalogue, Holdout, Scene, draw_scenes

SCENES = "scenes"

Row = dict[str, Any]


class PictureSet:
    """The scenes of a recipe and everything that is written about them.

    Args:
        config: the recipe.
        catalogue: its cut-outs.
        languages: what it is written in.

    Attributes:
        folder: where it lies.
    """

    def __init__(
        self, config: PicturesConfig, catalogue: Catalogue, languages: list[Language]
    ) -> None:
        self.folder = config.output_dir
        self._config = config
        self._catalogue = catalogue
        self._languages = languages
        self._alone = frozenset(catalogue.alone)
        self.holdout = Holdout(catalogue, config.heldout, config.seed)

    def scenes(self) -> Iterator[tuple[SceneSplit, str, Scene]]:
        """Yield every scene with its split and its number, in order."""
        number = 0
        for split in SCENE_SPLITS:
            for scene in draw_scenes(self._config, self._catalogue, self.holdout, split):
                number += 1
                yield split, f"{number:06d}", scene

    def draw_images(self) -> None:
        """Draw the pictures that are not there yet."""
        images = self.folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        total = sum(self._config.scenes.values()) + len(self._catalogue.alone)
        with tqdm(total=total, unit=" pictures", desc="drawn") as bar:
            for _, number, scene in self.scenes():
                path = images / f"{number}.png"
                if not path.is_file():
                    self._draw(scene, number, path)
                bar.update()

    def _draw(self, scene: Scene, number: str, path: Path) -> None:
        rng = random.Random(f"{self._config.seed}/{number}/picture")
        image = compose(rng, scene, self._catalogue.draw, self._config.pixels)
        staged = path.with_name(f"{path.name}.tmp")
        with disk_full_is_an_error(path):
            # Not flushed one by one, which is slow: a picture lost with the power is drawn again.
            image.save(staged, "PNG")
            staged.replace(path)

    def write_rows(self) -> None:
        """Write the rows of each split, then one row a picture."""
        scenes: list[Row] = []
        counts: dict[str, Any] = {}
        for split in SCENE_SPLITS:
            questions = Questions(self.holdout.shown(split), self._catalogue.repeats)
            own = [(number, scene) for where, number, scene in self.scenes() if where == split]
            tally: Counter[str] = Counter()
            truths: Counter[bool] = Counter()
            with open_staged(self.folder / f"{split}.jsonl") as file:
                for number, scene in own:
                    for row in self._rows(number, scene, questions):
                        tally[f"{row['language']}/{row['kind']}"] += 1
                        if "truth" in row:
                            truths[row["truth"]] += 1
                        file.write(json.dumps(row, ensure_ascii=False) + "\n")
            scenes += [self._scene_row(split, number, scene) for number, scene in own]
            counts[split] = {
                "pictures": len(own),
                "rows": dict(sorted(tally.items())),
                "yes": truths[True],
                "no": truths[False],
            }
        with open_staged(self.folder / f"{SCENES}.jsonl") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in scenes)
        self._write_manifest(counts)

    def _rows(self, number: str, scene: Scene, questions: Questions) -> Iterator[Row]:
        wording = random.Random(f"{self._config.seed}/{number}/words")
        if scene.groups[0].name in self._alone:
            items = [caption_of(scene)]
        else:
            drawn = random.Random(f"{self._config.seed}/{number}/questions")
            items = questions.about(drawn, scene)
        for place, item in enumerate(items):
            name = f"{number}-{place:02d}"
            for language in self._languages:
                messages, answers = _converse(wording, language, item)
                row = {
                    "id": f"{name}-{language.code}",
                    "item": name,
                    "images": [f"images/{number}.png"],
                    "messages": messages,
                    "kind": item.kind,
                    "ask": item.turns[-1].ask if item.turns else item.ask,
                    "language": language.code,
                    "scene": scene.record(),
                }
                row |= {"answers": answers} if answers else {}
                yield row | ({} if item.truth is None else {"truth": item.truth})

    def _scene_row(self, split: str, number: str, scene: Scene) -> Row:
        tags = {
            language.code: [t for g in scene.groups if (t := language.describe(g)) is not None]
            for language in self._languages
        }
        return {
            "id": number,
            "image": f"images/{number}.png",
            "images": [f"images/{number}.png"],
            "split": split,
            "scene": scene.record(),
            "tags": tags,
        }

    def _write_manifest(self, counts: dict[str, Any]) -> None:
        files = [f"{name}.jsonl" for name in (*SCENE_SPLITS, SCENES)]
        manifest = {
            "kind": self._catalogue.kind,
            "languages": {
                language.code: {"yes": language.yes, "no": language.no}
                for language in self._languages
            },
            "licence": self._config.licence,
            "sources": self._catalogue.sources,
            "pixels": self._config.pixels,
            "seed": self._config.seed,
            "heldout": {
                "objects": self.holdout.objects,
                "combinations": [list(map(str, pair)) for pair in self.holdout.combinations],
            },
            "counts": counts,
            "sha256": {name: sha256_file(self.folder / name) for name in files},
        }
        write_json_atomically(self.folder / MANIFEST, manifest)


def _converse(
    rng: random.Random, language: Language, item: SceneQuestion
) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the turns of an item, and the answers that are right for the last."""
    if item.kind == "caption":
        return about_picture([language.caption(rng, item)]), []
    asked = [language.question(rng, turn) for turn in item.turns or (item,)]
    return about_picture((question, answers[0]) for question, answers in asked), asked[-1][1]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a whole set.

    Raises:
        RecipeError: there is none, or it is damaged.
    """
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{folder}: no whole picture set ({error}); make one with `kormo data pictures`"
        ) from error
