"""What comes back for a request, and reading it out of a server's reply."""

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from .config import Endpoint

_SHOWN = 300  # characters of a server's reply that go into a message


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        status: `answered`; `refused`: the server will not have this request, its message is in
            `error` (a prompt beyond the context, most often); `failed`: no usable answer in all
            attempts, asked again by the next run.
        text: what the model wrote; empty unless answered.
        reasoning: its thoughts, from servers that take them apart; empty otherwise.
        finish_reason: as the server gives it: `stop`, `length`, …
        model: as the server gives it.
        prompt_tokens: tokens read; 0 from a server that does not say.
        completion_tokens: tokens written, thoughts included.
        cost: by the endpoint's prices.
        error: why there is no answer.
    """

    status: Literal["answered", "refused", "failed"]
    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What was paid for, answers that could not be used included."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.answers + other.answers,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )


class BrokenReply(Exception):
    """A reply that is no answer, although the server called it one."""


def shown(reply: bytes | str) -> str:
    """A server's reply for a message: its own words where there are some, and not too many."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    try:
        error = orjson.loads(text)
        for key in ("error", "message", "detail"):
            if isinstance(error, dict) and error.get(key):
                error = error[key]
        text = error if isinstance(error, str) else text
    except orjson.JSONDecodeError:
        pass
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def parse_answer(endpoint: Endpoint, reply: bytes) -> Answer:
    """Read a chat completion.

    Raises:
        BrokenReply: not JSON (a cut connection, most often), or without what an answer has.
    """
    try:
        body: dict[str, Any] = orjson.loads(reply)
        choice = body["choices"][0]
        message = choice["message"]
        usage = body.get("usage") or {}
        text, reasoning = message.get("content"), message.get("reasoning_content")
        reasoning = reasoning or message.get("reasoning")
        prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        return Answer(
            "answered",
            _as_text(text),
            _as_text(reasoning),
            choice.get("finish_reason"),
            str(body["model"]),
            int(prompt),
            int(completion),
            endpoint.cost(int(prompt), int(completion)),
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BrokenReply(f"not a chat completion ({error!r}): {shown(reply)}") from error


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"text is a {type(value).__name__}")
    return value
