"""Needle in a haystack: lengths and places are exact, and only a model that retrieves scores."""

import itertools
import random
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.train import train_tokenizer
from data_recipes.toy import documents
from eval.needle.__main__ import settings_of
from eval.needle.cases import build_case, completion_form
from eval.needle.haystack import embedded_text, make_haystack
from eval.needle.measure import Grid, Needles, bind, check_length, score_answer
from eval.needle.report import summarise, write_report
from eval.needle.styles import STYLES, check_facts
from modeling_kormo import CHAT_TEMPLATE
from modeling_kormo.chat_config import chat_generation_config
from tests.random_model import random_model

GRID = Grid(
    languages=["ko", "en"],
    lengths=[700],
    depths=[0.0, 0.5, 1.0],
    trials=2,
    style="general",
    needles=1,
    distractors=0,
    chat=False,
    thinking=False,
    max_tokens=200,
    batch=3,
    seed=0,
    texts={},
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    texts = [
        text
        for language in ("ko", "en")
        for text in itertools.islice(documents("web", language, 0), 150)
    ]
    trained = train_tokenizer(texts, 600)
    trained.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    return trained


class Reader:
    """Generates an answer that it finds by reading the prompt as text."""

    device = torch.device("cpu")

    def __init__(self, tokenizer: PreTrainedTokenizerBase, answer: Any) -> None:
        self.tokenizer, self.answer, self.calls = tokenizer, answer, 0
        self.generation_config: GenerationConfig = chat_generation_config(tokenizer, temperature=0)

    def generate(self, input_ids: torch.Tensor, **_: object) -> torch.Tensor:
        self.calls += len(input_ids)
        answers = [
            self.tokenizer(" " + self.answer(self.tokenizer.decode(row)), add_special_tokens=False)
            for row in input_ids
        ]
        longest = max(len(a["input_ids"]) for a in answers)
        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        rows = [a["input_ids"] + [end] + [pad] * (longest - len(a["input_ids"])) for a in answers]
        return torch.cat([input_ids, torch.tensor(rows)], dim=1)


def look_up(prompt: str) -> str:
    """Values of the keys in the question, in its order, with some words of its language."""
    told = re.findall(r"The delivery number of (the [\w ]+) is (\d+)\.", prompt)
    told += re.findall(r"(\w+ [\w ]+)의 배송 번호는 (\d+)번이다\.", prompt)
    told += re.findall(r"The code of (the [\w ]+) is (\d+)\.", prompt)
    told += re.findall(r"(\w+ \w+)의 암호는 (\d+)", prompt)
    asked = prompt.rpartition("?")[0].rpartition("\n")[2]
    wanted = [(asked.index(key), value) for key, value in told if key in asked]
    return f"{', '.join(value for _, value in sorted(wanted))} 입니다."


def first_numbers(prompt: str) -> str:
    """A cheater: the first values that the text tells in the form of a needle."""
    return " ".join(re.findall(r"(?:number of the [\w ]+ is|배송 번호는) (\d+)", prompt)[:3])


def measure(
    tokenizer: PreTrainedTokenizerBase, out: Path, answer: Any = look_up, **changes: Any
) -> dict[str, Any]:
    grid = replace(GRID, **changes)
    return summarise(Needles(Reader(tokenizer, answer), tokenizer, grid, out).measure())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    bind(tmp_path, {})
    return tmp_path


def shares(results: dict[str, Any]) -> list[float]:
    return [cell["share"] for cell in results["cells"]]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"needles": 3, "distractors": 4, "lengths": [900]},
        {"style": "recall", "distractors": 2},
        {"chat": True, "distractors": 2},
        {"chat": True, "style": "recall"},
    ],
    ids=["plain", "several", "recall", "chat", "chat recall"],
)
def test_who_reads_scores_all(
    tokenizer: PreTrainedTokenizerBase, out: Path, changes: dict[str, Any]
) -> None:
    results = measure(tokenizer, out, **changes)
    assert len(results["cells"]) == 6 and set(shares(results)) == {1.0}
    assert "holds up to" in results["findings"]["ko"]
    # The answers end in Korean words, whatever was asked for.
    assert results["cells"][0]["answers_in_language"] == 2
    assert results["cells"][3]["answers_in_other_language"] == 2


