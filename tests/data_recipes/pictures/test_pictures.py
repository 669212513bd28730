"""What a set says of its pictures is what they show, in every language."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from data_recipes.__main__ import main
from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.pictures.config import CONFIGS, SCENE_SPLITS, PicturesConfig
from data_recipes.pictures.run import make_pictures
from data_recipes.pictures.shapes import COLOURS

SMALL = ["scenes={train: 120, heldout_scenes: 20, heldout_combinations: 40, heldout_objects: 40}"]
_OUTLINE = 90  # below this in all colours is a thing's outline, by day


def config_of(out: Path, *overrides: str, name: str = "tiny") -> PicturesConfig:
    given = [f"output_dir={out}", *SMALL, *overrides]
    return load_config(CONFIGS / f"{name}.yaml", PicturesConfig, given)


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def text_of(row: dict[str, Any]) -> str:
    parts = (part for turn in row["messages"] for part in turn["content"])
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures") / "set"
    make_pictures(config_of(out))
    return out


def _quarter(image: Image.Image, cell: str) -> list[tuple[int, int, int]]:
    half = image.width // 2
    x, y = half * cell.endswith("right"), half * cell.startswith("bottom")
    data = image.crop((x, y, x + half, y + half)).tobytes()
    return list(zip(data[::3], data[1::3], data[2::3]))


def scene_by_night(row: dict[str, Any]) -> bool:
    return row["scene"]["light"] == "night"


def test_a_picture_shows_what_its_scene_says(folder: Path) -> None:
    """By its pixels: a thing's colour and outline in its quarter, no outline in an empty one."""
    looked = 0
    for row in rows_of(folder, "scenes"):
        image = Image.open(folder / row["images"][0])
        assert (image.mode, image.size) == ("RGB", (64, 64))
        colours = {c: t["colour"] for t in row["scene"]["things"] for c in t["cells"]}
        assert len(colours) == sum(t["count"] for t in row["scene"]["things"])
        for cell in ("top_left", "top_right", "bottom_left", "bottom_right"):
            pixels = _quarter(image, cell)
            outline = sum(max(pixel) < _OUTLINE for pixel in pixels)
            if cell not in colours:
                assert scene_by_night(row) or outline == 0
                continue
            looked += 1
            own = COLOURS[colours[cell]]
            near = sum(max(abs(a - b) for a, b in zip(pixel, own)) < 16 for pixel in pixels)
            assert near > 40 and (scene_by_night(row) or outline > 0)
    assert looked > 300


def test_light_and_season_can_be_seen(folder: Path) -> None:
    """The corners of the sky and of the ground tell them apart, whatever stands before them."""
    ground: dict[tuple[str, str], list[tuple[int, ...]]] = defaultdict(list)
    for row in rows_of(folder, "scenes"):
        scene, image = row["scene"], Image.open(folder / row["images"][0])
        sky = sorted((image.getpixel((x, 1)) for x in range(64)), key=sum)[32]
        assert (sum(sky) > 300) == (scene["light"] == "day")
        ground[scene["light"], scene["season"]].append(image.getpixel((0, 63)))
    assert len(ground) == 8
    for light in ("day", "night"):
        means = [
            tuple(sum(channel) / len(channel) for channel in zip(*ground[light, season]))
            for season in ("spring", "summer", "autumn", "winter")
        ]
        assert all(
            max(abs(a - b) for a, b in zip(one, other)) > 30
            for i, one in enumerate(means)
            for other in means[:i]
        )


_NUMBERS = ["zero", "one", "two", "three", "four"]


def _answer(row: dict[str, Any]) -> str | None:
    """Work an English answer out from the scene and the words of the question, another way."""
    question = row["messages"][-2]["content"][-1]["text"].lower().rstrip("?")
    things = {f"{t['colour']} {t['name']}": t for t in row["scene"]["things"]}
    named = sorted((k for k in things if k in question), key=question.index)
    ask = row["ask"]
    if ask == "exists":
        return "yes" if named else "no"
    if ask == "count":
        return _NUMBERS[things[named[0]]["count"]]
    if ask == "total":
        return _NUMBERS[sum(t["count"] for t in things.values())]
    if ask == "colour":
        return next(t["colour"] for t in things.values() if t["name"] in question)
    if ask == "place":
        return things[named[0]]["cells"][0].replace("_", " ")
    if ask in ("light", "season"):
        return row["scene"][ask]
    if ask in ("left_right", "above_below", "is_beside"):
        (a, b), (c, d) = (things[name]["cells"][0].split("_") for name in named)
        across = "left" if b < d else "right" if b > d else None
        upright = "above" if a > c else "below" if a < c else None  # "top" > "bottom"
        assert (across is None) != (upright is None)
        side = across or upright
        return side if ask != "is_beside" else "yes" if f" {side} " in question else "no"
    return None


