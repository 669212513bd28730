"""Schema of the diversity report: sizes of its samples, and limits that fail a build."""

from pydantic import Field, field_validator, model_validator

from ..common.config_files import Strict
from .measures import MEASURES


class Limit(Strict):
    """Bounds on a measure.

    Attributes:
        least: lower is an error.
        most: higher is an error.
    """

    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> "Limit":
        if self.least is None and self.most is None:
            raise ValueError("give `least`, `most` or both")
        return self


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
    limits: dict[str, Limit] = {}

    @field_validator("limits")
    @classmethod
    def _known(cls, limits: dict[str, Limit]) -> dict[str, Limit]:
        if unknown := sorted(set(limits) - set(MEASURES)):
            raise ValueError(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
        return limits
