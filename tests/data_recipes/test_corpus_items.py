"""Items, conversations, preference pairs and long documents are right, checked from their text."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_recipes.config import CorpusConfig
from data_recipes.corpus import documents, generate_corpus
from data_recipes.corpus.chats import chats
from data_recipes.corpus.items import KINDS, SPLITS, ReasoningItem, items, unique_items
from data_recipes.corpus.preferences import FAULTS, preferences

LANGUAGES = ("en", "ko")
DAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "ko": [f"{day}요일" for day in "월화수목금토일"],
}
MONTHS = {
    "en": "January February March April May June July August September October November "
    "December".split(),
    "ko": [f"{n}월" for n in range(1, 13)],
}
# Small units of which this many make the named large one.
SIZES = {
    "minute second": 60,
    "hour minute": 60,
    "day hour": 24,
    "week day": 7,
    "year month": 12,
    "분 초": 60,
    "시간 분": 60,
    "일 시간": 24,
    "며칠 시간": 24,
    "주 일": 7,
    "년 개월": 12,
}
ZEROS = {"cm": 100, "m": 1000, "g": 1000, "mL": 1000}


def take(stream: Any, number: int) -> list[Any]:
    return list(itertools.islice(stream, number))


def solve(item: ReasoningItem) -> tuple[tuple[Any, ...], str]:
    """The problem, free of language and wording, and its answer, both from the question alone."""
    solver = {
        "arithmetic": _arithmetic,
        "comparison": _comparison,
        "dates": _dates,
        "units": _units,
        "logic": _logic,
    }[item.kind]
    problem, answer = solver(item.question, item.language)
    return (item.kind, *problem), answer


def _arithmetic(question: str, language: str) -> tuple[tuple[Any, ...], str]:
    if listed := re.search(
        r"(?:list: |목록은 |나옵니까\? )(\S+(?:, \S+)+?)(?:[.?]|입니다|$)", question
    ):
        target = re.search(r"times is (\w+)|say (\w+)|(?:에|다\.) (\w+)[은는이가] 몇", question)
        assert target is not None, question
        word, words = next(filter(None, target.groups())), listed[1].split(", ")
        order = "apple pear peach plum lemon melon" if language == "en" else FRUITS_KO
        indices = [order.split().index(w) for w in [word, *words]]
        return ("count", *indices), str(words.count(word))
    signs = re.findall(r"(- |gives away |Take away |)(\d+)(개를 남에게|[을를] 뺍|)", question)
    numbers = [-int(n) if before or after else int(n) for before, n, after in signs]
    return ("total", *sorted(numbers)), str(sum(numbers))


FRUITS_KO = "사과 배 복숭아 자두 레몬 참외"


def _comparison(question: str, language: str) -> tuple[tuple[Any, ...], str]:
    numbers = sorted(map(int, re.findall(r"\d+", question)))
    largest = bool(re.search(r"large|큰", question))
    return tuple(numbers), str(numbers[-1] if largest else numbers[0])


def _dates(question: str, language: str) -> tuple[tuple[Any, ...], str]:
    day = bool(re.search(r"Which day|무슨 요일", question))
    names = (DAYS if day else MONTHS)[language]
    found = re.search(
        r"\d+월(?=에서|입)|[월화수목금토일]요일" if language == "ko" else r"[A-Z]\w+(?=\.)",
        question,
    )
    assert found is not None, question
    start = names.index(found[0])
    if language == "en":
        moves = re.findall(r"()(\d+) \w+ (before)?|Go (back|on) (\d+)", question)
        moves = re.findall(r"(Go back )?(\d+) \w+(?: (before))?", question)
        spans = [-int(n) if back or before else int(n) for back, n, before in moves]
    else:
        moves = re.findall(r"(\d+)(?:일|개월)(을 거슬| 전)?", question)
        spans = [-int(n) if back else int(n) for n, back in moves]
    return (day, start, *spans), names[(start + sum(spans)) % len(names)]


def _units(question: str, language: str) -> tuple[tuple[Any, ...], str]:
    if joined := re.search(
        r"(\d+) ?(m|km|kg|L) (\d+) ?(cm|mL|m|g)\b|(\d+)(?:m|km|kg|L) (\d+)", question
    ):
        numbers = [int(n) for n in re.findall(r"\d+", question)]
        small = re.findall(r"\b(?:cm|mL|g|m)\b|(?<=\d)(?:cm|mL|g|m)(?=[가-힣])", question)[-1]
        small = re.search(r"\d ?(cm|mL|m|g)(?:[ ?.가-힣]|$)", question[joined.start(3) :])[1]
        size = ZEROS["m" if small == "m" else small]
        return ("join", size, *numbers), str(numbers[0] * size + numbers[1])
    total = int(re.search(r"\d+", question)[0])
    if language == "en":
        large, small = re.search(r"(\w+)s and (\w+?)s\b", question).groups()
        whole, rest = divmod(total, size := SIZES[f"{large} {small}"])
        parts = [f"{n} {unit}{'s' * (n > 1)}" for n, unit in ((whole, large), (rest, small))]
        return ("split", size, total), " ".join(parts)
    asked = re.search(
        r"(?:몇 )?(\w+?) 몇 (\w+?)입니까|[을를] (\w+?)[과와] (\w+?)(?:으로|로) ", question
    )
    large, small = (part for part in asked.groups() if part)
    whole, rest = divmod(total, size := SIZES[f"{large} {small}"])
    return ("split", size, total), f"{whole}{large.replace('며칠', '일')} {rest}{small}"


NAMES = {
    "en": "Emma Leo Grace Daniel Lucy Henry Nora Adam Ruby Alice Peter Mina".split(),
    "ko": "지훈 서연 민준 하은 도윤 지우 현우 수빈 준서 예린 유진 민서".split(),
}


def _logic(question: str, language: str) -> tuple[tuple[Any, ...], str]:
    names = NAMES[language]
    handed = re.findall(
        r"(\w+) (?:gives|hands) the (\w+) to (\w+)\."
        if language == "en"
        else r"(\w+)[이가] (\w+)에게 (\w+?)[을를] \w+니다\.",
        question,
    )
    if handed:
        if language == "ko":
            handed = [(giver, thing, taker) for giver, taker, thing in handed]
        asked = re.search(r"has the (\w+)|마지막에 (\w+?)[을를] ", question)
        thing = asked[1] or asked[2]
        ways: dict[bool, list[str]] = {}
        for giver, moved, taker in handed:
            way = ways.setdefault(moved == thing, [giver])
            assert way[-1] == giver, question
            way.append(taker)
        chains = [tuple(names.index(name) for name in ways[side]) for side in (True, False)]
        return ("pass", *chains), ways[True][-1]
    greater = r"taller|older|faster|큽|많습|빠릅"
    most = re.search(r"tallest|oldest|fastest|가장 (?:큰|많은|빠른)", question)
    stated = re.findall(
        r"(\w+) is (\w+) than (\w+)\."
        if language == "en"
        else r"(\w+)[은는] (\w+)보다 (?:\w+가 )?(\w+)니다\.",
        question,
    )
    if language == "ko":
        stated = [(a, how, b) for a, b, how in stated]
    below = {(a if re.match(greater, how) else b): (b if re.match(greater, how) else a)
             for a, how, b in stated}  # fmt: skip
    (name,) = set(below) - set(below.values())
    order = [name]
    while order[-1] in below:
        order.append(below[order[-1]])
    assert len(order) == len(stated) + 1
    return ("order", *map(names.index, order)), order[0] if most else order[-1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_is_that_of_its_question(language: str) -> None:
    for item in take(items(language, "train", 1), 1000):
        _, answer = solve(item)
        assert item.value == answer, item
        assert item.value != item.wrong, item
        assert item.answer.removesuffix(".").removesuffix("입니다").endswith(item.value)
        assert item.reasoning.endswith(item.value), item
        assert len(item.question.split()) <= 40
        assert all(eval(left) == int(right) for left, right in re.findall(
            r"(\d+ [-+] \d+) = (\d+)", item.reasoning))  # fmt: skip


def test_no_problem_is_in_two_splits_in_any_language() -> None:
    problems = {
        split: {
            solve(item)[0] for language in LANGUAGES for item in take(items(language, split, 3), n)
        }
        for split, n in zip(SPLITS, (6000, 1500, 1500))
    }
    for one, other in itertools.combinations(SPLITS, 2):
        assert not problems[one] & problems[other]


def test_streams_are_deterministic_and_differ_by_seed() -> None:
    for language in LANGUAGES:
        for stream in (lambda seed, of=language: items(of, "train", seed),
                       lambda seed, of=language: chats(of, seed),
                       lambda seed, of=language: preferences(of, seed)):  # fmt: skip
            assert take(stream(4), 50) == take(stream(4), 50) != take(stream(5), 50)
    with pytest.raises(ValueError, match="validation"):
        items("en", "dev", 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_unique_items_differ_and_are_balanced(language: str) -> None:
    found = list(unique_items(language, "test", 1000, 0))
    assert len({solve(item)[0] for item in found}) == len({i.question for i in found}) == 1000
    assert len({item.id for item in found}) == 1000
    assert Counter(item.kind for item in found) == dict.fromkeys(KINDS, 200)
    with pytest.raises(ValueError, match="test split has too few of kind"):
        list(unique_items(language, "test", 20_000, 0))


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
        assert roles == [("user", "assistant")[n % 2] for n in range(len(roles))] or roles == [
            "user", "assistant", "tool", "assistant"]  # fmt: skip
        assert ("tools" in row) == ("tool" in roles)
        if "tools" in row:
            seen["tools"] += 1
            (call,) = next(m for m in row["messages"] if "tool_calls" in m)["tool_calls"]
            said = next(m["content"] for m in row["messages"] if m["role"] == "tool")
            (result,) = json.loads(said).values()
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
        item = ReasoningItem("", pair["kind"], language, 1, question, "", "", "", "", "")
        value, wrong = solve(item)[1], rejected["content"]
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
        assert 3 <= len(blocks) <= 7 and text.count("<think>") == len(blocks)
        for _, reasoning, answer in blocks:
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
