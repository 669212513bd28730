"""Items, conversations, preference pairs and long documents are right, checked from their text."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from data_recipes.toy import CorpusConfig, documents, generate_corpus
from data_recipes.toy.chats import chats
from data_recipes.toy.items import KINDS, SPLITS, ReasoningItem, items, unique_items
from data_recipes.toy.preferences import FAULTS, preferences
from tests.data_recipes.toy.item_solver import solve

LANGUAGES = ("en", "ko")


def take(stream: Any, number: int) -> list[Any]:
    return list(itertools.islice(stream, number))


def problem_of(item: ReasoningItem) -> tuple[Any, ...]:
    """What the item asks, read off its question; the same in both languages."""
    return solve(item.kind, item.language, item.question)[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_is_that_of_its_question(language: str) -> None:
    for item in take(items(language, "train", 1), 1000):
        _, answer = solve(item.kind, language, item.question)
        assert item.value == answer, item
        assert item.value != item.wrong, item
        assert item.answer.removesuffix(".").removesuffix("입니다").endswith(item.value)
        assert item.reasoning.endswith(item.value), item
        assert item.wrong_reasoning.endswith(item.wrong), item
        assert len(item.question.split()) <= 40
        for left, right in re.findall(r"(\d+ [-+] \d+) = (\d+)", item.reasoning):
            assert eval(left) == int(right), item


def test_no_problem_is_in_two_splits_in_any_language() -> None:
    problems = {
        split: {
            problem_of(item)
            for language in LANGUAGES
            for item in take(items(language, split, 3), n)
        }
        for split, n in zip(SPLITS, (6000, 1500, 1500))
    }
    for one, other in itertools.combinations(SPLITS, 2):
        assert not problems[one] & problems[other]


def test_streams_are_deterministic_and_differ_by_seed() -> None:
    for language in LANGUAGES:
        for stream in (partial(items, language, "train"), partial(chats, language)):
            assert take(stream(4), 50) == take(stream(4), 50) != take(stream(5), 50)
        assert take(preferences(language, 4), 50) == take(preferences(language, 4), 50)
        assert take(preferences(language, 4), 50) != take(preferences(language, 5), 50)
    with pytest.raises(ValueError, match="validation"):
        items("en", "dev", 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_unique_items_differ_and_are_balanced(language: str) -> None:
    found = list(unique_items(language, "test", 1000, 0))
    assert len({problem_of(item) for item in found}) == len({i.question for i in found}) == 1000
    assert len({item.id for item in found}) == 1000
    assert Counter(item.kind for item in found) == dict.fromkeys(KINDS, 200)
    with pytest.raises(ValueError, match="test split has too few of kind"):
        list(unique_items(language, "test", 6_000, 0))


def test_share_of_korean_traces() -> None:
    for share in (0.0, 0.5, 1.0):
        found = take(items("ko", "train", 0, native_traces=share), 400)
        korean = sum("결과: " in item.reasoning for item in found)
        assert abs(korean / 400 - share) < 0.1 * (0 < share < 1) + 1e-9
    for item in take(items("en", "train", 0), 200):
        assert not re.search("[가-힣]", item.question + item.reasoning + item.answer)


@pytest.mark.parametrize("language", LANGUAGES)
def test_conversations(language: str) -> None:
    rows = take(chats(language, 0), 1000)
    assert sum(row["thinking"] for row in rows) == 500
    single = Counter(row["thinking"] for row in rows if row["kind"] in KINDS)
    assert 0.7 < single[True] / single[False] < 1.4
    seen: Counter[str] = Counter()
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        seen["system"] += roles[0] == "system"
        roles = roles[roles[0] == "system" :]
        seen["several"] += roles.count("user") > 1
        if "tool" in roles:
            assert roles == ["user", "assistant", "tool", "assistant"]
        else:
            assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert ("tools" in row) == ("tool" in roles)
        if "tools" in row:
            seen["tools"] += 1
            (call,) = next(m for m in row["messages"] if "tool_calls" in m)["tool_calls"]
            (reply,) = (m["content"] for m in row["messages"] if m["role"] == "tool")
            (result,) = json.loads(reply).values()
            assert json.loads(call["function"]["arguments"])
            assert call["function"]["name"] in {t["function"]["name"] for t in row["tools"]}
            assert str(result) in row["messages"][-1]["content"]
        thoughts = [m.get("reasoning_content") for m in row["messages"]]
        assert any(thoughts) == row["thinking"] and "" not in thoughts
    assert min(seen["system"], seen["several"], seen["tools"]) > 50


@pytest.mark.parametrize("language", LANGUAGES)
def test_rejected_answers_have_the_fault_they_are_said_to_have(language: str) -> None:
    seen = Counter()
    for pair in take(preferences(language, 0), 600):
        (chosen,), (rejected,) = pair["chosen"], pair["rejected"]
        assert ("reasoning_content" in chosen) == ("reasoning_content" in rejected)
        question = pair["prompt"][0]["content"]
        value, wrong = solve(pair["kind"], language, question)[1], rejected["content"]
        assert re.search(rf"(is |답은 ){value}(\.|입니다\.)$", chosen["content"])
        seen[pair["why"]] += 1
        if pair["why"] == "wrong_answer":
            assert not re.search(rf"(is |답은 ){value}(\.|입니다\.)$", wrong)
        elif pair["why"] == "wrong_language":
            assert ("The answer" in wrong) == (language == "ko")
        elif pair["why"] == "no_answer":
            assert value not in wrong
        else:
            assert wrong == " ".join([chosen["content"]] * 4)
    assert set(seen) == set(FAULTS)


@pytest.mark.parametrize(
    ("language", "recall"),
    [
        ("en", r"What is the code of the (\w+ \w+)\? The code of the (\w+ \w+) is (\d{4})\."),
        ("ko", r"(\w+ \w+)의 암호는 무엇인가\? (\w+ \w+)의 암호는 (\d{4})이?다\."),
    ],
)
def test_long_documents_recall_what_they_planted(language: str, recall: str) -> None:
    fact = recall.partition(r"\? ")[2]
    longest, shortest = 0, 10_000
    for text in take(documents("long", language, 0), 20):
        assert 8_000 <= len(text) <= 17_000
        planted: dict[str, tuple[str, int]] = {}
        recalls = 0
        for found in re.finditer(rf"^(?:{recall}|{fact})$", text, re.M):
            asked, told, code, new, new_code = found.groups()
            if new:
                assert new not in planted
                planted[new] = new_code, found.start()
                continue
            recalls += 1
            assert asked == told and planted[told][0] == code
            distance = found.start() - planted[told][1]
            longest, shortest = max(longest, distance), min(shortest, distance)
        assert recalls >= 15 and len({code for code, _ in planted.values()}) == len(planted)
        assert recalls == len(re.findall(recall, text))
    assert longest > 7_000 and shortest < 500


@pytest.mark.parametrize("language", LANGUAGES)
def test_traces_are_rendered_as_the_chat_template_does(language: str) -> None:
    for text in take(documents("traces", language, 0), 20):
        blocks = re.findall(r"(?:^|\n\n)(.+)\n<think>\n((?:.+\n)+)</think>\n\n(.+)(?=\n\n|$)", text)
        assert len(blocks) == text.count("<think>") == 1
        _, reasoning, answer = blocks[0]
        assert re.split("[ :,]", reasoning.strip())[-1] in answer


def test_extra_files_leave_the_others_as_they_were(tmp_path: Path) -> None:
    plain = generate_corpus(tmp_path / "plain", 0.2, 0)
    config = CorpusConfig(
        megabytes=0.2, extra={"traces": 0.05, "long": 0.1}, chats=20, preferences=10
    )
    sizes = generate_corpus(tmp_path / "more", **config.model_dump())
    for stem in plain:
        name = f"{stem}.jsonl"
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "more" / name).read_bytes()
    added = {"traces": 25_000, "long": 50_000}
    for language in LANGUAGES:
        for genre, size in added.items():
            assert size <= sizes[f"{genre}_{language}"] < size + 40_000
        for name, number in (("chats", 20), ("preferences", 10)):
            file = tmp_path / "more" / f"{name}_{language}.jsonl"
            assert len(file.read_text("utf-8").splitlines()) == number
            assert sizes[f"{name}_{language}"] == file.stat().st_size
    assert len(sizes) == len(plain) + 8


def test_record_of_a_corpus_without_extras_is_the_old_one() -> None:
    assert CorpusConfig(megabytes=10).record() == '{"megabytes":10.0,"seed":0}'
    assert '"chats":3' in CorpusConfig(megabytes=10, chats=3).record()
    with pytest.raises(ValueError, match="traces"):
        CorpusConfig(megabytes=10, extra={"poems": 1})
