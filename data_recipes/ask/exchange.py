"""A request, the hash by which it is known, and the answer to it."""

import hashlib
import re
import unicodedata
from dataclasses import astuple, dataclass
from operator import add
from typing import Any, Literal

import orjson

from .config import Endpoint

# Of chat formats and tokenizers; a server may take them for its own, wherever they stand.
CONTROL_TOKEN = re.compile(
    r"<[|｜][^<>|｜\n]{2,40}[|｜]>|</?(?:think|tool_call|tool_response)>|\[/?INST\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>|<unk>|<pad>"
)
_BEGIN_THOUGHTS, _END_THOUGHTS = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one endpoint.

    Attributes:
        endpoint: name of the endpoint.
        messages: the conversation, `{"role": …, "content": …}` each; a content is a text, or a
            list of parts as the API has them.
        seed: in place of the endpoint's; with another seed it is another request, so several
            answers to one question are requests with several seeds.
        data: the caller's own, handed back with the answer and not sent.
    """

    endpoint: str
    messages: list[dict[str, Any]]
    seed: int | None = None
    data: Any = None


def request_body(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    """Build the JSON body of a chat-completion request."""
    body = {
        "model": endpoint.model,
        "messages": request.messages,
        **endpoint.sampling.fields(),
    }
    return body if request.seed is None else body | {"seed": request.seed}


def request_id(endpoint: Endpoint, request: Request) -> bytes:
    """Hash all that decides the answer (model, messages, sampling) with SHA-256; 32 bytes.

    The server's address, its concurrency and its prices do not count: the same model elsewhere
    would have given the same.
    """
    body = request_body(endpoint, request) | {"model": endpoint.identity}
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


def break_control_tokens(text: str) -> str:
    """Put a space into tokens of chat formats, so that they are read as text and nothing else."""
    return CONTROL_TOKEN.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


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

    def split_thoughts(self) -> tuple[str, str]:
        """Return thoughts and text, whether the server took them apart or not, without white space
        around them and with composed Hangul; no thoughts are an empty text."""
        thoughts, text = (unicodedata.normalize("NFC", t) for t in (self.reasoning, self.text))
        if thoughts:
            return thoughts.strip(), text.strip()
        # Many templates write the opening tag into the prompt, so that the answer lacks it.
        thoughts, end, text = text.partition(_END_THOUGHTS)
        if not end:
            return "", thoughts.strip()
        return thoughts.strip().removeprefix(_BEGIN_THOUGHTS).strip(), text.strip()

    def missing(self) -> tuple[str, str] | None:
        """Return why this is no whole answer, as a name and a sentence; `None` if it is one."""
        if self.status == "refused":
            return "refused_by_server", self.error or ""
        if self.status == "failed":
            return "no_answer", self.error or ""
        if self.finish_reason == "length":
            return "truncated", f"stopped after {self.completion_tokens} tokens"
        if self.finish_reason != "stop":
            return "unfinished", f"finish_reason {self.finish_reason!r}"
        return None


@dataclass(frozen=True, slots=True)
class Spent:
    """What was paid for, answers that could not be used included."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(*map(add, astuple(self), astuple(other)))
