"""The filter step: a profile's checks on a batch of documents, and their first reason to go."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..engine.documents import SCHEMA, by_outcome, text_buffers
from ..engine.steps import Outcome, ShardStep, add_counts, decide
from ..text.kernels import compile_once
from .kiwi import KiwiWords
from .language_id import LangidDetector, load_detector
from .patterns import build
from .profiles import FilterConfig, Limit, Profile
from .statistics import STATISTICS, Lists, measure
from .words import stop_word_table, suffix_trie, whitespace_spans, word_spans

EMPTY, LANGUAGE = "empty", "language"
# Limits that come before the language.
_SIZES = ("words", "characters")
_TEXT = pa.schema([SCHEMA.field("text")])


@dataclass
class Reasons:
    """Why documents are rejected; the first reason that is found stays.

    Attributes:
        reasons: machine-readable name, `None` for a document that has passed everything so far.
        details: a sentence with the value and the limit; empty where there is no reason.
    """

    reasons: list[str | None]
    details: list[str]

    @staticmethod
    def none(documents: int) -> "Reasons":
        """Start with no reason against any document."""
        return Reasons([None] * documents, [""] * documents)

    def passed(self) -> np.ndarray:
        """Rows without a reason, int64."""
        return np.flatnonzero([reason is None for reason in self.reasons])

    def reject(self, row: int, reason: str, detail: str) -> None:
        """Give a document a reason, unless it has one."""
        if self.reasons[row] is None:
            self.reasons[row], self.details[row] = reason, detail

    def apply_limits(
        self, found: dict[str, np.ndarray], limits: dict[str, Limit], rows: np.ndarray
    ) -> None:
        """Reject what lies outside a limit, as `low_<name>` or `high_<name>`, limit after limit.

        Args:
            found: statistics, as `measure` gives them, one value per row of `rows`.
            limits: by statistic.
            rows: which documents the values belong to.
        """
        for name, limit in limits.items():
            for side, beyond, edge, words in (
                ("low", np.less, limit.min, "at least"),
                ("high", np.greater, limit.max, "at most"),
            ):
                if edge is None:
                    continue
                for place in np.flatnonzero(beyond(found[name], edge)):
                    value = f"{found[name][place]:.4g}, {words} {edge:g} is kept"
                    detail = f"{STATISTICS[name][1]}: {value}"
                    self.reject(int(rows[place]), f"{side}_{name}", detail)


@dataclass
class Filtered(Reasons):
    """What became of a batch.

    Attributes:
        histograms: of every statistic, over the documents that were measured.
    """

    histograms: dict[str, dict[str, dict[str, list[int]]]]


class DocumentFilter:
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
            phrases=build(profile.boilerplate, profile.spam, profile.pitch),
            stop_words=stop_word_table(profile.stop_words) if profile.stop_words else None,
            suffixes=suffix_trie(profile.suffixes) if profile.suffixes else None,
            function_words=_either_case(profile.function_words),
            articles=_either_case(profile.articles),
            particles=suffix_trie(profile.particles) if profile.particles else None,
        )
        # By kind, and last those of documents of no kind.
        self._limits = [
            {
                name: limit
                for name, limit in (profile.limits | kind.limits).items()
                if limit is not None
            }
            for kind in profile.kinds.values()
        ] + [profile.limits]

    def apply_to(self, texts: list[str]) -> Filtered:
        """Decide on texts that lie in no shard."""
        return self.apply(pa.RecordBatch.from_pydict({"text": texts}, _TEXT))

    def apply(self, batch: pa.RecordBatch) -> Filtered:
        """Decide on documents, all of the profile's language."""
        texts = batch.column("text").to_pylist()
        reasons = Reasons.none(len(texts))
        for row, text in enumerate(texts):
            if not text.strip():
                reasons.reject(row, EMPTY, "nothing but white space")
        rows = reasons.passed()
        found = self.measure(batch, texts, rows)
        kinds = self._kinds(found, len(rows))
        values = {name: (own, rows) for name, own in found.items()}
        # A few words are too few, whatever language a model takes them for; it is not asked.
        self._apply_limits(reasons, found, kinds, rows, _SIZES)
        if self._detector is not None:
            passed = np.isin(rows, reasons.passed())
            own = np.flatnonzero(passed & self._to_identify(found, kinds))
            values["language_score"] = self._identify(texts, rows[own], reasons), rows[own]
        self._apply_limits(reasons, found, kinds, rows, STATISTICS)
        kept = np.array([reason is None for reason in reasons.reasons], bool)
        histograms = {
            name: by_outcome(STATISTICS.get(name, ("fraction",))[0], own, kept[rows])
            for name, (own, rows) in values.items()
        }
        return Filtered(reasons.reasons, reasons.details, histograms)

    def _apply_limits(
        self,
        reasons: Reasons,
        found: dict[str, np.ndarray],
        kinds: np.ndarray,
        rows: np.ndarray,
        names: Collection[str],
    ) -> None:
        """Apply the limits on some statistics that each document's kind has."""
        for number, limits in enumerate(self._limits):
            own = np.flatnonzero(kinds == number)
            limits = {name: limit for name, limit in limits.items() if name in names}
            reasons.apply_limits({name: found[name][own] for name in limits}, limits, rows[own])

    def _kinds(self, found: dict[str, np.ndarray], documents: int) -> np.ndarray:
        """Number of the first kind that each document is of, int64; one past the last for none."""
        kinds = np.full(documents, len(self.profile.kinds))
        for number, kind in reversed(list(enumerate(self.profile.kinds.values()))):
            within = [limit.holds(found[name]) for name, limit in kind.when.items()]
            kinds[np.logical_and.reduce(within)] = number
        return kinds

    def _to_identify(self, found: dict[str, np.ndarray], kinds: np.ndarray) -> np.ndarray:
        """Documents whose language is not certain from other signs, bool."""
        asked = np.array([*(k.language_id for k in self.profile.kinds.values()), True])[kinds]
        for name, least in self.profile.language_id.sure.items():
            asked &= found[name] < least
        return asked

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

    def _identify(self, texts: list[str], rows: np.ndarray, reasons: Reasons) -> np.ndarray:
        """Probability of the profile's language, 0 where another is more likely."""
        config = self.profile.language_id
        # A no-break space parts words like any other; models know only the usual one.
        samples = [texts[row][: config.sample_chars].replace("\u00a0", " ") for row in rows]
        labels, scores = self._detector.detect(samples)
        own = np.array([label == config.label for label in labels], bool)
        for place in np.flatnonzero(~own | (scores < config.min)):
            reasons.reject(
                int(rows[place]),
                LANGUAGE,
                f"looks like {labels[place]} ({scores[place]:.3f}); {config.label} with at least "
                f"{config.min:g} is kept",
            )
        return np.where(own, scores, 0).astype(np.float64)


