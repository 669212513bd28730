"""A run against a faulty server: no answer lost or doubled, and what stops it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_recipes.ask import Answer, AnswerStore, Request, ask
from data_recipes.ask.asking import IN_A_ROW
from data_recipes.common.errors import RecipeError

from .ask_program import questions
from .conftest import collect
from .model_server import FAULTS, ModelServer, echo


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
