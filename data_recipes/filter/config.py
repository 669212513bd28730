"""Schema of the filter step."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ..common.config_files import Strict
from ..common.errors import RecipeError
from .kiwi import check_kiwi
from .profiles import Profile, load_profile


def _loaded(given: Any) -> Any:
    if not isinstance(given, str | dict):
        return given
    try:
        return load_profile(given)
    except ValidationError as error:
        # One line per mistake, without pydantic's references to itself.
        raise ValueError(
            "; ".join(
                ".".join(map(str, e["loc"]))
                + ": " * bool(e["loc"])
                + e["msg"].removeprefix("Value error, ")
                for e in error.errors()
            )
        ) from error


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
