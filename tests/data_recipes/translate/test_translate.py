"""Translations by hand are judged right; flawed rows go to another model, and then aside."""

import json
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_recipes.ask import Answer
from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.translate.checks import Checker
from data_recipes.translate.config import CONFIGS, CheckConfig, TranslateConfig
from data_recipes.translate.invariants import find_flaws
from data_recipes.translate.rows import cut, put_together
from data_recipes.translate.run import translate
from data_recipes.translate.stage import translator_of
from tests.processes import Program

from ..ask.model_server import ModelServer
from .translation_pairs import PAIRS

POLICY = {"question": "translate", "reasoning": "keep", "answer": "translate"}
CHECKS = {"filter": {"profiles": {"ko": "ko_answer"}}}
ENGLISH = (
    "A farmer has {n} hens and sells every third egg at the market in the next town. "
    "How many eggs does the farmer keep for the family?"
)
KOREAN = (
    "농부는 암탉 {n}마리를 기르며 달걀 세 알 가운데 한 알을 이웃 마을 장터에 내다 판다. "
    "농부가 가족을 위해 남겨 두는 달걀은 몇 알인가?"
)
DECOMPOSED = unicodedata.normalize("NFD", "58 km는 몇 m인가?")
ROWS = 60


@pytest.mark.parametrize(("source", "translation", "reason"), PAIRS)
def test_pairs_by_hand(source: str, translation: str, reason: str | None) -> None:
    flaws = find_flaws(source, translation)
    # The first is the one that was made; it may show in more than one way.
    assert [flaw.reason for flaw in flaws][:1] == ([] if reason is None else [reason]), flaws


def test_pairs_are_enough_and_of_both_kinds() -> None:
    wrong = Counter(reason for _, _, reason in PAIRS if reason)
    assert len(PAIRS) >= 60 and len(PAIRS) - wrong.total() >= 30
    assert len(wrong) == 10, wrong


def test_what_is_no_language_is_copied() -> None:
    row = {
        "id": "1",
        "question": "  Solve it. \n",
        "answer": "<think>\nIt is 4.\n</think>\n\nIt is four.",
        "choices": ["a red one", r"$x^2$", "42", "58 km는 몇 m인가?", DECOMPOSED],
        "tests": ["assert f(2) == 4"],
    }
    fields = {**POLICY, "choices": "translate"}
    segments = cut(row, fields)
    asked = [segment.text for segment in segments if segment.asked]
    assert asked == ["Solve it.", "It is four.", "a red one"]
    assert put_together(segments, asked) == {key: row[key] for key in fields if key in row}
    made = put_together(segments, ["풀어라.", "4이다.", "빨간 것"])
    assert made == {
        "question": "  풀어라. \n",
        "answer": "<think>\nIt is 4.\n</think>\n\n4이다.",
        "choices": ["빨간 것", r"$x^2$", "42", "58 km는 몇 m인가?", DECOMPOSED],
    }
    thoughts = [s.text for s in cut(row, fields | {"reasoning": "translate"}) if s.asked]
    assert thoughts == ["Solve it.", "It is 4.", "It is four.", "a red one"]


def test_language_length_and_talk() -> None:
    config = load_config(CONFIGS / "kormo.yaml", TranslateConfig, [])
    checker = Checker(config.checks, ["Write the translation alone. No heading and no notes."])
    source = ENGLISH.format(n=30)

    def reasons(text: str, finish: str = "stop") -> list[str]:
        answer = Answer("answered", text, finish_reason=finish)
        return [flaw.reason for flaw in checker.check(source, answer)[1]]

    good = KOREAN.format(n=30)
    assert reasons(good) == []
    assert reasons(f"<think>Hm.</think>{good}") == []
    decomposed = Answer("answered", unicodedata.normalize("NFD", good), finish_reason="stop")
    assert checker.check(source, decomposed) == (good, [])
    assert reasons(good, "length") == ["truncated"]
    assert reasons(" ") == ["empty"]
    assert reasons(f"물론입니다! {good}") == ["meta_talk"]
    assert reasons(f"{good} Write the translation alone. No heading and no notes.")[0] == (
        "copied_prompt"
    )
    assert reasons(f"```\n{good}\n```") == ["broken_markup"]
    assert reasons(source) == ["hangul"]
    assert reasons("암탉 30마리, 세 알?") == ["ratio"]
    assert reasons(good + " 農夫農夫") == ["foreign_han"]
    assert reasons(KOREAN.format(n=31)) == ["numbers"]


def number_in(body: dict[str, Any]) -> int:
    text = body["messages"][-1]["content"].split("Text:")[1]
    return int("".join(c for c in text if c.isdigit()))


def careful(body: dict[str, Any]) -> str:
    """Right, but for every tenth."""
    number = number_in(body)
    return KOREAN.format(n=number + (number % 10 == 0))


