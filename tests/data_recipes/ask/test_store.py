"""What was answered is kept, whatever ends the run, and not paid for twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_recipes.ask import AnswerStore, Endpoint, Request, Sampling, ask, request_id
from data_recipes.common.errors import RecipeError
from tests import processes
from tests.conftest import ROOT, environment
from tests.processes import Program

from .ask_program import questions
from .conftest import collect
from .model_server import ModelServer


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
