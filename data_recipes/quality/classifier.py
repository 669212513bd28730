"""The classifier as it is trained and served: one way to write a document as a line, one score."""

import json
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import fasttext
import numpy as np

from ..common.errors import RecipeError
from ..common.files import sha256_file

MODEL = "model.bin"
RECIPE = "training.json"
REPORT = "report.json"
POSITIVE = "__label__positive"
NEGATIVE = "__label__negative"


def line_of(text: str) -> str:
    """A document as fastText reads one: a single line. Applied at training and at serving alike.

    Line ends become spaces (DCLM does so too; left out, words on both sides grow together). Two
    spellings mean something to fastText and are taken apart: a label, which would be learned as
    one, and its end-of-line word, after which it reads no further.
    """
    line = " ".join(text.splitlines())
    return line.replace("__label__", "__ label __").replace("</s>", "</ s >")


def fasttext_version() -> dict[str, str]:
    """Version by name of the installed distribution that gives the module `fasttext`."""
    return {name: version(name) for name in packages_distributions()["fasttext"]}


class Classifier:
    """A trained classifier.

    Args:
        directory: with `model.bin` and the `training.json` that goes with it.

    Raises:
        RecipeError: a file is missing or damaged, or the two do not belong together.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.recipe = read_recipe(directory)
        path = directory / MODEL
        if not path.is_file():
            raise RecipeError(f"{path}: no such quality classifier")
        if sha256_file(path) != self.recipe["model_sha256"]:
            raise RecipeError(
                f"{path}: not the model that {RECIPE} beside it describes (checksum differs); "
                "copy both files again, or delete the directory to train the classifier again"
            )
        try:
            self._model = fasttext.load_model(str(path)).f
        except ValueError as error:
            raise RecipeError(f"{path}: not a fastText model ({error})") from error

    def scores(self, texts: list[str]) -> np.ndarray:
        """Probability that a text is of the positive class, float32 [texts]."""
        # The module's own `predict` breaks with numpy 2 in some builds; the binding under it, with
        # the line end that training lines have, does not.
        found = (self._model.predict(line_of(text) + "\n", 1, 0.0, "strict") for text in texts)
        positive = (p if label == POSITIVE else 1 - p for ((p, label),) in found)
        # fastText's probabilities run up to 1.00001.
        return np.fromiter(positive, np.float32, len(texts)).clip(0, 1)


def read_recipe(directory: Path) -> dict[str, Any]:
    """The recipe that a classifier carries.

    Raises:
        RecipeError: there is none, or it is not one.
    """
    path = directory / RECIPE
    if not path.is_file():
        raise RecipeError(
            f"{path}: no such file; a quality classifier is a directory with {MODEL} and the "
            f"{RECIPE} that says how it was trained"
        )
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(recipe, dict) or not {"model_sha256", "language"} <= recipe.keys():
        raise RecipeError(f"{path}: not the recipe of a quality classifier (no model_sha256)")
    return recipe
