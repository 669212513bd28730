"""Profiles of languages: words, lists, limits on every statistic; and the section with them."""

import difflib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    computed_field,
    field_validator,
    model_validator,
)

from ..common.config_files import Strict, find_recipe, list_mistakes, load_config, read_yaml
from ..common.errors import RecipeError
from ..common.files import sha256_file
from .kiwi import check_kiwi
from .statistics import STATISTICS

SHIPPED = Path(__file__).parents[1] / "configs" / "languages"
BUILT_IN = "py3langid"
KOREAN = "ko"
_KOREAN_UNITS = ("eojeol", "kiwi")
# Statistics that need one of the profile's lists.
_LISTS = {
    "stop_words": "stop_words",
    "suffix_word_frac": "suffixes",
    "boilerplate_frac": "boilerplate",
    "spam_ratio": "spam",
    "pitch_ratio": "pitch",
    "function_word_frac": "function_words",
    "broken_article_frac": "articles",
    "unfinished_frac": "particles",
}


def _known(name: str) -> None:
    if name not in STATISTICS:
        close = difflib.get_close_matches(name, STATISTICS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(STATISTICS)}"
        raise ValueError(f"unknown statistic {name!r}; {hint}")


class Limit(Strict):
    """The values of a statistic that are kept: from `min` to `max`, both included.

    Attributes:
        min: lowest value that is kept.
        max: highest value that is kept.
        source: where the numbers come from.
    """

    min: float | None = None
    max: float | None = None
    source: str = Field(min_length=1)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Which values lie within it, bool."""
        low = -np.inf if self.min is None else self.min
        high = np.inf if self.max is None else self.max
        return (values >= low) & (values <= high)

    @model_validator(mode="after")
    def _some_and_ordered(self) -> "Limit":
        if self.min is None and self.max is None:
            raise ValueError("give `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class LanguageId(Strict):
    """Language identification. Probabilities of two models are not comparable, so the limit stands
    beside the model that it was chosen for.

    Attributes:
        model: `py3langid`, which needs no file and knows 140 languages, or a fastText model
            (`lid.176.ftz`, GlotLID, OpenLID, your own).
        label: the language as the model calls it, without fastText's `__label__`.
        min: lowest probability of that language that is kept; it must be the most likely one.
        sure: statistics by which a document is in the language whatever the model says, each with
            its least value: Hangul is enough for Korean, also between Han characters.
        sample_chars: characters at the beginning of a document that are looked at. On Debian's text
            500 find as many documents of the language as 2,000 do (py3langid).
        source: where the number comes from.
    """

    model: str = BUILT_IN
    label: str = Field(min_length=1)
    min: float = Field(gt=0, le=1)
    sure: dict[str, float] = {}
    sample_chars: int = Field(default=500, gt=0)
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _there(self) -> "LanguageId":
        if self.model != BUILT_IN and not Path(self.model).is_file():
            raise ValueError(
                f"{self.model}: no such fastText model; give the path of a .bin or .ftz file, or "
                f"`model: {BUILT_IN}`"
            )
        return self

    @computed_field
    @cached_property
    def model_sha256(self) -> str | None:
        """Checksum of the model file, so that a changed one is noticed."""
        return None if self.model == BUILT_IN else sha256_file(Path(self.model))


class Kind(Strict):
    """Limits for documents of a kind that the others do not fit: verse, notes, formulas.

    Attributes:
        when: statistics that tell the kind, each with the values that it has.
        limits: take the place of the profile's own on the same statistics; `null` for none.
        language_id: whether the language of such documents is identified.
    """

    when: dict[str, Limit] = Field(min_length=1)
    limits: dict[str, Limit | None] = {}
    language_id: bool = True


class Profile(Strict):
    """How documents of one language are judged.

    The first check that a document fails is the reason: its size (`words`, `characters`), language
    identification, then `limits` in the order in which they are written.

    Attributes:
        language: language code.
        words: what a word is: `whitespace`, what stands between white space; for Korean `eojeol`,
            the same, or `kiwi`, the morphemes that the analyser Kiwi finds.
        limits_for: the word unit that `limits` were chosen for: the same as `words`.
        language_id: language identification.
        stop_words: words of which prose has many.
        suffixes: endings (of Korean eojeol: particles and verb endings).
        boilerplate: phrases that only lines about the page itself have.
        spam: phrases that advertisements are full of, for `spam_ratio`.
        pitch: phrases with which a reader is talked into something, for `pitch_ratio`.
        function_words: small words (pronouns, prepositions, auxiliaries) of which sentences have
            many and lists few; a capital first letter is allowed for.
        articles: words that are never followed by one of `function_words` in a sentence.
        particles: endings that no sentence ends in.
        limits: limits by statistic.
        kinds: by name, other limits for documents of some kind; the first that fits is taken.
    """

    language: str = Field(min_length=1)
    words: Literal["whitespace", "eojeol", "kiwi"]
    limits_for: Literal["whitespace", "eojeol", "kiwi"]
    language_id: LanguageId | None = None
    stop_words: list[str] = []
    suffixes: list[str] = []
    boilerplate: list[str] = []
    spam: list[str] = []
    pitch: list[str] = []
    function_words: list[str] = []
    articles: list[str] = []
    particles: list[str] = []
    limits: dict[str, Limit] = {}
    kinds: dict[str, Kind] = {}

    dropped = {
        "word_lists": "phrases go into `spam`, which counts by density, or `boilerplate`, by line",
        "datatrove": "run datatrove's filter over your files first, and read what it writes",
        "perplexity": "the quality step sorts out word salad",
    }

    @field_validator(*dict.fromkeys(_LISTS.values()))
    @classmethod
    def _nothing_empty(cls, phrases: list[str]) -> list[str]:
        for phrase in phrases:
            if not phrase.strip() or "\n" in phrase:
                raise ValueError(f"{phrase!r}: empty, or with a line end in it")
        return phrases

    @model_validator(mode="after")
    def _one_word_unit(self) -> "Profile":
        if self.limits_for != self.words:
            raise ValueError(
                f"the limits were chosen for {self.limits_for} words, and `words` is {self.words}: "
                "numbers for one unit are wrong for another (FineWeb-2's stop words for Kiwi "
                "remove 85 % of good Korean text when words are eojeol). Set `words: "
                f"{self.limits_for}`, or start from a profile for {self.words}"
            )
        if (self.language == KOREAN) != (self.words in _KOREAN_UNITS):
            raise ValueError(
                f"words of language {self.language!r} cannot be {self.words}: eojeol and kiwi are "
                "for Korean, whitespace is for the others"
            )
        if self.words == "eojeol" and self.stop_words:
            raise ValueError(
                "stop_words: in eojeol, particles and endings never stand alone; use `suffixes` "
                "and a limit on suffix_word_frac"
            )
        if self.words == "kiwi" and self.suffixes:
            raise ValueError("suffixes: Kiwi takes endings off as words; use `stop_words`")
        used = dict.fromkeys(self.limits, "limits")
        for name, kind in self.kinds.items():
            used |= dict.fromkeys((*kind.when, *kind.limits), f"kinds.{name}")
        for statistic, where in used.items():
            _known(statistic)
            field = _LISTS.get(statistic)
            if field and not getattr(self, field):
                raise ValueError(f"{where}.{statistic}: needs the list `{field}`, which is empty")
        if self.language_id is not None:
            for statistic in self.language_id.sure:
                _known(statistic)
        return self


def load_profile(given: str | dict[str, Any]) -> Profile:
    """A profile.

    Args:
        given: name of a shipped one (`ko_eojeol`), a YAML file, or a mapping that may start from
            either by its key `base`.

    Raises:
        RecipeError: no such profile, or not a valid one.
    """
    if isinstance(given, str):
        return load_config(_find(given), Profile, [])
    if "base" not in given:
        return Profile.model_validate(given)
    values = read_yaml(_find(given["base"]))
    for key, value in given.items():
        if key != "base":
            both = isinstance(value, dict) and isinstance(values.get(key), dict)
            values[key] = values[key] | value if both else value
    return Profile.model_validate(values)


def _find(name: str) -> Path:
    return find_recipe(name, SHIPPED, "filter profile")


def _loaded(given: Any) -> Any:
    if not isinstance(given, str | dict):
        return given
    try:
        return load_profile(given)
    except ValidationError as error:
        raise ValueError("; ".join(list_mistakes(error))) from error


class FilterConfig(Strict):
    """The filter step.

    Attributes:
        profiles: by language code: the name of a shipped profile (`en`, `ko_eojeol`, `ko_kiwi`), a
            YAML file, or a mapping, which may start from one of these by its key `base`. The
            profile is read with the config and becomes part of it, so that a changed file is a
            changed setting.
    """

    profiles: dict[str, Annotated[Profile, BeforeValidator(_loaded)]] = Field(min_length=1)

    @model_validator(mode="after")
    def _own_languages(self) -> "FilterConfig":
        for language, profile in self.profiles.items():
            if profile.language != language:
                raise ValueError(
                    f"profiles.{language}: that profile is for language {profile.language!r}"
                )
            if profile.words == "kiwi":
                check_kiwi()
        return self

    def check_sources(self, languages: dict[str, str]) -> None:
        """Compare the filter with the sources of the recipe.

        Args:
            languages: language code by source name.

        Raises:
            RecipeError: a language without profile.
        """
        for name, language in languages.items():
            self.profile(language, f"source {name!r}")

    def profile(self, language: str, where: str) -> Profile:
        """The profile of a language.

        Raises:
            RecipeError: there is none.
        """
        if language not in self.profiles:
            raise RecipeError(
                f"{where}: no filter profile for language {language!r}; add one under "
                "filter.profiles (configs/languages/template.yaml is where to start)"
            )
        return self.profiles[language]
