"""What is measured, and the schema of the report: sizes of samples, limits that fail a build."""

from dataclasses import dataclass

from pydantic import Field, field_validator, model_validator

from ..common.config_files import Strict


@dataclass(frozen=True)
class Measure:
    """A number that says something about variety.

    Attributes:
        title: for people.
        varied_is_more: whether varied text has the larger number.
        about: what it is, in a sentence.
    """

    title: str
    varied_is_more: bool
    about: str


_DISTINCT = "different {} over all of them, within documents (Li et al. 2016, arXiv 1510.03055)"
MEASURES: dict[str, Measure] = {
    **{
        f"distinct_{n}": Measure(
            f"distinct-{n}", True, _DISTINCT.format("words" if n == 1 else f"{n}-grams of words")
        )
        for n in (1, 2, 3, 4)
    },
    "compression_ratio": Measure(
        "compression ratio",
        False,
        "bytes over bytes after zlib, level 6 (Shaib et al. 2024, arXiv 2403.00553)",
    ),
    "self_bleu": Measure(
        "self-BLEU",
        False,
        "BLEU-4 of a document against all others, averaged (Zhu et al. 2018, arXiv 1802.01886)",
    ),
    "top_openings": Measure(
        "ten commonest openings", False, "share of documents that begin with one of them"
    ),
    "opening_entropy": Measure(
        "entropy of openings",
        True,
        "over the most that it could be; 1 if every document begins in its own way",
    ),
    "length_spread": Measure(
        "spread of lengths", True, "standard deviation over mean of the words in a document"
    ),
    "top_words": Measure("hundred commonest words", False, "share of all words"),
    "near_duplicates": Measure(
        "near-duplicates",
        False,
        "share of documents that resemble an earlier one (MinHash, 14 buckets of 8, 5-grams)",
    ),
    "overlap_others": Measure(
        "overlap with another synthesizer",
        False,
        "share of its n-grams that are also in the text of the nearest other one",
    ),
    "overlap_seed": Measure(
        "overlap with seeds",
        False,
        "share of its n-grams that are also in the text it was made from",
    ),
    "surprise_spread": Measure(
        "spread of bits per byte",
        True,
        "standard deviation over documents of the bits per byte under a language model",
    ),
}


class DiversityLimit(Strict):
    """Bounds on a measure.

    Attributes:
        least: lower is an error.
        most: higher is an error.
    """

    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> "DiversityLimit":
        if self.least is None and self.most is None:
            raise ValueError("give `least`, `most` or both")
        return self

    def broken_by(self, value: float) -> bool:
        """Tell whether a value lies beyond it."""
        low = self.least is not None and value < self.least
        return low or (self.most is not None and value > self.most)

    def __str__(self) -> str:
        bounds = (("≥", self.least), ("≤", self.most))
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


class DiversityConfig(Strict):
    """A diversity report. The sizes are our choice: a minute for ten synthesizers on one core.

    Attributes:
        sample_megabytes: text of each synthesizer that is measured, in 1e6 UTF-8 bytes. All are
            cut to the same size, which many measures depend on: to that of the smallest, if one
            has less.
        least_megabytes: a synthesizer with less text is an error: cutting the others to it would
            leave too little.
        read_megabytes: text of each source that is read at most; of more, its beginning.
        seed: of the samples, which are drawn by a hash.
        opening_words: first words of a document that count as its opening.
        overlap_words: words of the n-grams that are looked for in other text.
        self_bleu_documents: documents that are compared with each other.
        self_bleu_words: words of each, at most.
        model_documents: documents that a model scores, if there is one.
        model_tokens: tokens of each, at most.
        limits: bounds by measure; they hold for every synthesizer and for the synthetic text of a
            language together.
    """

    sample_megabytes: float = Field(default=2, gt=0)
    least_megabytes: float = Field(default=0.1, gt=0)
    read_megabytes: float = Field(default=200, gt=0)
    seed: int = 0
    opening_words: int = Field(default=3, gt=0)
    overlap_words: int = Field(default=5, gt=0)
    self_bleu_documents: int = Field(default=200, gt=1)
    self_bleu_words: int = Field(default=200, gt=3)
    model_documents: int = Field(default=100, gt=1)
    model_tokens: int = Field(default=512, gt=1)
    limits: dict[str, DiversityLimit] = {}

    @field_validator("limits")
    @classmethod
    def _known(cls, limits: dict[str, DiversityLimit]) -> dict[str, DiversityLimit]:
        if unknown := sorted(set(limits) - set(MEASURES)):
            raise ValueError(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
        return limits
