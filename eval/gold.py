"""Bits per byte of right answers: what a model has learned, long before it answers rightly.

Any task with a right answer can be asked so. Accuracy needs a model to put the right answer first;
the bits that it would take the model to write it down move with every step of training, and on
fewer questions (as OLMo 3's and marin's bits per byte of benchmarks). They are divided by the
answer's bytes, so that tokenizers of any size can be compared.

A model may also just write better prose. So beside it stands a floor: the bits per byte of an
answer to another question of the same task. A task is in reach of a model whose right answers cost
it less than that.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask
from lm_eval.filters import build_filter_ensemble

from data_recipes.common.errors import RecipeError
from modeling_kormo.chat_config import THINK

from .suites import FLOOR_BITS, GOLD_BITS, GOLD_TASK

# A choice in a prompt that lists them: `A. text`.
_LISTED = re.compile(r"^([A-J])[.)] (.*)$")


def bits_per_byte(log_likelihood: float, text: str) -> float:
    """Turn a log-likelihood in nats into bits per UTF-8 byte of the text."""
    return -log_likelihood / math.log(2) / len(text.encode("utf-8"))


def _without_choices(prompt: str) -> tuple[str, dict[str, str]]:
    """Take listed choices out of a prompt: cloze form, in which a small model can be asked.

    Returns:
        The prompt without them, and their texts by letter.
    """
    kept, choices = [], {}
    for line in prompt.split("\n"):
        match = _LISTED.match(line)
        if match:
            choices[match[1]] = match[2].strip()
        else:
            kept.append(line)
    return "\n".join(kept), choices


class GoldMixin(ConfigurableTask):
    """A task that asks for the likelihood of the right answer alone; see `gold_task`."""

    OUTPUT_TYPE = "loglikelihood"
    _texts: list[tuple[str, str]] | None = None
    _answers: dict[str, tuple[str, str]]

    def _text(self, doc: dict[str, Any]) -> tuple[str, str]:
        """Context and right answer of a question; what the answer begins with is its own."""
        if "solution" in doc:
            # A worked solution, as the traces of mid-training have it.
            return f"{doc['question']}\n{THINK}", f"\n{doc['solution']}"
        prompt, target = self.doc_to_text(doc), self.doc_to_target(doc)
        if not isinstance(prompt, str) or isinstance(target, list):
            raise RecipeError(
                f"task {self.config.task}: it has no one question with one right answer, which "
                f"{GOLD_BITS} needs; leave it out of the suite"
            )
        if self.config.doc_to_choice is not None:
            options = self.doc_to_choice(doc)
            answer = options[target] if isinstance(target, int) else target
            cloze, listed = _without_choices(prompt)
            if answer in listed:
                prompt, answer = cloze, listed[answer]
        else:
            answer = target
        context = prompt.rstrip()
        return context, (prompt[len(context) :] or self.config.target_delimiter) + str(answer)

    def _of(self, number: int) -> tuple[str, str, str]:
        """Context, right answer, and the next question's answer that is another."""
        if self._texts is None:
            self._texts = [self._text(doc) for doc in self.eval_docs]
        context, gold = self._texts[number]
        count = len(self._texts)
        for step in range(1, count):
            other = self._texts[(number + step) % count][1]
            if other != gold:
                return context, gold, other
        raise RecipeError(
            f"task {self.config.task}: all its questions have the same answer, so there is none to "
            "compare it with; leave it out of the suite"
        )

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Instance]:
        context, *answers = self._of(kwargs["metadata"][1])
        self._answers[_key(doc)] = tuple(answers)
        settings = {"metadata": kwargs["metadata"], "doc": doc, "request_type": "loglikelihood"}
        return [
            Instance(arguments=(context, answer), idx=i, **settings)
            for i, answer in enumerate(answers)
        ]

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
        values = [
            bits_per_byte(likelihood, answer)
            for (likelihood, _), answer in zip(results, self._answers[_key(doc)], strict=True)
        ]
        return dict(zip((GOLD_BITS, FLOOR_BITS), values))

    def aggregation(self) -> dict[str, Any]:
        return dict.fromkeys((GOLD_BITS, FLOOR_BITS), mean)

    def higher_is_better(self) -> dict[str, bool]:
        return dict.fromkeys((GOLD_BITS, FLOOR_BITS), False)


def _key(doc: dict[str, Any]) -> str:
    return json.dumps(doc, ensure_ascii=False, sort_keys=True, default=str)


def gold_task(task: ConfigurableTask) -> ConfigurableTask:
    """Turn a task, just loaded, into the one that asks for its right answers.

    Args:
        task: of choices, or with a right answer to be generated; it is changed.

    Raises:
        RecipeError: it has no right answer to be read.
    """
    if task.OUTPUT_TYPE not in ("multiple_choice", "generate_until"):
        raise RecipeError(
            f"task {task.task_name}: {GOLD_BITS} needs a right answer in words, and this one asks "
            f"for {task.OUTPUT_TYPE}"
        )
    task.__class__ = type("GoldTask", (GoldMixin, type(task)), {})
    # A subject's config keeps its name when it is merely assigned to.
    vars(task.config)["task"] = f"{task.task_name}{GOLD_TASK}"
    task._filters = [build_filter_ensemble("none", [["take_first", None]])]
    task.OUTPUT_TYPE = GoldMixin.OUTPUT_TYPE  # lm-eval has it on the object as well
    task._answers = {}
    return task