def test_answers_are_right(folder: Path) -> None:
    """Worked out from the words of the English question; Korean has the same item."""
    asked: Counter[str] = Counter()
    by_item: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in (row for split in SCENE_SPLITS for row in rows_of(folder, split)):
        by_item[row["item"]][row["language"]] = row
        if row["language"] == "en" and (answer := _answer(row)):
            asked[row["ask"]] += 1
            assert row["answers"][0].lower() == answer, text_of(row)
            assert row["messages"][-1]["content"][0]["text"] == row["answers"][0]
    assert len(asked) == 10 and min(asked.values()) > 10
    for own in by_item.values():
        assert own["en"]["scene"] == own["ko"]["scene"] and own["en"]["ask"] == own["ko"]["ask"]
        assert own["en"].get("truth") == own["ko"].get("truth")
        if "truth" in own["ko"]:
            assert (own["ko"]["answers"][0] == "네") == own["ko"]["truth"]
        if own["en"]["ask"] in ("count", "total"):
            digits = [{a for a in row["answers"] if a.isdigit()} for row in own.values()]
            assert digits[0] == digits[1] and len(digits[0]) == 1


# By hand: which names end in a consonant.
_CLOSED = ("원", "별", "집", "꽃", "컵")
_OPEN = ("네모", "세모", "하트", "고리", "나무", "물고기", "배")


def test_korean_particles_fit_every_word(folder: Path) -> None:
    found: Counter[str] = Counter()
    for row in (row for split in SCENE_SPLITS for row in rows_of(folder, split)):
        if row["language"] != "ko":
            continue
        text = text_of(row)
        assert not re.search(r"[\[\]{}~]", text)
        for names, right in ((_CLOSED, "이은을과"), (_OPEN, "가는를와")):
            for particle in re.findall(rf"(?:{'|'.join(names)})([이가은는을를과와])(?= )", text):
                found[particle] += 1
                assert particle in right, text
        for counter, particle in re.findall(
            r"(개|채|그루|송이|마리|척)([이가과와은는])(?= )", text
        ):
            assert particle in ("이과은" if counter == "척" else "가와는"), text
    assert all(found[particle] for particle in "이가은는을를")


