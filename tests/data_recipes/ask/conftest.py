"""A faulty server, and the answers that a store has of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_recipes.ask import Answer, AnswerStore, Endpoint, Request, answers_to

from .model_server import ModelServer


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer().running() as running:
        yield running


def collect(requests: list[Request], endpoint: Endpoint, folder: Path) -> dict[str, Answer]:
    with AnswerStore(folder) as store:
        found = answers_to(requests, {"stub": endpoint}, store)
        return {request.messages[-1]["content"]: answer for request, answer in found}