def _either_case(words: list[str]) -> np.ndarray | None:
    both = [form for word in words for form in (word, word.capitalize())]
    return stop_word_table(both) if both else None


def _compile() -> None:
    batch = pa.RecordBatch.from_pydict({"text": ["가 a. "]})
    data, offsets = text_buffers(batch)
    words, suffixes = stop_word_table(["a"]), suffix_trie(["a"])
    lists = Lists(build(["a"]), words, suffixes, words, words, suffixes)
    measure(data, offsets, whitespace_spans(data, offsets), lists, hangul=True)
    LangidDetector().detect(["a"])


class FilterStep(ShardStep):
    """Keeps what passes every check of its language's profile.

    Counted: `histograms` of every statistic, of kept and rejected documents that are not empty, and
    of the language's probability where it was asked for.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/filter`.
        config: the step.
    """

    name = "Filter"

    def __init__(self, inputs: dict[str, Path], output_dir: Path, config: FilterConfig) -> None:
        super().__init__(inputs, output_dir)
        self.config = config

    def compile_kernels(self) -> None:
        """Compile the kernels of every statistic, unless an earlier process did."""
        compile_once("filter", _compile)

    def setup(self) -> None:
        """Load the profiles.

        Raises:
            RecipeError: a model or package is missing or of the wrong kind.
        """
        self._filters = {lang: DocumentFilter(p) for lang, p in self.config.profiles.items()}

    def process(self, batch: pa.RecordBatch) -> Outcome:
        languages = np.array(batch.column("language").to_pylist(), dtype=object)
        reasons: list[str | None] = [None] * batch.num_rows
        details = [""] * batch.num_rows
        counts: dict[str, Any] = {"histograms": {}}
        for language in sorted(set(languages)):
            rows = np.flatnonzero(languages == language)
            self.config.profile(language, str(batch.column("id")[rows[0]]))
            filtered = self._filters[language].apply(batch.take(pa.array(rows)))
            add_counts(counts["histograms"], filtered.histograms)
            for place, row in enumerate(rows):
                reasons[row] = filtered.reasons[place]
                details[row] = filtered.details[place]
        return decide(batch, reasons, details, **counts)
