"""Asks the judge, and keeps with every verdict all that it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.ask import Answer, AnswerStore, Endpoint, Request, ask, request_id
from data_recipes.common.errors import RecipeError

from .prompts import Judgement, Prompts
from .verdicts import read_score, read_winner

_NAME = "judge"


@dataclass(frozen=True)
class Verdict:
    """What the judge said.

    Attributes:
        judgement: what it was asked.
        id: hash of all that decides the verdict: judge, prompt, sampling.
        status: `answered`, or `refused` by the server, a prompt beyond its context most often.
        result: score or winner; `None` if it could not be read.
        text: in the judge's words.
        finish_reason: `length` if it was cut off.
        model: as the server names it.
    """

    judgement: Judgement
    id: str
    status: str
    result: Any
    text: str
    finish_reason: str | None
    model: str | None

    def record(self, endpoint: Endpoint, prompts: Prompts) -> dict[str, Any]:
        """One line of `verdicts.jsonl`."""
        return {
            "id": self.id,
            "question": self.judgement.question,
            "category": self.judgement.category,
            "part": self.judgement.part,
            "result": self.result,
            "status": self.status,
            "finish_reason": self.finish_reason,
            "judge": self.model or endpoint.model,
            "sampling": endpoint.sampling.fields(),
            "prompt": prompts.path.name,
            "prompt_sha256": self.judgement.prompt_sha256,
            "text": self.text,
        }


def ask_judge(judgements: list[Judgement], endpoint: Endpoint, out: Path) -> list[Verdict]:
    """Every verdict, in order; those that are in `out` already are not asked for again.

    Raises:
        RecipeError: the judge cannot be reached, or has not answered all.
    """
    requests = [
        Request(_NAME, [{"role": "user", "content": own.prompt}], data=number)
        for number, own in enumerate(judgements)
    ]
    answers: dict[int, Answer] = {}

    def seen(request: Request, answer: Answer) -> None:
        answers[request.data] = answer

    with AnswerStore(out / "verdicts") as store:
        totals = ask(requests, {_NAME: endpoint}, store, seen=seen, total=len(requests))
    if totals.failed:
        failed = next(answer for answer in answers.values() if answer.status == "failed")
        raise RecipeError(
            f"{totals.failed:,} of {len(requests):,} verdicts are missing ({failed.error}); the "
            "others are kept, run the same command to go on"
        )
    return [
        _read(own, request_id(endpoint, request), answers[request.data])
        for own, request in zip(judgements, requests)
    ]


def _read(judgement: Judgement, key: bytes, answer: Answer) -> Verdict:
    if judgement.part.startswith("turn"):
        result: Any = read_score(answer.text)
    else:
        result = read_winner(answer.text, judgement.part)
    return Verdict(
        judgement,
        key.hex(),
        answer.status,
        result,
        answer.text,
        answer.finish_reason,
        answer.model,
    )
