"""Language identification of a bounded part of each document, without a network.

Two kinds of model: py3langid (Lui and Baldwin 2012, "langid.py"; its model is part of the wheel),
whose byte automaton and naive Bayes score run here as a kernel, because the package's own loop in
Python would be the slowest part of the whole chain; and any fastText model file.
"""

import unicodedata
from functools import lru_cache
from typing import Protocol

import fasttext
import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from ..common.errors import RecipeError
from ..text.kernels import kernel
from .profiles import BUILT_IN, LanguageId

_LABEL = "__label__"
_ABREAST = 8  # texts walked through side by side


class LanguageDetector(Protocol):
    """Finds the most likely language of texts."""

    labels: list[str]

    def detect(self, texts: list[str]) -> tuple[list[str], np.ndarray]:
        """Most likely label of each text, and its probability, float32 [texts]."""


def load_detector(config: LanguageId) -> LanguageDetector:
    """The detector that a profile asks for.

    Raises:
        RecipeError: not a model, or one that does not know the language.
    """
    built_in = config.model == BUILT_IN
    detector = _langid() if built_in else FastTextDetector(config.model)
    if config.label not in detector.labels:
        raise RecipeError(
            f"language_id: {config.model} knows no label {config.label!r}; it knows "
            f"{', '.join(sorted(detector.labels))}"
        )
    return detector


class FastTextDetector:
    """A fastText classifier of languages.

    Args:
        path: `.bin` or `.ftz` file.

    Raises:
        RecipeError: not a fastText model.
    """

    def __init__(self, path: str) -> None:
        try:
            self._model = fasttext.load_model(path).f
        except ValueError as error:
            raise RecipeError(f"{path}: not a fastText model ({error})") from error
        names, _ = self._model.getLabels("strict")
        self.labels = [name.removeprefix(_LABEL) for name in names]

    def detect(self, texts: list[str]) -> tuple[list[str], np.ndarray]:
        labels, scores = [], np.zeros(len(texts), np.float32)
        for row, text in enumerate(texts):
            # fastText reads one line, up to a line end or its own word for one.
            line = " ".join(text.split()).replace("</s>", " ") + "\n"
            best = self._model.predict(line, 1, 0.0, "strict")
            labels.append(best[0][1].removeprefix(_LABEL) if best else "")
            scores[row] = best[0][0] if best else 0
        return labels, scores


class LangidDetector:
    """The model of py3langid: the same scores as its `LanguageIdentifier` with `norm_probs`."""

    def __init__(self) -> None:
        model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self.labels = model.labels
        classes = model.nb_classes
        self._column = np.array([model.labels.index(c) for c in classes], np.int64)
        self._weights = np.ascontiguousarray(model.nb_ptc, np.float32)
        self._priors = np.asarray(model.nb_pc, np.float32)
        self._moves = np.asarray(model.tk_nextmove)
        self._rows = np.asarray(model.tk_row, np.int32) << 8
        self._features = np.asarray(model.tk_output, np.int32)

    def detect(self, texts: list[str]) -> tuple[list[str], np.ndarray]:
        encoded = [_as_langid_reads(text) for text in texts]
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(e) for e in encoded], out=offsets[1:])
        data = np.frombuffer(b"".join(encoded), np.uint8)
        found, ends = _find_features(data, offsets, self._moves, self._rows, self._features)
        totals = _add_up(found, offsets, ends, self._weights, self._priors)
        totals *= (1 / np.sqrt(np.maximum(1, np.diff(offsets)))).astype(np.float32)[:, None]
        shares = np.exp(totals - totals.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        by_label = np.zeros((len(texts), len(self.labels)), np.float32)
        for place, column in enumerate(self._column):
            by_label[:, column] += shares[:, place]
        places = by_label.argmax(axis=1)
        return [self.labels[place] for place in places], by_label[np.arange(len(texts)), places]


@lru_cache(maxsize=1)
def _langid() -> LangidDetector:
    return LangidDetector()  # 0.1 GB, and the same for every language


def _as_langid_reads(text: str) -> bytes:
    if text.isupper():
        text = text.lower()
    return unicodedata.normalize("NFC", text).encode()


@kernel
def _find_features(
    data: np.ndarray,
    offsets: np.ndarray,
    moves: np.ndarray,
    rows: np.ndarray,
    features: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the features of each text, in order.

    Each move waits for the memory that the one before it names, so several texts go side by side.

    Returns:
        Features of every text from its offset on, int32 [bytes], and where they end, int64 [texts].
    """
    found = np.empty(len(data), np.int32)
    ends = offsets[:-1].copy()
    states = np.zeros(_ABREAST, np.int64)
    for first in range(0, len(ends), _ABREAST):
        last = min(first + _ABREAST, len(ends))
        states[:] = 0
        longest = 0
        for text in range(first, last):
            longest = max(longest, offsets[text + 1] - offsets[text])
        for step in range(longest):
            for text in range(first, last):
                at = offsets[text] + step
                if at < offsets[text + 1]:
                    state = np.int64(moves[rows[states[text - first]] + data[at]])
                    states[text - first] = state
                    feature = features[state]
                    found[ends[text]] = feature
                    ends[text] += feature >= 0
    return found, ends


@kernel
def _add_up(
    found: np.ndarray,
    offsets: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    priors: np.ndarray,
) -> np.ndarray:
    """The logarithm of every class's share, up to a constant and the length; float32 [texts, n]."""
    texts = len(ends)
    counts = np.zeros(len(weights), np.int32)
    touched = np.empty(len(weights), np.int64)
    classes = len(priors)
    totals = np.zeros((texts, classes), np.float32)
    for text in range(texts):
        different = 0
        for place in range(offsets[text], ends[text]):
            feature = found[place]
            if counts[feature] == 0:
                touched[different] = feature
                different += 1
            counts[feature] += 1
        # Without a single feature all languages are as likely.
        if different:
            for i in range(classes):
                totals[text, i] = priors[i]
        for place in range(different):
            feature = touched[place]
            weight = np.float32(np.log1p(np.float32(counts[feature])))
            counts[feature] = 0
            for i in range(classes):
                totals[text, i] += weight * weights[feature, i]
    return totals
