"""Gates: what each model says about the items that reach it, and which of them it lets through.

A gate asks everything first, which fills the store of answers, and then writes one outcome a line
in the order of its items. Both go on where they were killed.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..ask import Answer, AnswerStore, Endpoint, Request, Spent, answers_to, ask
from ..ask.passes import Pass
from ..ask.prompts import Prompt
from ..common.errors import RecipeError
from ..common.line_log import LineLog, batches
from . import readings
from .config import (
    CONFIGS,
    GRADE_VARIABLES,
    GRADER,
    LABEL_VARIABLES,
    SOLVE_VARIABLES,
    DifficultyConfig,
)
from .items import Item
from .sandbox import Sandbox
from .verdicts import KEPT, RIGHT, UNGRADED, UNREADABLE, WRONG, decide_by_labels, decide_by_solver

Stream = Callable[[], Iterator[Item]]
Outcome = dict[str, Any]


class Gate:
    """One stage of the filter.

    Args:
        config: the recipe.
        number: its place, from 1 on.
        name: what files and the report call it.
        endpoints: that it asks.
        items: what reaches it; called again for every pass.
    """

    def __init__(
        self,
        config: DifficultyConfig,
        number: int,
        name: str,
        endpoints: dict[str, Endpoint],
        items: Stream,
    ) -> None:
        self.config = config
        self.name = name
        self.endpoints = endpoints
        self.items = items
        stem = f"{number}-{name}"
        # `done`, as `claim` looks for what was finished under the settings.
        self.log = LineLog(config.outcomes_dir / "done" / f"{stem}.jsonl")
        answers = config.answers_dir / stem
        self._pass = Pass(name, items, endpoints, answers, self.log, self.requests, self.judge)
        self._cap: float | None = None

    def outcomes(self) -> Iterator[tuple[Item, Outcome]]:
        """Items with what became of them, as far as they are judged.

        Raises:
            RecipeError: the outcomes are those of other items.
        """
        for item, outcome in zip(self.items(), self.log.rows()):
            if outcome["id"] != item.key:
                raise RecipeError(
                    f"{self.log.path}: has {outcome['id']!r} where the item is {item.key!r}; "
                    f"delete {self.config.outcomes_dir} and run the same command again, answers "
                    "are kept"
                )
            yield item, outcome

    def left(self) -> Iterator[Item]:
        """What it lets through, once it is run."""
        return (item for item, outcome in self.outcomes() if outcome["decision"] == KEPT)

    def run(self, total: int, cap: float | None) -> None:
        """Ask and judge what is not yet.

        Args:
            total: number of its items.
            cap: spending at which asking stops, over all runs of this gate.

        Raises:
            RecipeError: as of `client.ask`.
        """
        self._cap = cap
        self._pass.run(total, cap)

    def spent(self) -> Spent:
        """What its answers cost, over all runs."""
        return self._pass.spent()

    def requests(self, items: Iterable[Item]) -> Iterator[Request]:
        """What is asked about items."""
        raise NotImplementedError

    def judge(self, items: list[Item], store: AnswerStore) -> list[Outcome]:
        """Outcomes of items whose answers are in the store; each has a `decision`."""
        raise NotImplementedError


@dataclass(slots=True)
class _Sample:
    item: Item
    text: str
    verdict: str | None
    given: str = ""


class SolverGate(Gate):
    """Lets through what a solver gets wrong.

    Args:
        config: the recipe.
        number: its place.
        name: of the solver.
        items: what reaches it.
        sandbox: for code.
    """

    def __init__(
        self,
        config: DifficultyConfig,
        number: int,
        name: str,
        items: Stream,
        sandbox: Sandbox | None,
    ) -> None:
        graders = {GRADER: config.grader} if config.grader else {}
        super().__init__(config, number, name, {name: config.solvers[name]} | graders, items)
        self._sandbox = sandbox
        self._prompts = solve_prompts(config)
        self._grade = Prompt(config.prompts.grade, CONFIGS, GRADE_VARIABLES)

    def requests(self, items: Iterable[Item]) -> Iterator[Request]:
        for item in items:
            values: dict[str, Any] = {"question": item.question}
            if item.type == "choice":
                values["choices"] = item.lettered
            messages = self._prompts[item.type].messages(**values)
            for seed in range(self.config.samples):
                yield Request(self.name, messages, seed=seed, data=item)

    def judge(self, items: list[Item], store: AnswerStore) -> list[Outcome]:
        answered = list(answers_to(self.requests(items), self.endpoints, store))
        samples = [self._read(request.data, answer) for request, answer in answered]
        self._run_programs([s for s in samples if s.item.type == "code" and s.verdict is None])
        self._ask_grader([s for s in samples if s.verdict is None], store)
        outcomes = []
        for item, own in zip(items, batches(samples, self.config.samples)):
            verdicts = [sample.verdict for sample in own]
            outcomes.append(
                {
                    "id": item.key,
                    "decision": decide_by_solver(verdicts, self.config.max_correct),
                    "correct": verdicts.count(RIGHT),
                    "verdicts": verdicts,
                    "given": [sample.given for sample in own],
                }
            )
        return outcomes

    def _read(self, item: Item, answer: Answer) -> _Sample:
        text, missing = readings.delivered(answer)
        sample = _Sample(item, text, missing)
        if missing is None and item.type == "value":
            sample.verdict, sample.given = readings.judge_value(item, text)
        elif missing is None and item.type == "choice":
            sample.verdict, sample.given = readings.judge_choice(item, text)
        return sample

    def _run_programs(self, samples: list[_Sample]) -> None:
        if not samples:
            return

        def judge(sample: _Sample) -> None:
            code, item = readings.program(sample.text), sample.item
            if code is None:
                sample.verdict = UNREADABLE
                return
            cases = [case.model_dump() for case in item.cases]
            run = self._sandbox.run(code, item.tests, cases)
            sample.verdict, sample.given = (RIGHT if run.passed else WRONG), run.detail

        with ThreadPoolExecutor(self.config.sandbox.workers) as workers:
            list(workers.map(judge, samples))

    def _ask_grader(self, samples: list[_Sample], store: AnswerStore) -> None:
        requests = [
            Request(
                GRADER,
                self._grade.messages(
                    question=sample.item.question, answer=sample.item.answer, given=sample.text
                ),
            )
            for sample in samples
        ]
        if not requests:
            return
        ask(requests, self.endpoints, store, cap=self._cap, follow=lambda totals: None)
        for sample, (_, answer) in zip(samples, answers_to(requests, self.endpoints, store)):
            sample.verdict = readings.read_grade(answer) or UNGRADED


class LabelGate(Gate):
    """Lets through what all judges call hard."""

    def __init__(self, config: DifficultyConfig, number: int, items: Stream) -> None:
        super().__init__(config, number, "labels", dict(config.judges), items)
        self._prompt = Prompt(config.prompts.label, CONFIGS, LABEL_VARIABLES)

    def requests(self, items: Iterable[Item]) -> Iterator[Request]:
        for item in items:
            messages = self._prompt.messages(
                question="\n".join([item.question, *item.lettered]), answer=item.answer
            )
            for judge in self.endpoints:
                yield Request(judge, messages, data=item)

    def judge(self, items: list[Item], store: AnswerStore) -> list[Outcome]:
        answered = answers_to(self.requests(items), self.endpoints, store)
        labels = [readings.read_label(answer) for _, answer in answered]
        return [
            {
                "id": item.key,
                "decision": decide_by_labels(own),
                "labels": dict(zip(self.endpoints, own)),
            }
            for item, own in zip(items, batches(labels, len(self.endpoints)))
        ]


def solve_prompts(config: DifficultyConfig) -> dict[str, Prompt]:
    """Prompts to solvers by type of item.

    Raises:
        RecipeError: a template is missing or wrong.
    """
    return {
        kind: Prompt(getattr(config.prompts, kind), CONFIGS, variables)
        for kind, variables in SOLVE_VARIABLES.items()
    }
