"""What a model sees is told apart from what it could know without looking."""

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import LlavaConfig

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.pictures.config import CONFIGS, PicturesConfig
from data_recipes.pictures.run import make_pictures
from eval.vision import __main__ as command
from eval.vision.answers import SeeingModel, answers_to
from eval.vision.blind import QUESTION_ONLY, Commonest, swapped
from eval.vision.inquiry import _told
from eval.vision.items import PictureQuestion, read_items, read_split
from eval.vision.report import _sees, _yes_no
from eval.vision.scores import score
from modeling_kormo.vision import build_processor, build_vision_model, save_vision_model
from tests.random_model import random_model
from tests.vision_models import random_tower, vision_tokenizer

Asked = Sequence[tuple[PictureQuestion, list[Image.Image]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vision") / "set"
    scenes = "{train: 150, heldout_scenes: 24, heldout_combinations: 12, heldout_objects: 12}"
    given = [f"output_dir={out}", f"scenes={scenes}"]
    make_pictures(load_config(CONFIGS / "tiny.yaml", PicturesConfig, given))
    return out


class Oracle:
    """Knows every picture by its pixels, and answers what is asked about the one that it sees."""

    def __init__(self, folder: Path) -> None:
        self.calls = 0
        self._known: dict[tuple[bytes, str], str] = {}
        for split in ("heldout_scenes", "heldout_combinations", "heldout_objects"):
            for item in read_items(folder, split, None):
                pixels = Image.open(item.pictures[0]).tobytes()
                self._known[pixels, item.question] = item.answers[-1]

    def answer(self, asked: Asked) -> list[dict]:
        self.calls += len(asked)
        said = [
            self._known.get((pictures[0].tobytes(), item.question), "?").upper() + "."
            for item, pictures in asked
        ]
        return [{"answer": text} for text in said]


class Guesser:
    """Says what the question alone suggests, whatever it is shown."""

    def __init__(self, folder: Path) -> None:
        self._blind = Commonest(read_split(folder, "train"), QUESTION_ONLY)

    def answer(self, asked: Asked) -> list[dict]:
        return [{"answer": self._blind.answer(item)} for item, _ in asked]


def evaluate(folder: Path, out: Path, model: Any, **settings: Any) -> dict[str, Any]:
    return command.evaluate(folder, out, lambda: model, "model", **settings)


def test_an_oracle_is_right_and_is_lost_without_the_picture(folder: Path, tmp_path: Path) -> None:
    oracle = Oracle(folder)
    results = evaluate(folder, tmp_path, oracle, batch=5)
    assert list(results) == ["heldout_combinations", "heldout_objects", "heldout_scenes"]
    for split, result in results.items():
        assert set(result["languages"]) == {"en", "ko"}
        for language, own in result["languages"].items():
            share = own["all"]
            assert share["seen"]["share"] == 1 and share["seen"]["interval"][0] > 0.6
            assert share["blank"]["share"] == 0
            assert share["swapped"]["share"] < 0.3
            assert 0.1 < share["question only"]["share"] < 0.75
            assert share["question only"]["seen_less_this"]["low"] > 0.1
            assert set(own["kinds"]) == {
                "object", "location", "atmosphere", "conversation", "yes_no",
            }  # fmt: skip
            yes_no = own["yes_no"]["seen"]
            assert yes_no["precision"] == yes_no["recall"] == yes_no["accuracy"] == 1
            assert abs(yes_no["yes_share"] - 0.5) < 0.25 and not yes_no["neither_yes_nor_no"]
            assert own["yes_no"]["blank"]["neither_yes_nor_no"] == yes_no["questions"]
            assert own["answers_in_other_language"] == 0, (split, language)
            assert own["answers_in_language"] > share["questions"] / 2
        (agreement,) = result["consistency"]
        assert agreement["both"] == agreement["items"] and agreement["same"] == 1
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page and "combinations that training lacks" in page
    for split in results:
        assert Image.open(tmp_path / f"{split}.png").size == (768, 512)
        assert f"({split}.png)" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_guesser_gains_nothing_by_looking(folder: Path, tmp_path: Path) -> None:
    results = evaluate(folder, tmp_path, Guesser(folder), splits=["heldout_scenes"])
    for own in results["heldout_scenes"]["languages"].values():
        shares = {
            own["all"][sight]["share"] for sight in ("seen", "blank", "swapped", "question only")
        }
        assert len(shares) == 1 and 0.2 < shares.pop() < 0.75
        lead = own["all"]["blank"]["seen_less_this"]
        assert lead["low"] <= 0 <= lead["high"] and lead["p_value"] == 1
        exists = own["yes_no"]["seen"]
        # Balanced: of the questions whether something is there, half are right by luck.
        assert 0.3 < exists["accuracy"] < 0.7


def test_answers_are_kept(folder: Path, tmp_path: Path) -> None:
    """A second run asks nothing; a split that is lost is asked again."""
    oracle = Oracle(folder)
    first = evaluate(folder, tmp_path, oracle)
    assert oracle.calls == 3 * sum(
        own["all"]["questions"] for r in first.values() for own in r["languages"].values()
    )
    oracle.calls = 0
    (tmp_path / "answers" / "heldout_objects-blank.jsonl").unlink()
    assert evaluate(folder, tmp_path, oracle) == first
    assert oracle.calls == len(read_items(folder, "heldout_objects", None))


def test_kinds_are_chosen_after_the_limit(folder: Path, tmp_path: Path) -> None:
    split, kinds = "heldout_scenes", ["object", "atmosphere"]
    results = evaluate(folder, tmp_path, Guesser(folder), splits=[split], kinds=kinds, limit=2)
    for own in results[split]["languages"].values():
        assert [(kind, one["questions"]) for kind, one in own["kinds"].items()] == [
            ("atmosphere", 2), ("object", 2)
        ]  # fmt: skip


def test_another_picture_takes_the_place(folder: Path) -> None:
    items = read_items(folder, "heldout_scenes", None)
    others = swapped(items)
    assert all(others[item.id] != item.pictures for item in items)
    alike = [item for item in items if item.pictures == items[0].pictures]
    with pytest.raises(RecipeError, match="no other question .* raise --limit"):
        swapped(alike)
    assert len(set(others.values())) == 24
    few = read_items(folder, "heldout_scenes", 7)
    kinds = {(i.language, i.kind): 0 for i in few}
    for item in few:
        kinds[item.language, item.kind] += 1
    assert len(kinds) == 10 and set(kinds.values()) == {7}


def _row(name: str, question: str, answers: object) -> dict[str, Any]:
    content = [{"type": "image"}, {"type": "text", "text": question}]
    said = [{"role": "user", "content": content}, {"role": "assistant", "content": "Two."}]
    row = {"id": name, "images": ["a.png"], "messages": said, "answers": answers}
    return row | {"kind": "object", "ask": question.split()[0], "language": "en"}


def test_the_blind_know_what_is_asked_of_things_that_training_lacks(tmp_path: Path) -> None:
    """Of all objects red is right most often; but not of how many there are."""
    rows = [_row(f"{n}", "colour of star?", ["red"]) for n in range(3)]
    rows += [_row(f"{n}", "count of stars?", ["two"]) for n in (3, 4)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = [_row("5", "count of cups?", ["one"]), _row("6", "size of cups?", ["small"])]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, asked)))
    blind = Commonest(read_split(tmp_path, "train"), QUESTION_ONLY)
    items = read_items(tmp_path, "test", None)
    assert [blind.answer(item) for item in items] == ["two", "red"]


