"""Instructions about pictures: what is sent, what is accepted, what it becomes, paid for once."""

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data_recipes.ask.prompts import data_url
from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.pictures.config import CONFIGS as PICTURES
from data_recipes.pictures.config import PicturesConfig
from data_recipes.pictures.run import make_pictures
from data_recipes.read.pictures import open_picture, read_picture_rows
from data_recipes.synthesize.config import CONFIGS, SynthesizeConfig
from data_recipes.synthesize.picture_checks import PictureChecks, find_flaw, read_turns
from data_recipes.synthesize.run import synthesize

from ..ask.model_server import MODEL, ModelServer

_ASK = {
    "ko": ("질문: 그림에 무엇이 있나요?\n답변: 그림에는 ", " 있는 것이 또렷하게 보입니다."),
    "en": ("Question: What can be seen here?\nAnswer: The picture shows ", " in plain sight."),
    "ja": ("質問：絵には何がありますか。\n回答：この絵には", "がはっきりと描かれています。"),
}
_AND = {"ko": "·", "en": " and ", "ja": "と"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures") / "set"
    scenes = "{train: 40, heldout_scenes: 1, heldout_combinations: 1, heldout_objects: 1}"
    given = [f"output_dir={out}", f"scenes={scenes}", "languages=[en, ko, ja]"]
    make_pictures(load_config(PICTURES / "tiny.yaml", PicturesConfig, given))
    return out


class Painter:
    """Writes about the picture that it is sent, which it knows by its bytes; badly, now and then.

    Attributes:
        bad: reasons for which its answers should be rejected, by picture and style.
    """

    def __init__(self, folder: Path, language: str) -> None:
        self.language = language
        rows = map(json.loads, (folder / "scenes.jsonl").read_text("utf-8").splitlines())
        self._tags = {(folder / r["image"]).read_bytes(): r["tags"][language] for r in rows}
        self.every = sorted({tag for tags in self._tags.values() for tag in tags})
        self.bad: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> str:
        (message,) = body["messages"]
        picture, text = message["content"]
        assert picture["type"] == "image_url" and text["type"] == "text"
        head, data = picture["image_url"]["url"].split(",")
        assert head == "data:image/png;base64"
        content = base64.b64decode(data)
        tags, (begin, end) = self._tags[content], _ASK[self.language]
        good = begin + _AND[self.language].join(tags) + end
        strange = next(t for t in self.every if not any(t in own for own in tags))
        number = int(hashlib.sha256(content).hexdigest()[:8], 16) % 12
        wrong = {
            0: ("ungrounded", begin + _AND[self.language].join([*tags, strange]) + end),
            1: ("no_turns", good.rpartition(": ")[2]),
            2: ("caption_talk", good + {"ko": " 주어진 설명을 보면 그렇습니다."}.get(
                self.language, " 캡션")),
            3: ("low_length", begin[:-3] + "x"),
            4: ("language", "Question: What is it?\nAnswer: An answer in another language. " * 1),
        }  # fmt: skip
        if number in wrong and self.language == "ko":
            reason, reply = wrong[number]
            self.bad[reason] += 1
            return reply
        return good


def config_of(
    server: ModelServer, folder: Path, root: Path, language: str = "ko", **changes: Any
) -> SynthesizeConfig:
    shipped = load_config(CONFIGS / f"pictures_{language}.yaml", SynthesizeConfig, [])
    values = shipped.model_dump(mode="json", exclude_unset=True)
    for style in values["styles"].values():
        style.pop("sha256", None)
    profile = f"{language}_answer"
    values["validation"]["filter"] = {"profiles": {language: profile}}
    endpoint = {"base_url": server.url, "model": MODEL, "concurrency": 4, "backoff_seconds": 0.01}
    values |= {
        "output_dir": str(root),
        "pictures": str(folder),
        "synthesizers": {
            name: endpoint | {"sampling": {"max_tokens": 99, "temperature": heat}}
            for name, heat in (("warm", 0.9), ("cold", 0.1))
        },
    }
    values["seeds"][0] |= {"path": str(folder / "scenes.jsonl"), "language": language}
    return SynthesizeConfig.model_validate(values | changes)


def rows(root: Path, outcome: str) -> list[dict[str, Any]]:
    files = sorted((root / "text" / outcome).rglob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]


def test_from_pictures_to_rows_that_training_reads(folder: Path, tmp_path: Path) -> None:
    painter, root = Painter(folder, "ko"), tmp_path / "out"
    with ModelServer(painter).running() as server:
        synthesize(config_of(server, folder, root))
        assert len(server.bodies) == 43 and set(server.asked.values()) == {1}
        styles = {body["messages"][0]["content"][1]["text"][:60] for body in server.bodies}
    assert len(styles) == 4
    kept, rejected = rows(root, "kept"), rows(root, "rejected")
    assert len(kept) + len(rejected) == 43
    found = Counter(row["reason"] for row in rejected)
    assert found.pop("low_language", 0) + found.pop("low_hangul_frac", 0) + found.pop(
        "language", 0
    ) == painter.bad.pop("language", 0)
    assert found == painter.bad and len(found) >= 2
    assert {row["synthesizer"] for row in kept} == {"warm", "cold"}
    seen = 0
    for path in sorted((root / "text" / "kept").rglob("*.jsonl")):
        for row in read_picture_rows(path):
            seen += 1
            (picture,) = row.pictures
            assert open_picture(picture).size == (64, 64)
            assert picture.resolve().parent == (folder / "images").resolve()
            assert row.fields["kind"] in ("object", "location", "atmosphere", "conversation")
            question, answer = (m["content"][-1]["text"] for m in row.messages)
            assert question == "그림에 무엇이 있나요?" and answer.startswith("그림에는 ")
    assert seen == len(kept) > 20


def test_answers_are_paid_for_once(folder: Path, tmp_path: Path) -> None:
    """A run that a server ends half-way goes on, and other rules judge the same answers."""
    painter, shut = Painter(folder, "ko"), True

    def fault(prompt: str, tries: int) -> str | None:
        return "401" if shut and len(server.answered) >= 15 else None

    with ModelServer(painter, fault).running() as server:
        config = config_of(server, folder, tmp_path / "out")
        with pytest.raises(RecipeError, match="401"):
            synthesize(config)
        half = len(server.answered)
        assert 15 <= half < 43
        shut = False
        synthesize(config)
        assert len(server.answered) == 43 and set(server.answered.values()) == {1}
        before = rows(tmp_path / "out", "kept")
        (tmp_path / "out" / "text").rename(tmp_path / "old")
        loose = config.validation.model_copy(update={"pictures": PictureChecks(others=True)})
        synthesize(config.model_copy(update={"validation": loose}))
        assert set(server.answered.values()) == {1}
        after = Counter(row["reason"] for row in rows(tmp_path / "out", "rejected"))
        assert len(rows(tmp_path / "out", "kept")) > len(before) and not after["ungrounded"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_other_languages_are_configs(folder: Path, tmp_path: Path, language: str) -> None:
    painter = Painter(folder, language)
    with ModelServer(painter).running() as server:
        config = config_of(server, folder, tmp_path / "out", language)
        synthesize(config)
    kept, rejected = rows(tmp_path / "out", "kept"), rows(tmp_path / "out", "rejected")
    assert len(kept) > 30, Counter(row["reason"] for row in rejected)
    assert {row["language"] for row in kept} == {language}


# By hand: a picture of a red star and a dog, in a set that also shows a blue fish and a star.
_TAGS = {"en": ("Red star", "Dog"), "ko": ("빨간 별", "강아지")}
_VOCABULARY = {
    "en": frozenset({"Red star", "Dog", "Blue fish", "Star"}),
    "ko": frozenset({"빨간 별", "강아지", "파란 물고기", "별", "배"}),
}


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("en", "Q: What is it?\nA: Two red stars and a dog.", None),
        ("en", "Question: Is there a blue fish?\nAnswer: No, a red star.", None),
        ("en", "Q: What is it?\nA: A red star beside a blue fish.", "ungrounded"),
        ("en", "Q: What is it?\nA: A red star above two blue fishes.", "ungrounded"),
        ("en", "Q: What is it?\nA: A picture of something.", "not_named"),
        ("en", "A red star.", "no_turns"),
        ("en", "Sure!\nQ: What?\nA: A red star.", "no_turns"),
        ("en", "Q: What?\nQ: Where?\nA: A red star.", "no_turns"),
        ("en", "Q: What?\nA: A red star.\nQ: Where?\nA: By the dog.", "no_turns"),
        ("en", "Q: What?\nA: The caption says a red star.", "caption_talk"),
        ("ko", "질문: 무엇이 있나요?\n답변: 빨간 별이 강아지 위에 있습니다.", None),
        ("ko", "질문: 무엇이 있나요?\n답변: 빨간 별과 배려가 보입니다.", None),
        ("ko", "질문: 무엇이 있나요?\n답변: 빨간 별과 파란 물고기가 있습니다.", "ungrounded"),
        ("ko", "질문: 무엇이 있나요?\n답변: 설명에 따르면 빨간 별이 있습니다.", "caption_talk"),
        ("ko", "질문: 무엇이 있나요?\n답변:", "no_turns"),
    ],
)
def test_replies_by_hand(language: str, text: str, reason: str | None) -> None:
    checks = PictureChecks(min_named=0.5)
    flaw = find_flaw(text, _TAGS[language], _VOCABULARY[language], checks)
    assert (flaw and flaw[0]) == reason, flaw
    # What the picture shows may be unknown; then nothing is held against a name.
    unknown = find_flaw(text, (), frozenset(), checks)
    assert (unknown is None) == (reason in (None, "ungrounded", "not_named"))


def test_turns_may_be_numbered_and_long() -> None:
    text = "1. Question: What?\nAnswer: A star.\nIt is red.\n2. Question 2: Where?\nAnswer: Left."
    assert read_turns(text) == [("What?", "A star.\nIt is red."), ("Where?", "Left.")]
    assert read_turns("質問：何ですか。\n回答：星です。") == [("何ですか。", "星です。")]


def test_bad_input_is_named(folder: Path, tmp_path: Path) -> None:
    with ModelServer().running() as server:
        with pytest.raises(ValidationError, match="go together"):
            config_of(server, folder, tmp_path / "out", form="text")
        with pytest.raises(ValidationError, match="go together"):
            config_of(server, folder, tmp_path / "out", pictures=None)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(RecipeError, match="a.png: not a PNG, JPEG, GIF or WebP"):
        data_url(tmp_path / "a.png")
    with pytest.raises(RecipeError, match="b.png: no such picture"):
        data_url(tmp_path / "b.png")
