"""Who answers without looking, and how questions about a graph are taken together."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from eval.knowledge.__main__ import make_inquiry
from eval.vision.answers import SIGHTS
from eval.vision.blind import Commonest, swapped
from eval.vision.items import PictureQuestion
from eval.vision.report import build_page
from eval.vision.scores import score


def _item(question: str, answer: str, fact: list[str], language: str = "en") -> PictureQuestion:
    fields = {"triples": [fact], "relation": fact[1], "entity": fact[0]}
    return PictureQuestion(
        question, "s", question, "knowledge", language, (), [], question, (answer,), None, fact[1],
        fields,
    )  # fmt: skip


_TRAINED = [
    _item("capital?", "Paris", ["FR", "capital", "paris"]),
    _item("capital?", "Rome", ["IT", "capital", "rome"]),
    _item("capital?", "Rome", ["IT", "capital", "rome"]),
    _item("side?", "right", ["FR", "side", "right"]),
    _item("side?", "right", ["IT", "side", "right"]),
    _item("side?", "right", ["DE", "side", "right"]),
    _item("쪽?", "오른쪽", ["FR", "side", "right"], "ko"),
]


def test_blind_answers_are_what_training_says_most_often() -> None:
    asked = [
        _item("capital?", "?", ["FR", "capital", "paris"]),
        _item("which city?", "?", ["ES", "capital", "madrid"]),
        _item("쪽?", "?", ["ES", "side", "right"], "ko"),
        _item("color?", "?", ["ES", "color", "red"]),
    ]
    found = {
        name: [Commonest(_TRAINED, keys).answer(item) for item in asked]
        for name, keys in make_inquiry().blind.items()
    }
    assert found == {
        "majority": ["right", "right", "오른쪽", "right"],
        "question only": ["Rome", "Rome", "오른쪽", "right"],
        # The fact itself is known to the one who is given it, and of others the relation.
        "majority by gold triple": ["Paris", "Rome", "오른쪽", "right"],
    }


def _items() -> tuple[list[PictureQuestion], list[bool]]:
    right = [True, True, True, False, False, True, False, False, False, False, True, True]
    items = [
        PictureQuestion(
            f"{entity} {n} {language}", "seen", f"{entity} {n}", "knowledge", language,
            (Path(f"{entity}.png"),), [], "?", ("yes",), None, "capital",
            {"entity": entity, "hops": 1, "wording": "trained", "answer_seen": True},
        )
        for entity in ("FR", "IT", "DE")
        for n in range(2)
        for language in ("ko", "en")
    ]  # fmt: skip
    return items, right


def _score(items: list[PictureQuestion], right: list[bool]) -> dict:
    seen = {item.id: "yes" if r else "no" for item, r in zip(items, right, strict=True)}
    blind = dict.fromkeys(seen, "no")
    return score(items, {"seen": seen, "blind": blind}, make_inquiry().groups)


def test_consistency_is_counted_on_the_same_item() -> None:
    (agreement,) = _score(*_items())["consistency"]
    counts = [agreement[k] for k in ("both", "second_only", "first_only", "neither")]
    assert agreement["languages"] == ["en", "ko"] and counts == [2, 1, 1, 2]


def test_intervals_take_an_entity_as_one_item() -> None:
    items, right = _items()
    assert _score(items, right)["groups"]["all"]["all"]["seen"]["share"] == pytest.approx(0.5)
    # Answers of an entity that all fall together say no more than one each.
    right = [item.subject == "FR" for item in items]
    together = _score(items, right)
    for number, item in enumerate(items):
        item.fields["entity"] = str(number)
    apart = _score(items, right)
    ends = [own["groups"]["all"]["all"]["seen"]["interval"] for own in (together, apart)]
    assert ends[0][1] - ends[0][0] > 1.3 * (ends[1][1] - ends[1][0])


def test_the_page_says_what_the_model_was_shown(tmp_path: Path) -> None:
    items, right = _items()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    items = [replace(item, pictures=(tmp_path / "a.png",)) for item in items]
    found = {"seen": _score(items, right)}
    answers = {"seen": {"seen": {item.id: "yes" for item in items}}}
    page = build_page(make_inquiry(), "m", "set", found, {"seen": items}, answers).to_markdown()
    assert "as this model is shown none" in page and "grey" not in page
    looked = {sight: {item.id: "yes" for item in items} for sight in SIGHTS}
    found = {"seen": score(items, looked, {})}
    page = build_page(make_inquiry(), "m", "set", found, {"seen": items}, {"seen": looked})
    assert "blank: with a grey one" in page.to_markdown()


def test_groups_add_up() -> None:
    items, right = _items()
    found = _score(items, right)
    languages = [own["all"] for own in found["languages"].values()]
    assert [own["questions"] for own in languages] == [6, 6]
    assert sum(own["seen"]["share"] * 6 for own in languages) == pytest.approx(sum(right))
    assert found["groups"]["hops"]["1"]["seen"] == found["groups"]["all"]["all"]["seen"]
    assert found["groups"]["wording"]["trained"]["blind"]["share"] == 0


def test_another_view_of_the_same_thing_is_not_swapped_in() -> None:
    items, _ = _items()
    # The same entity again half the list further on, where the picture is taken from.
    items = [item for first in range(4) for item in items[first::4]]
    for number, item in enumerate(items):
        object.__setattr__(item, "pictures", (Path(f"{item.subject}_{number}.png"),))
    others = swapped(items)
    assert all(others[item.id][0].name[:2] != item.subject for item in items)