def test_what_was_still_thought_about_is_no_answer(
    tokenizer: PreTrainedTokenizerBase, out: Path
) -> None:
    thinking = {"chat": True, "thinking": True, "depths": [0.5]}
    found = {}
    for name, text in (("open", "{}"), ("ended", "1 or 2?</think>{}"), ("late", "{}</think> 7")):
        bind(out / name, {})
        own = measure(tokenizer, out / name, lambda p, t=text: t.format(look_up(p)), **thinking)
        found[name] = set(shares(own))
    assert found == {"open": {0.0}, "ended": {1.0}, "late": {0.0}}


def test_distractors_tell_readers_from_cheaters(
    tokenizer: PreTrainedTokenizerBase, out: Path
) -> None:
    bind(out / "a", {})
    alone = measure(tokenizer, out / "a", first_numbers)
    assert set(shares(alone)) == {1.0}
    bind(out / "b", {})
    among = measure(
        tokenizer, out / "b", first_numbers, distractors=6, trials=4, lengths=[900], depths=[0.5, 1]
    )
    assert max(shares(among)) <= 0.5
    assert "retrieval breaks at 900 tokens" in among["findings"]["en"]


def test_a_random_model_finds_nothing(tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    model = random_model(tokenizer, 704, layers=2, max_position_embeddings=1024).eval()
    grid = replace(GRID, max_tokens=12)
    first = Needles(model, tokenizer, grid, out).measure()
    assert set(shares(summarise(first))) == {0.0}
    again = out / "again"
    bind(again, {})
    assert Needles(model, tokenizer, replace(grid, batch=1), again).measure() == first
    with pytest.raises(RecipeError, match="1,012"):
        check_length(model.config, [512, 1013], 12)


@pytest.mark.parametrize("style", list(STYLES))
@pytest.mark.parametrize("language", ["ko", "en"])
def test_lengths_and_places_are_exact(
    tokenizer: PreTrainedTokenizerBase, language: str, style: str
) -> None:
    own = STYLES[style]
    form = completion_form(tokenizer, own, language)
    haystack = make_haystack(embedded_text(language, 1200, 0), tokenizer, own.separator)
    assert len(haystack.gaps) > 20
    for length, depth in itertools.product((600, 1200), (0.0, 0.3, 1.0)):
        rng = random.Random(f"{length}/{depth}")
        case = build_case(tokenizer, haystack, form, own, language, length, depth, 1, 2, rng)
        assert len(case.ids) == length
        assert case.ids[0] == tokenizer.bos_token_id
        text = tokenizer.decode(case.ids)
        assert "\ufffd" not in text
        (value,), (place,) = case.values, case.places
        assert text.count(value) == 1
        before = tokenizer.decode(case.ids[1:place])
        # A whole sentence stands before it, and the fact begins right there.
        if place > 1:
            assert re.search(r"[.!?…\"'”’:가-힣a-z]$", before), before[-30:]
        fact = tokenizer.decode(case.ids[place : place + 60])
        assert fact.startswith(own.separator) and value in fact
        assert abs(case.depths[0] - depth) < (0.05 if style == "general" else 0.15)
        if depth == 1.0:
            assert case.depths[0] == 1.0


def test_several_facts_are_spread(tokenizer: PreTrainedTokenizerBase) -> None:
    own = STYLES["general"]
    haystack = make_haystack(embedded_text("en", 2000, 0), tokenizer, " ")
    form = completion_form(tokenizer, own, "en")
    case = build_case(tokenizer, haystack, form, own, "en", 2000, 0.5, 3, 0, random.Random(0))
    assert len(set(case.values)) == 3
    assert case.depths == pytest.approx([0.5, 0.5 + 1 / 3, (0.5 + 2 / 3) % 1], abs=0.05)


def test_answers_are_judged_by_their_first_numbers() -> None:
    assert score_answer("It is 4,831,927.", ["4831927"]).right
    assert score_answer("4831927번이다", ["4831927"]) == score_answer("번 4831927", ["4831927"])
    assert not score_answer("Of 20 numbers it is 4831927", ["4831927"]).right
    assert not score_answer("14831927", ["4831927"]).right
    swapped = score_answer("22, 11 and 33", ["11", "22", "33"])
    assert (swapped.right, swapped.found, swapped.language) == (False, 1, "en")
    assert score_answer("11,22,33", ["11", "22", "33"]).right
    texts = ("1", "1이다", unicodedata.normalize("NFD", "1이다"), "")
    assert [score_answer(text, ["1"]).language for text in texts] == [None, "ko", "ko", None]


def test_a_stopped_run_goes_on(tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    class Killed(Exception):
        pass

    def answer(prompt: str) -> str:
        if reader.calls > 7:
            raise Killed
        return look_up(prompt)

    reader = Reader(tokenizer, answer)
    with pytest.raises(Killed):
        Needles(reader, tokenizer, GRID, out).measure()
    done = len(list((out / "cells").iterdir()))
    assert 0 < done < 6
    (out / "cells" / "ko-700-0.5000.json.tmp").write_text("{", encoding="utf-8")
    rest = Reader(tokenizer, look_up)
    cells = Needles(rest, tokenizer, GRID, out).measure()
    assert rest.calls == (6 - done) * GRID.trials
    whole = out / "whole"
    bind(whole, {})
    assert cells == Needles(Reader(tokenizer, look_up), tokenizer, GRID, whole).measure()
    with pytest.raises(RecipeError, match="seed"):
        bind(out, {"seed": 1})


def test_the_report_is_written(tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    cells = Needles(Reader(tokenizer, look_up), tokenizer, GRID, out).measure()
    results = write_report(cells, settings_of(GRID, "a/model"), out)
    assert (out / "heatmap_ko.png").stat().st_size > 5_000
    assert (out / "heatmap_en.png").read_bytes().startswith(b"\x89PNG")
    assert results["lengths"]["ko"]["700"]["items"] == 6
    text = (out / "report.md").read_text(encoding="utf-8")
    assert results["findings"]["ko"] in text and "| ko | 700 | 6 of 6 | 100.0% |" in text
    assert "data:image/png;base64," in (out / "report.html").read_text(encoding="utf-8")
    # Wilson's, by hand for 6 of 6.
    assert results["lengths"]["ko"]["700"]["interval"] == pytest.approx([0.610, 1.0], abs=1e-3)


def test_another_chat_template_is_another_setting(tmp_path: Path) -> None:
    template = tmp_path / "chat_template.jinja"
    template.write_text("{{ messages }}")
    chat = replace(GRID, chat=True)
    before = [settings_of(grid, str(tmp_path)) for grid in (GRID, chat)]
    template.write_text("{{ messages }} ")
    plain, changed = (settings_of(grid, str(tmp_path)) for grid in (GRID, chat))
    assert plain == before[0] and changed != before[1]
    # A directory of before, whose record does not name it, is gone on with.
    was = {name: value for name, value in changed.items() if name != "template"}
    for directory, known in ((tmp_path / "old", was), (tmp_path / "new", before[1])):
        bind(directory, known)
        (directory / "cells" / "ko-700-0.5000.json").write_text("{}")
    assert bind(tmp_path / "old", changed) == was
    with pytest.raises(RecipeError, match="template: was "):
        bind(tmp_path / "new", changed)


def test_what_cannot_be_asked_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(RecipeError, match="one fact at a time"):
        check_facts(STYLES["recall"], 2, 0)
    with pytest.raises(RecipeError, match="at most 12"):
        check_facts(STYLES["general"], 1, 12)
    own = STYLES["general"]
    form = completion_form(tokenizer, own, "en")
    haystack = make_haystack("One. Two. Three. " * 20, tokenizer, " ")
    for length, message in ((20, "too short for the question"), (5000, "longer --text")):
        rng = random.Random(0)
        with pytest.raises(RecipeError, match=message):
            build_case(tokenizer, haystack, form, own, "en", length, 0.5, 1, 0, rng)
