"""Schema of a synthesis recipe."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, computed_field, model_validator

from ..ask import Endpoint, EndpointName, check_cap
from ..ask.prompts import Prompt, show
from ..common.config_files import Licence, Strict
from ..common.errors import RecipeError
from ..engine.executor_config import ExecutorConfig
from ..filter.profiles import FilterConfig
from ..read.source import ReadConfig, SourceConfig
from .picture_checks import PictureChecks

CONFIGS = Path(__file__).parents[1] / "configs" / "synthesize"
_SEED = "text"


class Synthesizer(Endpoint):
    """A model that writes; its key in the recipe is its name in rows, manifests and mixtures.

    Attributes:
        weight: share of the seeds, in proportion to the other synthesizers.
    """

    weight: float = Field(default=1.0, gt=0)


class Style(Strict):
    """One way to write about a seed.

    Attributes:
        template: file of a Jinja template in which `{{ text }}` stands for the seed; as given, or
            below `data_recipes/configs/synthesize`. What it makes is the user's turn.
        sees: `picture`, if the seed is one, shown before the template's text.
        weight: share of the seeds, in proportion to the other styles.
    """

    template: Path
    sees: Literal["picture"] | None = None
    weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _usable(self) -> "Style":
        try:
            _ = self._prompt
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    @cached_property
    def _prompt(self) -> Prompt:
        return Prompt(self.template, CONFIGS, set(self._variables("")))

    def _variables(self, seed: str) -> dict[str, str]:
        return {} if self.sees else {_SEED: seed}

    @computed_field
    @cached_property
    def sha256(self) -> str:
        """Checksum of the template, so that rows and settings know a changed prompt."""
        return self._prompt.sha256

    def prompt(self, seed: str) -> str:
        """The user's turn for a seed."""
        return self.messages(seed)[0]["content"]

    def messages(self, seed: str) -> list[dict[str, Any]]:
        """The conversation that is sent."""
        return self._prompt.messages(**self._variables(seed))

    @cached_property
    def instructions(self) -> list[str]:
        """Lines of the prompt that are not the seed's."""
        return self._prompt.instructions(**self._variables(_SEED))


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
        pictures: what holds besides, for `form: picture`.
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
    pictures: PictureChecks | None = None

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


class FloorConfig(Strict):
    """When a run is not worth going on with.

    Attributes:
        acceptance: a synthesizer with a smaller share of accepted answers stops the run.
        after: answers of it that are judged first, in each task.
    """

    acceptance: float = Field(ge=0, le=1)
    after: int = Field(gt=0)


class SynthesizeConfig(Strict):
    """A synthesis recipe. Everything it makes lies under `output_dir`.

    Attributes:
        output_dir: `read`, `answers`, `text`, `report.json`, `sources.yaml`.
        seeds: text to write about: any source that a data recipe could read.
        max_seed_characters: longer seeds are cut at a white space before that; what prompt and
            answer take has to fit into the models' context.
        styles: prompt templates by name.
        synthesizers: models by name. Mixtures want at least two for Korean: a run on the text of
            one collapsed (KORMo section 4.3).
        form: of an answer: `text`, or `reasoning`, a chain of thought before it, apart
            (`reasoning_content`) or in `<think>` tags; rows then hold question, thoughts and answer
            as the chat template writes them; or `picture`, questions and answers about one, which
            become rows of a picture set.
        pictures: directory that seeds are paths below, for `form: picture`.
        validation: what is accepted.
        floor: stop when too little is.
        licence: of what is written, for manifests: it follows from the seeds' and the models'.
        cap: spending at which the run stops, in the currency of the endpoints' prices; tasks share
            it by the size of their seeds.
        read: how seeds are read.
        executor: where tasks run; a task asks for the answers of some shards of seeds.
    """

    output_dir: Path
    seeds: list[SourceConfig] = Field(min_length=1)
    max_seed_characters: int = Field(gt=0)
    styles: dict[EndpointName, Style] = Field(min_length=1)
    synthesizers: dict[EndpointName, Synthesizer] = Field(min_length=1)
    form: Literal["text", "reasoning", "picture"] = "text"
    pictures: Path | None = None
    validation: ValidationConfig
    floor: FloorConfig
    licence: Licence
    cap: Annotated[float, Field(gt=0)] | None = None
    read: ReadConfig = ReadConfig()
    executor: ExecutorConfig = ExecutorConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "SynthesizeConfig":
        names = [seed.name for seed in self.seeds]
        if len(set(names)) != len(names):
            raise ValueError("seeds: two share a name")
        if (self.form == "reasoning") != (self.validation.reasoning_language is not None):
            raise ValueError(
                "form reasoning and validation.reasoning_language go together: give both or neither"
            )
        sees = {style.sees == "picture" for style in self.styles.values()}
        given = {self.pictures is not None, self.validation.pictures is not None}
        if sees | given != {self.form == "picture"}:
            raise ValueError(
                "form picture, pictures, validation.pictures and `sees: picture` of every style go "
                "together: give all or none"
            )
        check_cap(self.synthesizers, self.cap)
        return self

    def messages(self, style: str, seed: str) -> list[dict[str, Any]]:
        """Build the conversation that is sent about a seed.

        Raises:
            RecipeError: its picture is not there, or of no form that servers take.
        """
        messages = self.styles[style].messages(seed)
        return messages if self.pictures is None else show(messages, [self.pictures / seed])

    @property
    def read_dir(self) -> Path:
        return self.output_dir / "read"

    @property
    def answers_dir(self) -> Path:
        return self.output_dir / "answers"

    @property
    def text_dir(self) -> Path:
        return self.output_dir / "text"
