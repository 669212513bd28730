"""Schema of a synthesis recipe."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..ask import Endpoint, EndpointName, check_cap
from ..common.config_files import Strict
from ..engine.executor_config import ExecutorConfig
from ..read.source import ReadConfig, SourceConfig
from .styles import Style
from .validation_config import ValidationConfig


class Synthesizer(Endpoint):
    """A model that writes; its key in the recipe is its name in rows, manifests and mixtures.

    Attributes:
        weight: share of the seeds, in proportion to the other synthesizers.
    """

    weight: float = Field(default=1.0, gt=0)


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
            as the chat template writes them.
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
    form: Literal["text", "reasoning"] = "text"
    validation: ValidationConfig
    floor: FloorConfig
    licence: str = Field(min_length=1)
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
        check_cap(self.synthesizers, self.cap)
        return self

    @property
    def read_dir(self) -> Path:
        return self.output_dir / "read"

    @property
    def answers_dir(self) -> Path:
        return self.output_dir / "answers"

    @property
    def text_dir(self) -> Path:
        return self.output_dir / "text"