def test_training_shows_and_names_nothing_that_is_held_out(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    objects = set(manifest["heldout"]["objects"])
    pairs = {tuple(pair) for pair in manifest["heldout"]["combinations"]}
    names = {"en": objects, "ko": {_korean(name) for name in objects}}
    for split in SCENE_SPLITS:
        for row in rows_of(folder, split):
            things = {(t["name"], t["colour"]) for t in row["scene"]["things"]}
            new = bool(objects & {name for name, _ in things}), bool(pairs & things)
            assert new == (split == "heldout_objects", split == "heldout_combinations")
            if split != "heldout_objects":
                words = set(re.findall(r"\w+", text_of(row)))
                assert not any(w.startswith(n) for w in words for n in names[row["language"]])
            if split != "heldout_combinations" and row["language"] == "en":
                assert not any(f"{c} {n}" in text_of(row).lower() for n, c in pairs)
    shown = {t["colour"] for r in rows_of(folder, "train") for t in r["scene"]["things"]}
    assert shown == {"red", "yellow", "green", "blue", "purple", "white"}


def _korean(name: str) -> str:
    path = CONFIGS / "languages" / "ko.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["things"][name]


def test_yes_is_as_often_right_as_no_whatever_is_asked_for(folder: Path) -> None:
    """So the question alone is worth nothing."""
    for split in SCENE_SPLITS:
        rows = [r for r in rows_of(folder, split) if r["ask"] == "exists" and "truth" in r]
        truths = Counter(row["truth"] for row in rows)
        assert truths[True] == truths[False] > 0
    owed: Counter[str] = Counter()
    for row in rows_of(folder, "train"):
        if row["ask"] == "exists" and row["language"] == "en":
            thing = re.search(r"\w+ \w+(?= in the|\?)", text_of(row))[0]
            owed[thing] += 1 if row["truth"] else -1
    assert len(owed) > 40 and max(map(abs, owed.values())) <= 2


def test_an_interrupted_set_ends_as_a_whole_one(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    config = config_of(out)
    make_pictures(config)
    pictures = sorted((out / "images").iterdir())
    old = pictures[0].stat().st_mtime_ns
    for path in (*pictures[50:90], out / "manifest.json", out / "train.jsonl"):
        path.unlink()
    (out / "images" / f"{pictures[50].name}.tmp").write_bytes(b"half")
    make_pictures(config)
    assert pictures[0].stat().st_mtime_ns == old
    files = [path.relative_to(folder) for path in folder.rglob("*.*") if path.suffix != ".lock"]
    assert len(files) > 200
    for path in files:
        assert (out / path).read_bytes() == (folder / path).read_bytes(), path
    assert len(list((out / "images").iterdir())) == 220


def test_another_seed_or_size_is_another_set(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="seed: was 0, is 1"):
        make_pictures(config_of(folder, "seed=1"))
    other = make_pictures(config_of(tmp_path / "set", "seed=1"))
    assert other["sha256"] != json.loads((folder / "manifest.json").read_text())["sha256"]


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pictures", "--config", "tiny", "--dry-run", f"output_dir={tmp_path / 'set'}"])
    said = capsys.readouterr().out
    assert "2,450 pictures of 64 pixels" in said and "10 to train on" in said
    assert not list(tmp_path.iterdir())


def test_a_third_language_is_a_table(tmp_path: Path) -> None:
    manifest = make_pictures(config_of(tmp_path / "set", "languages=[ko, ja]"))
    assert set(manifest["languages"]) == {"ko", "ja"}
    rows = [r for r in rows_of(tmp_path / "set", "train") if r["language"] == "ja"]
    counts = {r["answers"][0] for r in rows if r["ask"] == "total"}
    assert counts == {"一つ", "二つ", "三つ", "四つ"}
    texts = [text_of(row) for row in rows]
    assert any("赤い" in text for text in texts) and not any(
        re.search("[가-힣{]", t) for t in texts
    )


def _table(path: Path, change: dict[str, Any]) -> str:
    table = yaml.safe_load((CONFIGS / "languages" / "en.yaml").read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(table | change), encoding="utf-8")
    return f"languages=[{path}]"


def test_bad_input_is_named(tmp_path: Path) -> None:
    table = yaml.safe_load((CONFIGS / "languages" / "en.yaml").read_text(encoding="utf-8"))
    questions = table["questions"]
    wrong = questions | {"light": {"ask": ["{x}?"], "answer": "{light}"}}
    lacking = {name: own for name, own in questions.items() if name != "season"}
    for overrides, message in (
        (["languages=[en, xx]"], "languages xx: no such file; shipped are en, ja, ko"),
        (["languages=[en, en]"], "one is given twice"),
        (["drawn.things=[circle, dog, cat, cup]"], "drawn.things: no 'dog'"),
        (["emoji={kinds: [food], most: 9}"], "give one of drawn, emoji and stamps"),
        (["heldout.objects=9"], "leaves 3, and training needs 4"),
        (["scenes={train: 3}"], "scenes: how many of heldout_scenes"),
        (["pixel=64"], "did you mean 'pixels'"),
        ([_table(tmp_path / "a.yaml", {"questions": wrong})], "known are light"),
        ([_table(tmp_path / "b.yaml", {"questions": lacking})], "questions: lacks season"),
        ([_table(tmp_path / "c.yaml", {"things": {"circle": "circle"}})], "things lacks square"),
    ):
        with pytest.raises(SystemExit) as refused:
            main(["pictures", "--config", "tiny", f"output_dir={tmp_path / 'set'}", *overrides])
        assert message in str(refused.value)
    assert not (tmp_path / "set" / "images").exists()