def careless(body: dict[str, Any]) -> str:
    """Wrong in every third, and in the tenths, too."""
    number = number_in(body)
    return KOREAN.format(n=number + (number % 3 == 0 or number % 10 == 0))


def back(body: dict[str, Any]) -> str:
    """Back into English, where every seventh has become something else."""
    number = number_in(body)
    text = "An unrelated story." if number % 7 == 0 else ENGLISH.format(n=number)
    return f"<think>\nKorean, about {number}: {text[::-1]}\n</think>\n\n{text}"


def recipe(folder: Path, one: ModelServer, two: ModelServer, **settings: Any) -> Path:
    rows = [
        {
            "id": f"item-{i}",
            "question": ENGLISH.format(n=i),
            "reasoning": f"Think: {i}.",
            "answer": str(i * 2 // 3),
            "domain": "math",
        }
        for i in range(1, ROWS + 1)
    ]
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "output_dir": str(folder / "out"),
        "items": str(folder / "rows.jsonl"),
        "translators": {
            s.model: s.endpoint(timeout_seconds=30, concurrency=4).model_dump(mode="json")
            for s in (one, two)
        },
        "checks": CHECKS,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values | settings, sort_keys=False))
    return path


def load(path: Path, *overrides: str) -> TranslateConfig:
    return load_config(path, TranslateConfig, list(overrides))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_flawed_rows_go_on_and_are_set_aside(tmp_path: Path) -> None:
    with (
        ModelServer(careful, model="careful").running() as one,
        ModelServer(careless, model="careless").running() as two,
    ):
        path = recipe(tmp_path, one, two)
        config = load(path)
        translate(config)
        firsts = Counter()
        for name, server, right in (
            ("careful", one, lambda i: i % 10),
            ("careless", two, lambda i: i % 10 and i % 3),
        ):
            kept = rows(tmp_path / "out" / "kept" / f"{name}.jsonl")
            numbers = set(range(1, ROWS + 1))
            first = {i for i in numbers if translator_of(config, f"item-{i}", 0) == name}
            firsts[name] = len(first)
            other = {"careful": lambda i: i % 10 and i % 3, "careless": lambda i: i % 10}[name]
            expected = {i for i in numbers if right(i) and (i in first or not other(i))}
            assert [row["id"] for row in kept] == [f"item-{i}" for i in sorted(expected)]
            for row in kept:
                number = int(row["id"].split("-")[1])
                made = row["translation"]
                assert row["question"] == KOREAN.format(n=number) and row["language"] == "ko"
                assert row["reasoning"] == f"Think: {number}." and row["domain"] == "math"
                assert made["round"] == (1 if number in first else 2)
                assert made["translator"] == made["model"] == name
            # A row is asked about once by each, at most; values are not asked about.
            assert set(server.answered.values()) == {1}
        assert min(firsts.values()) > ROWS / 4
        aside = rows(tmp_path / "out" / "set_aside.jsonl")
        assert [row["id"] for row in aside] == [f"item-{i}" for i in range(10, ROWS + 1, 10)]
        for row in aside:
            attempts = row["translation"]
            assert {attempt["translator"] for attempt in attempts} == {"careful", "careless"}
            reasons = [f["reason"] for attempt in attempts for f in attempt["flaws"]]
            assert reasons == ["numbers", "numbers"]
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        assert report["kept"] == ROWS - len(aside)
        # All of it again, from answers that are kept.
        done = sum(one.answered.values()) + sum(two.answered.values())
        assert report["spent"]["answers"] == done
        translate(load(path))
        assert sum(one.answered.values()) + sum(two.answered.values()) == done
        with pytest.raises(RecipeError, match="other settings .*checks"):
            translate(load(path, "checks.min_ratio=0.3"))
        # The texts of an outcome stand in the order of the fields, and would change places.
        turned = "fields={answer: translate, reasoning: keep, question: translate}"
        with pytest.raises(RecipeError, match="other settings .*fields"):
            translate(load(path, turned))


def test_killed_it_goes_on(tmp_path: Path) -> None:
    with (
        ModelServer(careful, model="careful").running() as one,
        ModelServer(careless, model="careless").running() as two,
    ):
        path = recipe(tmp_path / "killed", one, two)
        one.delay = two.delay = 0.02
        process = Program(["-m", "data_recipes", "translate", "--config", path])
        while sum(one.answered.values()) < 20 and process.poll() is None:
            time.sleep(0.002)
        assert process.poll() is None
        process.kill()
        one.delay = two.delay = 0.0
        report = translate(load(path))
        asked = sum(one.answered.values()) + sum(two.answered.values())
        assert 0 <= asked - report["spent"]["answers"] <= 8  # what was under way
        translate(load(recipe(tmp_path / "whole", one, two)))
    for name in ("kept/careful.jsonl", "kept/careless.jsonl", "set_aside.jsonl"):
        killed = (tmp_path / "killed" / "out" / name).read_bytes()
        assert killed == (tmp_path / "whole" / "out" / name).read_bytes() != b""


