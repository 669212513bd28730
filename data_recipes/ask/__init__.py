"""Questions to language models behind OpenAI-compatible servers, each asked and paid for once.

    with AnswerStore(folder) as store:
        ask(requests, endpoints, store)  # any iterable, read as it is needed; run again to go on
        for request, answer in answers_to(requests, endpoints, store):
            ...

A request names its endpoint. What decides its answer (model, messages, sampling) is hashed to its
id, under which the store keeps the answer; so a killed run goes on where it was, and a finished one
needs no server. `rows` is the engine on top of it: a room says what it asks about a row and what it
makes of the answers.
"""

from .asking import answers_to, ask
from .config import Endpoint, EndpointName, Sampling, check_cap
from .exchange import Answer, Request, Spent, request_id
from .progress import Totals, progress_bar
from .store import AnswerStore

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
