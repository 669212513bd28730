"""Two models without weights: one knows every answer, one guesses.

A task on which the first does not score 100 % cannot be passed; one on which the second does not
score chance gives its answer away. Both work for any task of lm-eval:

    tasks = manager.load(["kormo_kmmlu"])["tasks"]
    lm_eval.simple_evaluate(model=Oracle(tasks), tasks=[...], task_manager=manager)
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask

Say = Callable[[ConfigurableTask, dict[str, Any]], str]


def gold_index(task: ConfigurableTask, doc: dict[str, Any]) -> int:
    """Index of the right choice of a multiple-choice question."""
    # A task with one context per choice (winogrande) keeps the answer where others keep the text.
    target = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if isinstance(target, list):
        target = target[0]
    return target if isinstance(target, int) else task.doc_to_choice(doc).index(target)


def target_text(task: ConfigurableTask, doc: dict[str, Any]) -> str:
    """The answer as the task's examples write it."""
    target = task.doc_to_target(doc)
    if isinstance(target, int) and task.config.doc_to_choice is not None:
        return task.doc_to_choice(doc)[target]
    return str(target[0] if isinstance(target, list) else target)


class _Weightless(LM):
    """What both share: the tasks, by which a request's question is understood."""

    def __init__(self, tasks: Mapping[str, ConfigurableTask]) -> None:
        """
        Args:
            tasks: by name, as `TaskManager.load(...)["tasks"]` gives them.
        """
        super().__init__()
        self.tasks = tasks
        self.generated = 0
        self.compared = 0

    def _choice(self, request: Instance, choices: int) -> int:
        raise NotImplementedError

    def _answer(self, task: ConfigurableTask, doc: dict[str, Any]) -> str:
        raise NotImplementedError

    def loglikelihood(self, requests: list[Instance], **_: Any) -> list[tuple[float, bool]]:
        answers = []
        for request in requests:
            task = self.tasks[request.task_name]
            chosen = self._choice(request, len(task.doc_to_choice(request.doc)))
            answers.append((0.0, True) if request.idx == chosen else (-1000.0, False))
        self.compared += len(answers)
        return answers

    def loglikelihood_rolling(self, requests: list[Instance], **_: Any) -> list[float]:
        raise NotImplementedError("no perplexity is known without weights")

    def generate_until(self, requests: list[Instance], **_: Any) -> list[str]:
        self.generated += len(requests)
        return [self._answer(self.tasks[r.task_name], r.doc) for r in requests]

    # lm-eval asks these of a model that is to use a chat template.
    tokenizer_name = "none"

    def apply_chat_template(self, chat_history: list[dict], add_generation_prompt=True) -> str:
        return "\n".join(turn["content"] for turn in chat_history)


class Oracle(_Weightless):
    """Knows every answer."""

    def __init__(self, tasks: Mapping[str, ConfigurableTask], say: Say = target_text) -> None:
        """
        Args:
            tasks: see the base class.
            say: a right answer in the form that a generated answer is expected in, for tasks whose
                target is not in that form.
        """
        super().__init__(tasks)
        self._say = say

    def _choice(self, request: Instance, choices: int) -> int:
        return gold_index(self.tasks[request.task_name], request.doc)

    def _answer(self, task: ConfigurableTask, doc: dict[str, Any]) -> str:
        return self._say(task, doc)


class Guesser(_Weightless):
    """Chooses each choice with the same probability; writes what `guess` draws."""

    def __init__(
        self,
        tasks: Mapping[str, ConfigurableTask],
        seed: int = 0,
        guess: Callable[[random.Random, ConfigurableTask, dict[str, Any]], str] | None = None,
    ) -> None:
        """
        Args:
            tasks: see the base class.
            seed: of the draws.
            guess: writes a random answer, for tasks with generated answers.
        """
        super().__init__(tasks)
        self._random = random.Random(seed)
        self._guess = guess
        self._drawn: dict[tuple[str, int], int] = {}

    def _choice(self, request: Instance, choices: int) -> int:
        question = (request.task_name, request.doc_id)
        if question not in self._drawn:
            self._drawn[question] = self._random.randrange(choices)
        return self._drawn[question]

    def _answer(self, task: ConfigurableTask, doc: dict[str, Any]) -> str:
        if self._guess is None:
            raise ValueError(f"{task.config.task}: give the guesser a function that writes a guess")
        return self._guess(self._random, task, doc)


def chance_interval(chances: list[float], deviations: float = 4.0) -> tuple[float, float]:
    """Where the share of right guesses falls but for one run in 16,000.

    Args:
        chances: probability of a right guess, question by question.
        deviations: half width in standard deviations of the mean.

    Returns:
        Lower and upper end, as shares.
    """
    mean = sum(chances) / len(chances)
    deviation = math.sqrt(sum(p * (1 - p) for p in chances)) / len(chances)
    return mean - deviations * deviation, mean + deviations * deviation
