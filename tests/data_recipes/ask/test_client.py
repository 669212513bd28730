"""What a server says: what is tried again, and what is no answer, or no server."""

import asyncio
import time
from pathlib import Path

import pytest

from data_recipes.ask import AnswerStore, Endpoint, ask
from data_recipes.ask.client import Client, Fault, backoff, retry_after
from data_recipes.ask.exchange import request_body
from data_recipes.common.errors import RecipeError

from .ask_program import questions
from .conftest import collect
from .model_server import ModelServer


@pytest.mark.parametrize("status", ["408", "409", "425", "429", "503"])
def test_what_may_pass_is_tried_again(server: ModelServer, tmp_path: Path, status: str) -> None:
    server.faults = lambda prompt, tries: status if tries < 2 else None
    with AnswerStore(tmp_path) as store:
        totals = ask(questions(1), {"stub": server.endpoint(attempts=3)}, store)
    assert (totals.answered, totals.retries) == (1, 2)


BAD_REPLIES = {
    "usage is a text": {"usage": {"prompt_tokens": "n/a", "completion_tokens": 5}},
    "usage is a list": {"usage": [1]},
    "usage is negative": {"usage": {"prompt_tokens": 10, "completion_tokens": -100_000_000}},
    "usage is beyond the database": {"usage": {"prompt_tokens": 2**63, "completion_tokens": 5}},
    "usage is a fraction": {"usage": {"prompt_tokens": 1.5, "completion_tokens": 5}},
    "finish_reason is a list": {"finish_reason": ["stop"]},
    "content is a number": {"message": {"content": 5}},
    "reasoning is a list": {"message": {"content": "x", "reasoning_content": ["x"]}},
    "model is a number": {"model": 7},
    "no message": {"message": None},
}


@pytest.mark.parametrize("flaw", BAD_REPLIES)
def test_nothing_wrong_in_a_reply_reaches_the_store(
    server: ModelServer, tmp_path: Path, flaw: str
) -> None:
    good = {"message": {"content": "fine"}}
    server.write = lambda body: (
        good | (BAD_REPLIES[flaw] if body["messages"][0]["content"] == "question 0" else {})
    )
    endpoint = server.endpoint(attempts=2, prompt_price=1e6, completion_price=1e6)
    with AnswerStore(tmp_path) as store:
        totals = ask(questions(3), {"stub": endpoint}, store, cap=1000)
        # Asked for once more, and then done without; what was written for the others is counted.
        assert (totals.answered, totals.failed, totals.retries) == (2, 1, 1)
        assert store.spent().cost == 2 * 15
    answers = collect(questions(3), endpoint, tmp_path)
    assert answers["question 0"].error.startswith("2 attempts; the last: not a chat completion")
    assert [answers[f"question {i}"].text for i in (1, 2)] == ["fine", "fine"]


def test_a_wrong_model_stops_the_run_before_it_costs_much(
    server: ModelServer, tmp_path: Path
) -> None:
    endpoint = server.endpoint(model="other")
    with AnswerStore(tmp_path) as store, pytest.raises(RecipeError) as error:
        ask(questions(1000), {"stub": endpoint}, store)
    assert "answered by model 'stub-1b', not 'other'" in str(error.value)
    assert "answers_as" in str(error.value)
    assert sum(server.asked.values()) <= endpoint.concurrency
    with AnswerStore(tmp_path) as store:
        named = endpoint.model_copy(update={"answers_as": "stub-1b"})
        assert ask(questions(3), {"stub": named}, store).answered == 3


def test_start_up_errors_name_the_remedy(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(endpoint: Endpoint, **options: object) -> str:
        with AnswerStore(tmp_path) as store, pytest.raises(RecipeError) as raised:
            ask(questions(3), {"stub": endpoint}, store, **options)
        return str(raised.value)

    gone = server.endpoint(base_url="http://127.0.0.1:9/v1")
    assert "nothing answers at http://127.0.0.1:9/v1" in error(gone)
    assert "a spending cap needs prices: give stub" in error(server.endpoint(), cap=1)
    keyed = server.endpoint(api_key_env="STUB_KEY")
    assert "STUB_KEY is not set" in error(keyed)
    server.key = "secret"
    monkeypatch.setenv("STUB_KEY", "wrong")
    said = error(keyed)
    assert "HTTP 401: no such key" in said and "STUB_KEY" in said and "wrong" not in said
    monkeypatch.setenv("STUB_KEY", "secret")
    server.faults = lambda prompt, tries: "no_usage"
    assert "do not say how many tokens" in error(
        keyed.model_copy(update={"prompt_price": 1.0, "completion_price": 1.0})
    )
    server.faults = lambda prompt, tries: None
    with AnswerStore(tmp_path) as store:
        assert ask(questions(3), {"stub": keyed}, store).answered == 3
        with pytest.raises(RecipeError, match="another run is at work"):
            AnswerStore(tmp_path).spent()
    (tmp_path / "stub.sqlite").write_bytes(b"no database" * 100)
    said = error(keyed)
    assert "the file is damaged" in said and "sqlite3" in said and "delete" not in said


def test_a_server_is_left_alone_as_long_as_it_asks(server: ModelServer) -> None:
    endpoint = server.endpoint(backoff_seconds=1e-6)
    server.faults = lambda prompt, tries: "429"

    async def once() -> None:
        client = Client("stub", endpoint)
        await client.reach()
        try:
            await client.once(request_body(endpoint, next(iter(questions(1)))))
        finally:
            await client.close()

    with pytest.raises(Fault) as raised:
        asyncio.run(once())
    assert raised.value.wait == 0.05  # what the server says
    assert 0.05 <= backoff(endpoint, 1, raised.value) < 0.051


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("2.5") == 2.5
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 95 < retry_after(date) <= 100
    assert retry_after("inf") == retry_after("1e9") == 3600
    assert retry_after("soon") == retry_after(None) == retry_after("-3") == 0
