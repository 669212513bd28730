"""Schema of the validation of answers."""

from pydantic import Field, model_validator

from ..common.config_files import Strict
from ..filter.profiles import FilterConfig


class ValidationConfig(Strict):
    """Which answers are accepted. Lengths depend on the task, so they have no defaults.

    Attributes:
        language: that answers are in.
        reasoning_language: that thoughts are in, for `form: reasoning`.
        filter: profiles by language, as in the filter step, for language, repetition and damage;
            `ko_answer` and `en_answer` are made for answers, which are shorter than web pages.
        min_characters: shortest answer.
        max_characters: longest answer.
        min_ratio: shortest answer, in characters per character of the seed.
        max_ratio: longest answer, likewise.
        max_copied: largest share of an answer's words that stand in runs of 8 words of the seed.
        max_foreign_script: largest share of Han characters and of Japanese kana in the letters of a
            Korean answer, Han in brackets after a word aside, unless the seed has a larger one.
    """

    language: str
    reasoning_language: str | None = None
    filter: FilterConfig
    min_characters: int = Field(ge=1)
    max_characters: int = Field(ge=1)
    min_ratio: float | None = Field(default=None, gt=0)
    max_ratio: float | None = Field(default=None, gt=0)
    max_copied: float | None = Field(default=None, ge=0, le=1)
    max_foreign_script: float = Field(default=0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> "ValidationConfig":
        for low, high in (
            ("min_characters", "max_characters"),
            ("min_ratio", "max_ratio"),
        ):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} {least:g} is above {high} {most:g}")
        for language in {self.language, self.reasoning_language} - {None}:
            if language not in self.filter.profiles:
                raise ValueError(f"filter.profiles: none for language {language!r}")
        return self
