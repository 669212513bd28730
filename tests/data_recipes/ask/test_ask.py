"""The client against a faulty server: no answer lost, none doubled, none paid for twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_recipes.ask import (
    Answer,
    AnswerStore,
    Endpoint,
    Request,
    Sampling,
    answers_to,
    ask,
    request_id,
)
from data_recipes.ask.asking import IN_A_ROW
from data_recipes.ask.client import retry_after
from data_recipes.common.errors import RecipeError
from tests import processes
from tests.conftest import ROOT, environment
from tests.processes import Program

from .ask_program import questions
from .model_server import FAULTS, ModelServer, echo


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer().running() as running:
        yield running


def collect(requests: list[Request], endpoint: Endpoint, folder: Path) -> dict[str, Answer]:
    with AnswerStore(folder) as store:
        found = answers_to(requests, {"stub": endpoint}, store)
        return {request.messages[-1]["content"]: answer for request, answer in found}


def test_no_fault_loses_or_doubles_an_answer(server: ModelServer, tmp_path: Path) -> None:
    endpoint = server.endpoint(concurrency=16, prompt_price=1.0, completion_price=2.0)
    requests = questions(120)

    def faults(prompt: str, tries: int) -> str | None:
        number = int(prompt.split()[1])
        # The first is right, so that a wrong model later is a fault of that answer alone.
        return FAULTS[number % len(FAULTS)] if number >= 16 and tries == 0 else None

    server.faults = faults
    seen: Counter[str] = Counter()
    with AnswerStore(tmp_path) as store:
        totals = ask(
            requests,
            {"stub": endpoint},
            store,
            seen=lambda request, answer: seen.update([request.messages[0]["content"]]),
        )
        spent = store.spent()
    answers = collect(requests, endpoint, tmp_path)
    assert set(answers) == set(seen) == {f"question {i}" for i in range(120)}
    assert set(seen.values()) == {1}
    assert all(a.status == "answered" and a.finish_reason == "stop" for a in answers.values())
    # Every answer is that of its own question.
    bodies = {body["messages"][0]["content"]: body for body in server.bodies}
    assert all(answer.text == echo(bodies[prompt]) for prompt, answer in answers.items())
    faulty = [FAULTS[i % len(FAULTS)] for i in range(16, 120)]
    assert totals.retries == len(faulty)
    # What the wrong model wrote was paid for as well.
    paid = 120 + faulty.count("wrong_model")
    assert spent.answers == paid > 120
    assert spent.cost == pytest.approx(paid * (10 * 1.0 + 5 * 2.0) / 1e6)
    assert totals.cost == pytest.approx(spent.cost)
    assert server.busiest <= 16 + faulty.count("hang")


def test_a_second_run_asks_nothing(server: ModelServer, tmp_path: Path) -> None:
    endpoint, requests = server.endpoint(), questions(30)
    for stored in (0, 30):
        with AnswerStore(tmp_path) as store:
            totals = ask(requests, {"stub": endpoint}, store)
        assert (totals.stored, totals.answered) == (stored, 30 - stored)
    assert set(server.asked.values()) == {1}
    # Nor does it need a server.
    gone = endpoint.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})
    with AnswerStore(tmp_path) as store:
        assert ask(requests, {"stub": gone}, store).stored == 30


def test_equal_requests_are_asked_once(server: ModelServer, tmp_path: Path) -> None:
    server.delay = 0.02
    requests = [*questions(3) * 5]
    told = []
    with AnswerStore(tmp_path) as store:
        endpoints = {"stub": server.endpoint()}
        ask(requests, endpoints, store, seen=lambda request, answer: told.append(answer.text))
        assert store.spent().answers == 3
    assert set(server.asked.values()) == {1}
    assert len(told) == 15 and len(set(told)) == 3


def test_killed_again_and_again_it_ends_with_the_same_answers(
    server: ModelServer, tmp_path: Path
) -> None:
    count, concurrency = 400, 8
    server.delay = 0.01
    endpoint = server.endpoint(concurrency=concurrency, timeout_seconds=30)
    command = ["-m", "tests.data_recipes.ask.ask_program"]
    command += [endpoint.model_dump_json(), str(tmp_path / "killed"), str(count)]
    kills = 0
    for at in (60, 140, 260):
        process = Program(command)
        while sum(server.answered.values()) < at and process.poll() is None:
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
    assert kills == 3
    # Power loss in the middle of a write: the log ends in half a record.
    log = tmp_path / "killed" / "stub.sqlite-wal"
    assert log.stat().st_size > 5000
    os.truncate(log, log.stat().st_size - 1000)
    done = processes.run(command)
    assert done.returncode == 0, done.stderr
    again = sum(server.answered.values()) - count
    assert 0 <= again <= kills * concurrency + 1
    whole = tmp_path / "whole"
    with AnswerStore(whole) as store:
        ask(questions(count), {"stub": endpoint}, store)
    killed = collect(questions(count), endpoint, tmp_path / "killed")
    assert killed == collect(questions(count), endpoint, whole) and len(killed) == count
    with AnswerStore(tmp_path / "killed") as store:
        assert store.spent().answers == count


def test_ctrl_c_stops_and_keeps_what_was_answered(server: ModelServer, tmp_path: Path) -> None:
    server.delay = 0.02
    endpoint = server.endpoint(timeout_seconds=30)
    command = [sys.executable, "-m", "tests.data_recipes.ask.ask_program"]
    process = subprocess.Popen(
        [*command, endpoint.model_dump_json(), str(tmp_path), "5000"],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs, such as a test run, with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while sum(server.answered.values()) < 50:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=10)[1]
    with AnswerStore(tmp_path) as store:
        assert sum(server.answered.values()) - store.spent().answers <= endpoint.concurrency


def test_the_source_is_read_as_it_is_needed(server: ModelServer, tmp_path: Path) -> None:
    read, answered = 0, 0
    furthest = 0

    def source() -> Iterator[Request]:
        nonlocal read, furthest
        for request in questions(300):
            read += 1
            furthest = max(furthest, read - answered)
            yield request

    def seen(request: Request, answer: Answer) -> None:
        nonlocal answered
        answered += 1

    with AnswerStore(tmp_path) as store:
        ask(source(), {"stub": server.endpoint(concurrency=4)}, store, seen=seen)
    assert (read, answered) == (300, 300)
    assert 4 <= furthest <= 4 * 4


@pytest.mark.parametrize("fault", ["400", "500"])
def test_one_bad_request_does_not_stop_the_others(
    server: ModelServer, tmp_path: Path, fault: str
) -> None:
    server.faults = lambda prompt, tries: fault if prompt == "question 5" else None
    endpoint, requests = server.endpoint(attempts=3), questions(60)
    with AnswerStore(tmp_path) as store:
        totals = ask(requests, {"stub": endpoint}, store)
    assert totals.answered == 59
    bad = collect(requests, endpoint, tmp_path)["question 5"]
    if fault == "400":
        # Its own words, and at once.
        assert (bad.status, server.asked["question 5"]) == ("refused", 1)
        assert bad.error == "HTTP 400: prompt is longer than the context"
    else:
        assert (bad.status, server.asked["question 5"]) == ("failed", 3)
        assert bad.error.startswith("3 attempts; the last: HTTP 500")
    # What failed is asked again, what was refused is not.
    server.faults = lambda prompt, tries: None
    with AnswerStore(tmp_path) as store:
        assert ask(requests, {"stub": endpoint}, store).answered == (fault == "500")
    assert collect(requests, endpoint, tmp_path)["question 5"].status == (
        "answered" if fault == "500" else "refused"
    )


def test_an_endpoint_that_answers_nothing_stops_the_run(
    server: ModelServer, tmp_path: Path
) -> None:
    server.faults = lambda prompt, tries: "500"
    endpoint = server.endpoint(attempts=2)
    with AnswerStore(tmp_path) as store, pytest.raises(RecipeError) as error:
        ask(questions(1000), {"stub": endpoint}, store)
    assert f"'stub': {IN_A_ROW} requests in a row" in str(error.value)
    assert "HTTP 500" in str(error.value)
    assert len(server.asked) < 100
    # The server was at fault, not the requests: with another one they are all answered.
    server.faults = lambda prompt, tries: None
    with AnswerStore(tmp_path) as store:
        totals = ask(questions(100), {"stub": endpoint}, store)
    assert (totals.answered, totals.refused, totals.failed) == (100, 0, 0)


def test_refused_prompts_in_a_row_do_not_stop_the_others(
    server: ModelServer, tmp_path: Path
) -> None:
    refused = IN_A_ROW + 5
    server.faults = lambda prompt, tries: "400" if int(prompt.split()[1]) < refused else None
    with AnswerStore(tmp_path) as store:
        totals = ask(questions(refused + 5), {"stub": server.endpoint()}, store)
    assert (totals.refused, totals.answered) == (refused, 5)


def test_what_an_endpoint_refuses_that_never_answered_is_asked_again(
    server: ModelServer, tmp_path: Path
) -> None:
    # A wrong name or setting is refused for every prompt, and has nothing to do with them.
    server.faults = lambda prompt, tries: "400"
    requests, endpoint = questions(3), {"stub": server.endpoint()}
    with AnswerStore(tmp_path) as store:
        assert ask(requests, endpoint, store).refused == 3
    server.faults = lambda prompt, tries: None
    with AnswerStore(tmp_path) as store:
        assert ask(requests, endpoint, store).answered == 3
        assert ask(requests, endpoint, store).stored == 3


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


def test_what_can_be_read_of_a_damaged_store_is_saved(server: ModelServer, tmp_path: Path) -> None:
    endpoint, path = {"stub": server.endpoint()}, tmp_path / "stub.sqlite"
    with AnswerStore(tmp_path) as store:
        ask(questions(40), endpoint, store)
    content = path.read_bytes()
    # The last page, of answers, is lost.
    path.write_bytes(content[:-4096] + b"\xff" * 4096)
    with AnswerStore(tmp_path) as store, pytest.raises(RecipeError) as error:
        ask(questions(40), endpoint, store)
    assert "damaged" in str(error.value) and "delete" not in str(error.value)
    if shutil.which("sqlite3") is None:
        pytest.skip("the message's command needs sqlite3")
    command = str(error.value).split("`")[1]
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    with AnswerStore(tmp_path) as store:
        totals = ask(questions(40), endpoint, store)
    assert 0 < totals.stored < 40 and totals.stored + totals.answered == 40


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


def test_the_cap_stops_and_a_higher_one_goes_on(server: ModelServer, tmp_path: Path) -> None:
    endpoint = server.endpoint(concurrency=4, prompt_price=100, completion_price=0)
    each = 10 * 100 / 1e6
    with AnswerStore(tmp_path) as store:
        with pytest.raises(RecipeError, match="cap of 0.02 reached.*raise the cap and run"):
            ask(questions(100), {"stub": endpoint}, store, cap=20 * each)
        assert 20 <= store.spent().answers < 20 + 4
        before = store.spent().answers
        # The cap counts what earlier runs spent.
        with pytest.raises(RecipeError, match="cap of 0.02 reached"):
            ask(questions(100), {"stub": endpoint}, store, cap=20 * each)
        assert store.spent().answers == before
        assert ask(questions(100), {"stub": endpoint}, store, cap=1).answered == 100 - before
    assert set(server.asked.values()) == {1}


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


def test_the_id_is_that_of_everything_that_decides_the_answer() -> None:
    def key(content: str = "a", seed: int | None = None, **settings: object) -> bytes:
        given = {"base_url": "http://a/v1", "model": "m", "sampling": Sampling(max_tokens=5)}
        request = Request("stub", [{"role": "user", "content": content}], seed)
        return request_id(Endpoint(**given | settings), request)

    base = key()
    for same in (
        {"base_url": "https://b/v1"},
        {"concurrency": 99},
        {"prompt_price": 1.0, "completion_price": 1.0},
        {"model": "local/path", "answers_as": "m"},
    ):
        assert key(**same) == base
    for other in (
        {"content": "b"},
        {"seed": 1},
        {"model": "n"},
        {"sampling": Sampling(max_tokens=6)},
        {"sampling": Sampling(max_tokens=5, temperature=0.0)},
        {"sampling": Sampling(max_tokens=5, extra={"top_k": 20})},
    ):
        assert key(**other) != base


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("2.5") == 2.5
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 95 < retry_after(date) <= 100
    assert retry_after("inf") == retry_after("1e9") == 3600
    assert retry_after("soon") == retry_after(None) == retry_after("-3") == 0
