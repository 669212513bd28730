"""Korean morphemes by the analyser Kiwi, as datatrove and so FineWeb-2 count words."""

import importlib.util
import re
from collections.abc import Iterable
from importlib.metadata import version

from ..common.errors import RecipeError

VERSION = "0.21"
# datatrove's KiwiTokenizer takes long numbers out, which Kiwi has trouble with.
_LONG_NUMBER = re.compile("[0-9,]{20,}")


def check_kiwi() -> None:
    """Raise unless Kiwi can be used.

    Raises:
        RecipeError: it is missing, or another version, whose morphemes are others.
    """
    remedy = f"pip install 'kiwipiepy=={VERSION}.*' 'kiwipiepy_model=={VERSION}.*'"
    if importlib.util.find_spec("kiwipiepy") is None:
        raise RecipeError(
            f"a profile with `words: kiwi` needs the Korean analyser Kiwi: {remedy}; or use the "
            "profile ko_eojeol, which needs none"
        )
    for name in ("kiwipiepy", "kiwipiepy_model"):
        if (found := version(name)) != VERSION and not found.startswith(f"{VERSION}."):
            raise RecipeError(
                f"{name} {found} is installed; FineWeb-2's numbers go with the morphemes of "
                f"{VERSION}, the newest that datatrove supports: {remedy}"
            )


class KiwiWords:
    """Finds morphemes with datatrove's settings (model type `sbg`).

    Raises:
        RecipeError: Kiwi is missing, or another version.
    """

    def __init__(self) -> None:
        check_kiwi()
        from kiwipiepy import Kiwi

        # One thread: the step runs as many tasks as there are cores.
        self._kiwi = Kiwi(num_workers=1, model_type="sbg")

    def words(self, texts: Iterable[str]) -> list[list[str]]:
        """Words of each text, as written; a contraction gives its spelling once per morpheme.

        Where a text holds a number of 20 digits or more, datatrove 0.10 cuts the words behind it
        from the wrong places of the text, off by its length. Here they are the words.
        """
        cleaned = [_LONG_NUMBER.sub("", text) for text in texts]
        return [
            [word for t in tokens if (word := text[t.start : t.end].strip())]
            for text, tokens in zip(cleaned, self._kiwi.tokenize(cleaned))
        ]
