"""Questions to language models behind OpenAI-compatible servers, each asked and paid for once.

    with AnswerStore(folder) as store:
        ask(requests, endpoints, store)  # any iterable, read as it is needed; run again to go on
        for request, answer in answers_to(requests, endpoints, store):
            ...

A request names its endpoint. What decides its answer (model, messages, sampling) is hashed to its
id, under which the store keeps the answer; so a killed run goes on where it was, and a finished one
needs no server.
"""

from .answers import Answer, Spent
from .ask import answers_to, ask
from .config import Endpoint, EndpointName, Sampling, check_cap
from .request import Request, request_id
from .show import progress_bar
from .store import AnswerStore
from .totals import Totals

__all__ = [
    "Answer",
    "AnswerStore",
    "Endpoint",
    "EndpointName",
    "Request",
    "Sampling",
    "Spent",
    "Totals",
    "answers_to",
    "ask",
    "check_cap",
    "progress_bar",
    "request_id",
]
