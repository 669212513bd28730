"""A request, and the hash by which it is known."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from .config import Endpoint


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one endpoint.

    Attributes:
        endpoint: name of the endpoint.
        messages: the conversation, `{"role": …, "content": …}` each.
        seed: in place of the endpoint's; with another seed it is another request, so several
            answers to one question are requests with several seeds.
        data: the caller's own, handed back with the answer and not sent.
    """

    endpoint: str
    messages: list[dict[str, str]]
    seed: int | None = None
    data: Any = None


def request_body(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    """What is sent."""
    body = {
        "model": endpoint.model,
        "messages": request.messages,
        **endpoint.sampling.fields(),
    }
    return body if request.seed is None else body | {"seed": request.seed}


def request_id(endpoint: Endpoint, request: Request) -> bytes:
    """SHA-256 of all that decides the answer: model, messages, sampling; 32 bytes.

    Not of the server's address, its concurrency or its prices: the same model elsewhere would have
    given the same.
    """
    body = request_body(endpoint, request) | {"model": endpoint.identity}
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