def test_rows_that_would_be_scored_wrongly_are_named(tmp_path: Path) -> None:
    for rows, message in (
        ([_row("1", "count?", "two")], "answers"),
        (
            [_row("1", "count?", ["two"]), _row("1", "size?", ["small"])],
            "two rows or more have the id '1'",
        ),
    ):
        (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
        with pytest.raises(RecipeError, match=message):
            read_items(tmp_path, "test", None)


def test_the_language_of_an_answer_does_not_depend_on_how_hangul_is_written() -> None:
    item = PictureQuestion("a", "s", "a", "object", "ko", (), [], "?", ("별",), None)
    for form in ("NFC", "NFD"):
        own = score([item], {"seen": {"a": unicodedata.normalize(form, "별")}}, {})["languages"]
        assert (own["ko"]["answers_in_language"], own["ko"]["all"]["seen"]["share"]) == (1, 1.0)
    own = score([item], {"seen": {"a": "a star"}}, {})["languages"]["ko"]
    assert (own["answers_in_language"], own["answers_in_other_language"]) == (0, 1)


def test_yes_and_no_are_counted_and_shown_by_hand() -> None:
    """Of four that are yes two were found, by three that were said; one answer is neither."""
    item = PictureQuestion("", "s", "", "yes_no", "en", (), [], "?", ("yes",), True)
    said = {"0": "Yes.", "1": "yes", "2": "no", "3": "perhaps", "4": "yes"}
    items = [replace(item, id=name, item=name) for name in said]
    items[4] = replace(items[4], answers=("no",), truth=False)
    result = score(items, {"seen": said}, {})
    found = result["languages"]["en"]["yes_no"]["seen"]
    assert found == {
        "questions": 5, "accuracy": 2 / 5, "precision": 2 / 3, "recall": 2 / 4,
        "yes_share": 3 / 4, "true_share": 4 / 5, "neither_yes_nor_no": 1,
    }  # fmt: skip
    shown = ["en", "seen", "5", "40.0", "66.7", "50.0", "75.0", "80.0", "1"]
    assert _yes_no(result).rows == [shown]


def test_seeing_helps_by_its_least_lead_and_only_beyond_chance() -> None:
    def lead(first: float, low: float, high: float) -> dict[str, dict[str, float]]:
        return {"seen_less_this": {"first": first, "second": 0.6, "low": low, "high": high}}

    own = {
        "blank": lead(0.2, 0.1, 0.7),
        "swapped": lead(0.5, -0.1, 0.3),
        "x": lead(0.7, -0.2, -0.05),
    }
    for blind, text, tone in (
        (["blank"], "+40.0 (+10.0 to +70.0)", "good"),
        (["blank", "swapped"], "+10.0 (-10.0 to +30.0)", "dim"),
        (["x", "blank"], "-10.0 (-20.0 to -5.0)", "bad"),
    ):
        cell = _sees(own, blind)
        assert (cell.text, cell.tone) == (text, tone)


def test_what_else_a_model_tells_is_a_share_of_rows() -> None:
    given = {
        "a": {"answer": "x", "entity": True, "path": False},
        "b": {"answer": "", "entity": True, "path": True},
        "c": {"answer": "", "entity": True, "path": True},
    }
    assert _told(given) == {"entity": 1.0, "path": pytest.approx(2 / 3)}


def test_a_small_model_that_sees_is_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """By the command; its answers depend on the picture, and not on what is asked beside it."""
    tokenizer = vision_tokenizer(tmp_path / "tokenizer")
    tower = random_tower()
    language = random_model(tokenizer, 320, layers=2, initializer_range=0.2).eval()
    model = build_vision_model(language, tower, tokenizer, "llava").eval()
    save_vision_model(model, build_processor(tokenizer, tower.config, "llava"), tmp_path / "model")
    out = tmp_path / "out"
    arguments = ["x", str(tmp_path / "model"), str(folder), "--out", str(out)]
    arguments += ["--limit", "2", "--split", "heldout_scenes", "--max-tokens", "8"]
    monkeypatch.setattr(sys, "argv", arguments)
    command.main()
    assert "question only" in capsys.readouterr().out
    lines = (out / "answers" / "heldout_scenes-seen.jsonl").read_text(encoding="utf-8")
    batched = {row["id"]: row["answer"] for row in map(json.loads, lines.splitlines())}
    items = read_items(folder, "heldout_scenes", 2)
    alone, looked = SeeingModel(str(tmp_path / "model"), 8, None), set()
    for item in items[:6]:
        (said,) = alone.answer([(item, [Image.open(item.pictures[0]).convert("RGB")])])
        assert said["answer"] == batched[item.id]
        (other,) = alone.answer([(item, [Image.new("RGB", (64, 64), "red")])])
        looked.add(said == other)
    assert False in looked
    monkeypatch.setattr(sys, "argv", [*arguments[:-1], "9"])
    with pytest.raises(RecipeError, match="max_tokens: was 8, is 9"):
        command.main()
    # Another model at the same place is another model; of an older run nobody knows.
    monkeypatch.setattr(sys, "argv", arguments)
    command.main()
    weights = next((tmp_path / "model").glob("*.safetensors"))
    os.utime(weights, (1, 1))
    with pytest.raises(RecipeError, match="files: was"):
        command.main()
    settings = json.loads((out / "settings.json").read_text())
    del settings["files"]
    (out / "settings.json").write_text(json.dumps(settings))
    command.main()
    # Other pictures of the same names, which their manifest tells.
    shutil.copytree(folder, tmp_path / "others")
    monkeypatch.setattr(sys, "argv", [*arguments[:2], str(tmp_path / "others"), *arguments[3:]])
    command.main()
    manifest = tmp_path / "others" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"pixels"', '"dots"'))
    with pytest.raises(RecipeError, match=r"set\..*manifest.json: was"):
        command.main()
    del settings["set"]["manifest.json"]
    (out / "settings.json").write_text(json.dumps(settings))
    command.main()


def test_bad_input_is_named(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    text_only = tmp_path / "text"
    language = random_model(vision_tokenizer(tmp_path / "tokenizer"), 320, layers=1)
    language.save_pretrained(text_only)
    bare = tmp_path / "checkpoint-7"
    LlavaConfig().save_pretrained(bare)
    for model, given, more, message in (
        ("m", tmp_path / "none", [], "none: no such directory"),
        ("m", tmp_path / "empty", [], "empty: no picture set"),
        (str(tmp_path / "m"), folder, [], "m: no such model directory"),
        (str(text_only), folder, [], "text: not a model that sees"),
        (str(bare), folder, [], "^[^\n(]*checkpoint-7: no preprocessor_config.json .* final/"),
        ("m", folder, ["--split", "test"], "--split test: .* has heldout_combinations"),
        ("m", folder, ["--kind", "sound"], "--kind sound: .* has atmosphere, conversation"),
    ):
        out = tmp_path / "out"
        monkeypatch.setattr(sys, "argv", ["x", model, str(given), "--out", str(out), *more])
        with pytest.raises(RecipeError, match=message):
            command.main()
    monkeypatch.setattr(sys, "argv", ["x", "m", "pope.json", "--images", "val2014", "--out", "o"])
    with pytest.raises(SystemExit):
        command.main()
    assert "published-pictures pope FILE --images DIR" in capsys.readouterr().err


def test_kept_answers_are_read_whatever_they_hold(tmp_path: Path) -> None:
    item = PictureQuestion("1", "test", "1", "k", "en", (), [], "What?", ("a",), None)

    class Writer:
        def answer(self, asked: Sequence[Any]) -> list[dict[str, Any]]:
            return [{"answer": "one\u2028two\u0085three"} for _ in asked]

    written, read = (answers_to([item], "seen", Writer, tmp_path, 4) for _ in range(2))
    assert read == written
