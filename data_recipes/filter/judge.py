"""All checks of one profile, in order, on a batch of documents of its language."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..engine.documents import text_buffers
from ..text.histograms import by_outcome
from .datatrove_filters import DatatroveFilters
from .decide import Verdicts
from .kiwi import KiwiWords
from .language_id import load_detector
from .patterns import build, count_phrases
from .perplexity import Scorer
from .profiles import MATCHES, Profile
from .statistics import STATISTICS, Lists, measure
from .vocabulary import stop_word_table, suffix_trie
from .word_spans import whitespace_spans, word_spans

EMPTY, LANGUAGE, WORD_LIST = "empty", "language", "word_list"
BITS_PER_BYTE = "bits_per_byte"


@dataclass
class Judged:
    """What became of a batch.

    Attributes:
        verdicts: reasons by row.
        texts: the texts, which datatrove's filters may have changed.
        histograms: of every statistic, over the documents that were measured.
    """

    verdicts: Verdicts
    texts: list[str]
    histograms: dict[str, dict[str, dict[str, list[int]]]]


class Judge:
    """A profile with its models and lists loaded.

    Args:
        profile: the profile.

    Raises:
        RecipeError: a model or package is missing or of the wrong kind.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._detector = load_detector(profile.language_id) if profile.language_id else None
        self._kiwi = KiwiWords() if profile.words == "kiwi" else None
        self._lists = Lists(
            boilerplate=build(profile.boilerplate) if profile.boilerplate else None,
            stop_words=stop_word_table(profile.stop_words) if profile.stop_words else None,
            suffixes=suffix_trie(profile.suffixes) if profile.suffixes else None,
        )
        self._word_lists = [build(own.words()) for own in profile.word_lists]
        self._datatrove = DatatroveFilters(profile.datatrove)
        self._scorer = Scorer(profile.perplexity) if profile.perplexity else None

    def judge(self, batch: pa.RecordBatch) -> Judged:
        """Judge documents, all of the profile's language."""
        texts = batch.column("text").to_pylist()
        verdicts = Verdicts.none(len(texts))
        values: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for row, text in enumerate(texts):
            if not text.strip():
                verdicts.reject(row, EMPTY, "nothing but white space")
        if self._detector is not None:
            rows = verdicts.passed()
            values["language_score"] = (self._identify(texts, rows, verdicts), rows)
        rows = verdicts.passed()
        found = self.measure(batch, texts, rows)
        verdicts.limits(found, self.profile.limits, rows)
        values |= {name: (own, rows) for name, own in found.items()}
        self._apply_word_lists(batch, found["words"], rows, verdicts)
        self._apply_datatrove(batch, texts, verdicts)
        if self._scorer is not None:
            rows = verdicts.passed()
            scores = self._scorer.bits_per_byte([texts[row] for row in rows])
            meaning = "bits per byte under the language model"
            verdicts.limit(BITS_PER_BYTE, meaning, scores, self.profile.perplexity.limit, rows)
            values[BITS_PER_BYTE] = (scores, rows)
        kept = np.array([reason is None for reason in verdicts.reasons], bool)
        return Judged(
            verdicts,
            texts,
            {
                name: by_outcome(_scale(name), own, kept[rows])
                for name, (own, rows) in values.items()
            },
        )

    def measure(
        self, batch: pa.RecordBatch, texts: list[str], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Statistics of some rows, float64 [len(rows)] each."""
        data, offsets = text_buffers(batch.take(pa.array(rows)))
        if self._kiwi is not None:
            spans = word_spans(self._kiwi.words([texts[row] for row in rows]))
        else:
            spans = whitespace_spans(data, offsets)
        return measure(data, offsets, spans, self._lists, hangul=self.profile.words == "eojeol")

    def _identify(self, texts: list[str], rows: np.ndarray, verdicts: Verdicts) -> np.ndarray:
        """Probability of the profile's language, 0 where another is more likely."""
        config = self.profile.language_id
        labels, scores = self._detector.detect([texts[row][: config.sample_chars] for row in rows])
        own = np.array([label == config.label for label in labels], bool)
        for place in np.flatnonzero(~own | (scores < config.min)):
            verdicts.reject(
                int(rows[place]),
                LANGUAGE,
                f"looks like {labels[place]} ({scores[place]:.3f}); {config.label} with at least "
                f"{config.min:g} is kept",
            )
        return np.where(own, scores, 0).astype(np.float64)

    def _apply_word_lists(
        self, batch: pa.RecordBatch, words: np.ndarray, rows: np.ndarray, verdicts: Verdicts
    ) -> None:
        if not self._word_lists:
            return
        data, offsets = text_buffers(batch.take(pa.array(rows)))
        for config, automaton in zip(self.profile.word_lists, self._word_lists):
            hits = count_phrases(data, offsets, automaton, MATCHES[config.match])
            if config.max_hits is not None:
                most, says = np.full(len(hits), config.max_hits), f"{config.max_hits}"
            else:
                most, says = config.max_word_ratio * words, f"{config.max_word_ratio:g} per word"
            for place in np.flatnonzero(hits > most):
                verdicts.reject(
                    int(rows[place]),
                    WORD_LIST,
                    f"{hits[place]} words of {config.path.name}, at most {says} is kept",
                )

    def _apply_datatrove(self, batch: pa.RecordBatch, texts: list[str], verdicts: Verdicts) -> None:
        if not self.profile.datatrove:
            return
        ids, metadata = (batch.column(name).to_pylist() for name in ("id", "metadata"))
        for row in verdicts.passed():
            known = {"language": self.profile.language} | json.loads(metadata[row])
            text, reason, detail = self._datatrove.apply(texts[row], ids[row], known)
            if reason is not None:
                verdicts.reject(int(row), reason, detail)
            elif not text.strip():
                verdicts.reject(int(row), EMPTY, "datatrove's filters left nothing of it")
            else:
                texts[row] = text


def _scale(name: str) -> str:
    if name in STATISTICS:
        return STATISTICS[name][0]
    return "mean" if name == BITS_PER_BYTE else "fraction"
