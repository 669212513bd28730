"""Schema of the quality filter."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ..common.config_files import Strict
from ..common.errors import RecipeError

# Character n-grams by language. Korean writes particles and endings onto the word, so whole words
# are too rare to learn from; one syllable is one character, hence the low numbers (our choice;
# fastText's own example numbers of 3 to 6 are for alphabets).
CHARACTER_NGRAMS = {"ko": (2, 4)}
ALL_SOURCES = "*"


class TextSource(Strict):
    """Texts of one class: either files or one of the chain's own sources.

    Attributes:
        path: file, directory, glob, or `hub://owner/name[@revision][:config[:split]]`.
        text_column: column with the text, for `path`.
        source: name of a source of this recipe, or `*` for all of them together; the documents as
            they come into the filter, those in the classifier's language.
    """

    path: str | None = None
    text_column: str = "text"
    source: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "TextSource":
        if (self.path is None) == (self.source is None):
            raise ValueError("give either `path` or `source`")
        return self

    def folders(self, inputs: dict[str, Path]) -> dict[str, Path]:
        """Of the folders of the step before, by source name, those that `source` means."""
        return inputs if self.source == ALL_SOURCES else {self.source: inputs[self.source]}


class FastTextConfig(Strict):
    """Numbers of fastText's supervised training; DCLM's where it states them.

    DCLM's released classifier (mlfoundations/dclm, `baselines/train_fasttext_classifier.py` and the
    model card of mlfoundations/fasttext-oh-eli5) was trained with learning rate 0.1, 100
    dimensions, 5 epochs, minimum count 1 and word bigrams.

    Attributes:
        learning_rate: at the start; it falls to zero linearly.
        dimension: of a word vector.
        epochs: passes over the training text.
        min_count: words seen less often are left out.
        word_ngrams: 2 adds pairs of neighbouring words.
        character_ngrams: shortest and longest, (0, 0) for none; left out, 2 to 4 for Korean and
            none otherwise, as in DCLM.
        buckets: hash table of n-grams; fastText's own default, as in DCLM. The model file takes
            `buckets * dimension * 4` bytes: 0.8 GB, on disk and in each worker's memory.
    """

    learning_rate: float = Field(default=0.1, gt=0)
    dimension: int = Field(default=100, gt=0)
    epochs: int = Field(default=5, gt=0)
    min_count: int = Field(default=1, gt=0)
    word_ngrams: int = Field(default=2, gt=0)
    character_ngrams: tuple[int, int] | None = None
    buckets: int = Field(default=2_000_000, gt=0)

    @model_validator(mode="after")
    def _ascending(self) -> "FastTextConfig":
        if self.character_ngrams and not (
            self.character_ngrams == (0, 0)
            or 0 < self.character_ngrams[0] <= self.character_ngrams[1]
        ):
            raise ValueError("character_ngrams is (shortest, longest), or (0, 0) for none")
        return self

    def arguments(self, language: str) -> dict[str, Any]:
        """Arguments of `fasttext.train_supervised`."""
        shortest, longest = self.character_ngrams or CHARACTER_NGRAMS.get(language, (0, 0))
        return {
            "lr": self.learning_rate,
            "dim": self.dimension,
            "epoch": self.epochs,
            "minCount": self.min_count,
            "wordNgrams": self.word_ngrams,
            "minn": shortest,
            "maxn": longest,
            "bucket": self.buckets,
        }


class ThresholdConfig(Strict):
    """How the lowest score that is kept is found: exactly one of the three.

    Attributes:
        keep_rate: share of the incoming documents to keep, measured on a sample of them. DCLM
            keeps the best 10 %.
        precision: share of positives among what is kept of the labelled held-out set, which holds
            as many positives as negatives; the lowest threshold that reaches it.
        value: the score itself.
    """

    keep_rate: float | None = Field(default=None, gt=0, lt=1)
    precision: float | None = Field(default=None, gt=0, le=1)
    value: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _exactly_one(self) -> "ThresholdConfig":
        if len(self.model_fields_set) != 1 or None in self.model_dump(exclude_unset=True).values():
            raise ValueError("give exactly one of `keep_rate`, `precision`, `value`")
        return self


class ClassifierConfig(Strict):
    """The classifier of one language: trained here, or one that was trained before.

    Attributes:
        positive: texts like those to keep.
        negative: texts unlike those; left out, all incoming documents, as in DCLM, whose negatives
            are raw web text.
        model: directory of a classifier that this filter trained before, instead of `positive`.
        threshold: lowest score that is kept.
        heldout_fraction: share of the labelled documents that is measured on and not trained on.
        max_documents: of each class, held-out ones included. DCLM trained on about 200,000 of each.
        fasttext: training numbers.
    """

    positive: list[TextSource] = []
    negative: list[TextSource] = Field(default=[TextSource(source=ALL_SOURCES)], min_length=1)
    model: Path | None = None
    threshold: ThresholdConfig
    heldout_fraction: float = Field(default=0.1, gt=0, lt=1)
    max_documents: int = Field(default=200_000, gt=0)
    fasttext: FastTextConfig = FastTextConfig()

    @model_validator(mode="after")
    def _trained_or_given(self) -> "ClassifierConfig":
        if bool(self.positive) == (self.model is not None):
            raise ValueError("give either `positive` (train a classifier) or `model` (use that)")
        given = self.model_fields_set - {"model", "threshold"}
        if self.model is not None and given:
            raise ValueError(f"`model` is trained already; leave out {', '.join(sorted(given))}")
        if self.model is not None and self.threshold.precision is not None:
            raise ValueError(
                "a threshold by precision needs the labelled held-out set, which `model` does not "
                "carry; use `keep_rate` or `value`"
            )
        return self


class QualityConfig(Strict):
    """The quality filter.

    Attributes:
        classifiers: by language code.
        pass_languages: languages whose documents pass without a score.
        incoming_sample: documents per language on which a keep rate is measured. At 100,000 the
            standard error of a rate of 10 % is 0.1 % (our choice).
        seed: of the samples, the held-out split and fastText.
    """

    classifiers: dict[str, ClassifierConfig] = Field(min_length=1)
    pass_languages: list[str] = []
    incoming_sample: int = Field(default=100_000, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _scored_or_passed(self) -> "QualityConfig":
        if both := sorted(set(self.classifiers) & set(self.pass_languages)):
            raise ValueError(f"{', '.join(both)}: has a classifier and is in `pass_languages`")
        return self

    def check_sources(self, languages: dict[str, str]) -> None:
        """Compare the filter with the sources of the recipe.

        Args:
            languages: language code by source name.

        Raises:
            RecipeError: a language without classifier, or a classifier that names a source that
                is not there.
        """
        for name, language in languages.items():
            self.check_language(language, f"source {name!r}")
        for language, classifier in self.classifiers.items():
            for text in (*classifier.positive, *classifier.negative):
                if text.source not in (None, ALL_SOURCES, *languages):
                    raise RecipeError(
                        f"quality.classifiers.{language}: unknown source {text.source!r}; sources "
                        f"are {', '.join(languages)}"
                    )

    def check_language(self, language: str, where: str) -> None:
        """Raise unless documents in `language` are scored or let pass.

        Raises:
            RecipeError: neither of the two.
        """
        if language not in self.classifiers and language not in self.pass_languages:
            raise RecipeError(
                f"{where}: no quality classifier for language {language!r}; add one under "
                "quality.classifiers, or the language to quality.pass_languages"
            )
