"""Stages: what each model says about the items that reach it, and which of them it lets through."""

from dataclasses import dataclass
from typing import Any

from ..ask import Answer, Request
from ..ask.prompts import Prompt
from ..ask.rows import AskMore, Funnel, Outcome, Stage
from .config import CONFIGS, GRADER, DifficultyConfig
from .decisions import (
    KEPT,
    RIGHT,
    UNGRADED,
    decide_by_labels,
    decide_by_solver,
    delivered,
    read_choice,
    read_grade,
    read_label,
    read_value,
)
from .items import DifficultyItem

LABELS_STAGE = "labels"
# Of the prompts: to solvers by type of item, to the grader and to judges.
_VARIABLES = {
    "value": {"question"},
    "choice": {"question", "choices"},
    "free": {"question"},
    "grade": {"question", "answer", "given"},
    "label": {"question", "answer"},
}


@dataclass(slots=True)
class _Sample:
    item: DifficultyItem
    text: str
    verdict: str | None
    given: str = ""


class SolverStage(Stage[DifficultyItem]):
    """Lets through what a solver gets wrong.

    Args:
        config: the recipe.
        number: its place, from 1 on.
        solver: its name.
    """

    def __init__(self, config: DifficultyConfig, number: int, solver: str) -> None:
        self.name = f"{number}-{solver}"
        self.endpoints = {solver: config.solvers[solver]}
        if config.grader:
            self.endpoints[GRADER] = config.grader
        self._solver = solver
        self._config = config
        self._prompts = load_prompts(config)

    def requests(self, item: DifficultyItem) -> list[Request]:
        values: dict[str, Any] = {"question": item.question}
        if item.type == "choice":
            values["choices"] = item.lettered
        messages = self._prompts[item.type].messages(**values)
        return [Request(self._solver, messages, seed) for seed in range(self._config.samples)]

    def check(
        self, rows: list[tuple[DifficultyItem, list[Answer]]], ask_more: AskMore
    ) -> list[Outcome]:
        samples = [[self._read(item, answer) for answer in answers] for item, answers in rows]
        self._grade([s for own in samples for s in own if s.verdict is None], ask_more)
        outcomes = []
        for (item, _), own in zip(rows, samples):
            verdicts = [sample.verdict for sample in own]
            outcomes.append(
                {
                    "id": item.key,
                    "decision": decide_by_solver(verdicts, self._config.max_correct),
                    "correct": verdicts.count(RIGHT),
                    "verdicts": verdicts,
                    "given": [sample.given for sample in own],
                }
            )
        return outcomes

    def _read(self, item: DifficultyItem, answer: Answer) -> _Sample:
        text, missing = delivered(answer)
        sample = _Sample(item, text, missing)
        if missing is None and item.type == "value":
            sample.verdict, sample.given = read_value(item, text)
        elif missing is None and item.type == "choice":
            sample.verdict, sample.given = read_choice(item, text)
        return sample

    def _grade(self, samples: list[_Sample], ask_more: AskMore) -> None:
        """Have the grader compare answers of type free."""
        requests = [
            Request(
                GRADER,
                self._prompts["grade"].messages(
                    question=sample.item.question, answer=sample.item.answer, given=sample.text
                ),
            )
            for sample in samples
        ]
        for sample, answer in zip(samples, ask_more(requests)):
            sample.verdict = read_grade(answer) or UNGRADED


class LabelStage(Stage[DifficultyItem]):
    """Lets through what all judges call hard.

    Args:
        config: the recipe.
        number: its place.
    """

    def __init__(self, config: DifficultyConfig, number: int) -> None:
        self.name = f"{number}-{LABELS_STAGE}"
        self.endpoints = dict(config.judges)
        self._prompt = load_prompts(config)["label"]

    def requests(self, item: DifficultyItem) -> list[Request]:
        question = "\n".join([item.question, *item.lettered])
        messages = self._prompt.messages(question=question, answer=item.answer)
        return [Request(judge, messages) for judge in self.endpoints]

    def check(
        self, rows: list[tuple[DifficultyItem, list[Answer]]], ask_more: AskMore
    ) -> list[Outcome]:
        outcomes = []
        for item, answers in rows:
            labels = [read_label(answer) for answer in answers]
            outcomes.append(
                {
                    "id": item.key,
                    "decision": decide_by_labels(labels),
                    "labels": dict(zip(self.endpoints, labels)),
                }
            )
        return outcomes


def load_prompts(config: DifficultyConfig) -> dict[str, Prompt]:
    """Load the prompts: to solvers by type of item, `grade` and `label`.

    Raises:
        RecipeError: a template is missing or wrong.
    """
    return {
        name: Prompt(getattr(config.prompts, name), CONFIGS, own)
        for name, own in _VARIABLES.items()
    }


def make_funnel(config: DifficultyConfig) -> Funnel[DifficultyItem]:
    """Build the stages in their order: the solvers, then the judges if there are any."""
    stages: list[Stage[DifficultyItem]] = [
        SolverStage(config, number, name) for number, name in enumerate(config.solvers, 1)
    ]
    if config.judges:
        stages.append(LabelStage(config, len(stages) + 1))
    return Funnel(
        config.output_dir,
        config.items.read,
        lambda item: item.key,
        stages,
        passes_on=lambda outcome: outcome["decision"] == KEPT,
    )