@pytest.mark.parametrize("flawed", [0, 1, 2])
def test_a_flaw_in_any_segment_rejects_the_row(tmp_path: Path, flawed: int) -> None:
    fields = ["question", "hint", "explanation"]

    def write(body: dict[str, Any]) -> str:
        number = number_in(body)
        return KOREAN.format(n=number + (number == 10 + flawed))

    items = tmp_path / "items.jsonl"
    row = {name: ENGLISH.format(n=10 + place) for place, name in enumerate(fields)}
    items.write_text(json.dumps({"id": "one", **row}))
    with ModelServer(write, model="alone").running() as alone:
        settings = {"fields": dict.fromkeys(fields, "translate"), "items": str(items)}
        settings["translators"] = {"alone": alone.endpoint().model_dump(mode="json")}
        translate(load(recipe(tmp_path, alone, alone, **settings)))
    (aside,) = rows(tmp_path / "out" / "set_aside.jsonl")
    (flaw,) = aside["translation"][0]["flaws"]
    assert (flaw["field"], flaw["reason"]) == (fields[flawed], "numbers")
    assert not rows(tmp_path / "out" / "kept" / "alone.jsonl")


def test_markup_that_the_source_has_may_stay() -> None:
    checker = Checker(CheckConfig.model_validate(CHECKS), [])
    korean = "프롬프트에서 [INST] 표시는 무엇을 뜻하는가?"
    answer = Answer("answered", korean, finish_reason="stop")
    assert checker.check("What does the mark [INST] mean in a prompt?", answer) == (korean, [])
    (flaw,) = checker.check("What does the mark mean in a prompt?", answer)[1]
    assert flaw.reason == "broken_markup"


def test_the_cap_is_of_all_rounds_together(tmp_path: Path) -> None:
    with (
        ModelServer(careless, model="careless").running() as one,
        ModelServer(careful, model="careful").running() as two,
    ):
        prices = {"prompt_price": 1.0, "completion_price": 1.0, "concurrency": 1}
        endpoints = {s.model: s.endpoint(**prices).model_dump(mode="json") for s in (one, two)}
        free = recipe(tmp_path / "free", one, two, translators=endpoints)
        cost = translate(load(free))["spent"]["cost"]
        capped = recipe(tmp_path / "capped", one, two, translators=endpoints, cap=0.95 * cost)
        with pytest.raises(RecipeError, match="spending cap of .* reached"):
            translate(load(capped))
    assert (tmp_path / "capped" / "out" / "answers" / "round-2").is_dir()  # in the second


def test_back_translation_decides(tmp_path: Path) -> None:
    with (
        ModelServer(careful, model="careful").running() as one,
        ModelServer(careful, model="second").running() as two,
        ModelServer(back, model="back").running() as third,
    ):
        endpoint = third.endpoint(timeout_seconds=30).model_dump(mode="json")
        settings = {"back_translation": {"endpoint": endpoint, "min_chrf": 60}}
        translate(load(recipe(tmp_path, one, two, **settings)))
    aside = {row["id"]: row["translation"] for row in rows(tmp_path / "out" / "set_aside.jsonl")}
    wrong = {f"item-{i}" for i in range(1, ROWS + 1) if i % 10 == 0 or i % 7 == 0}
    assert set(aside) == wrong and len(wrong) < ROWS
    assert [f["reason"] for f in aside["item-7"][0]["flaws"]] == ["low_back_translation"]
    kept = rows(tmp_path / "out" / "kept" / "second.jsonl")
    assert kept and all(row["translation"]["chrf"] == [100.0] for row in kept)


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"question": "Why?"}, {}, "rows.jsonl:61: every row needs an `id`"),
        ({"id": "item-3"}, {}, "two rows have the id 'item-3'"),
        ({"id": "x", "question": 5}, {}, "question is neither a text nor a list"),
        ({"id": "x", "translation": {}}, {}, "translated already"),
        (None, {"fields": {"question": "translate", "quesion": "translate"}}, "quesion"),
        (None, {"fields": {"question": "keep"}}, "none is translated"),
        (None, {"prompt": "prompts/none.jinja"}, "no such template"),
        (None, {"checks": CHECKS | {"min_ratio": 3}}, "min_ratio"),
    ],
)
def test_bad_input_says_what_to_do(
    tmp_path: Path, row: dict[str, Any] | None, settings: dict[str, Any], message: str
) -> None:
    servers = ModelServer(model="one"), ModelServer(model="two")
    for server in servers:
        server.url = "http://127.0.0.1:9/v1"
    path = recipe(tmp_path, *servers, **settings)
    if row is not None:
        with (tmp_path / "rows.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    with pytest.raises(RecipeError, match=message):
        translate(load(path))
