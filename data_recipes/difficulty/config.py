"""Schema of a difficulty recipe."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from ..ask import Endpoint, EndpointName, check_cap
from ..common.config_files import Strict
from .items import ItemsConfig

CONFIGS = Path(__file__).parents[1] / "configs" / "difficulty"
_PROMPTS = Path("prompts")
GRADER = "grader"  # the endpoint's name among the others
_NO_CODE = (
    "code is not judged, since no sandbox here can be trusted with programs of models; remove the "
    "key, and items of type code"
)


class PromptFiles(Strict):
    """Templates, as given or below `data_recipes/configs/difficulty`. Those shipped are our own.

    Attributes:
        value: question to a solver, with `{{ question }}`.
        choice: likewise, with `{{ choices }}`, lines with their letters.
        free: likewise.
        grade: to the grader, with `{{ question }}`, `{{ answer }}` and `{{ given }}`.
        label: to a judge, with `{{ question }}` and `{{ answer }}`.
    """

    value: Path = _PROMPTS / "value.jinja"
    choice: Path = _PROMPTS / "choice.jinja"
    free: Path = _PROMPTS / "free.jinja"
    grade: Path = _PROMPTS / "grade.jinja"
    label: Path = _PROMPTS / "label.jinja"
    dropped = {"code": _NO_CODE}


class DifficultyConfig(Strict):
    """A difficulty recipe. Everything it makes lies under `output_dir`.

    Attributes:
        output_dir: `answers`, `outcomes`, `kept.jsonl`, `undecided.jsonl`, `report.json`,
            `report.md`.
        items: the questions.
        solvers: models by name, in the order in which they are asked: each about what those before
            it left, so the cheapest comes first.
        samples: answers of a solver to an item.
        max_correct: right answers of a solver up to which an item counts as wrong. KORMo keeps
            items that are incorrect: 0, with samples 1, is Algorithm 1 as it is described.
        judges: models that label what the solvers left; kept is what all of them call hard.
            Empty, there is no second stage, and all that the solvers left is kept.
        grader: model that compares answers of type free with the right ones.
        prompts: templates.
        examples: kept and dropped items that the report shows, each.
        cap: spending at which the run stops, in the currency of the endpoints' prices.
    """

    output_dir: Path
    items: ItemsConfig
    solvers: Annotated[dict[EndpointName, Endpoint], Field(min_length=2)]
    samples: int = Field(default=1, gt=0)
    max_correct: int = Field(default=0, ge=0)
    judges: dict[EndpointName, Endpoint]
    grader: Endpoint | None = None
    prompts: PromptFiles = PromptFiles()
    examples: int = Field(default=5, ge=0)
    cap: Annotated[float, Field(gt=0)] | None = None

    dropped = {"sandbox": _NO_CODE}

    @model_validator(mode="after")
    def _consistent(self) -> "DifficultyConfig":
        if self.max_correct >= self.samples:
            raise ValueError(
                f"max_correct {self.max_correct} of {self.samples} samples keeps every item"
            )
        for name, solver in self.solvers.items():
            if self.samples > 1 and solver.sampling.temperature == 0:
                raise ValueError(
                    f"solvers.{name}: {self.samples} samples at temperature 0 are one and the same"
                )
        if len(self.judges) == 1:
            raise ValueError("judges: one has nobody to agree with; give two, or none: {}")
        models = [solver.identity for solver in self.solvers.values()]
        if len(set(models)) < len(models):
            raise ValueError("solvers: two are the same model")
        if GRADER in self.solvers:
            raise ValueError(f"solvers: {GRADER} is the name of another; choose one")
        check_cap(self.endpoints, self.cap)
        return self

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """All of them, by where they stand in the recipe."""
        graders = {GRADER: self.grader} if self.grader else {}
        return {
            **{f"solvers.{name}": solver for name, solver in self.solvers.items()},
            **{f"judges.{name}": judge for name, judge in self.judges.items()},
            **graders,
        }

    @property
    def outcomes_dir(self) -> Path:
        return self.output_dir / "outcomes"
