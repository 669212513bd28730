"""Shares, consistency between languages, and the answers of those who do not look."""

import pytest

from eval.knowledge.ask import is_right
from eval.knowledge.blind import answer_blindly
from eval.knowledge.report import consistency, share, summarise


def _row(question: str, answer: str, fact: list[str], **more: object) -> dict:
    return {
        "messages": [{"role": "user", "content": [{"type": "text", "text": question}]}],
        "answers": [answer],
        "triples": [fact],
        "relation": fact[1],
        "language": "en",
    } | more


_TRAINED = [
    _row("capital?", "Paris", ["FR", "capital", "paris"]),
    _row("capital?", "Rome", ["IT", "capital", "rome"]),
    _row("capital?", "Rome", ["IT", "capital", "rome"]),
    _row("side?", "right", ["FR", "side", "right"]),
    _row("side?", "right", ["IT", "side", "right"]),
    _row("side?", "right", ["DE", "side", "right"]),
    _row("쪽?", "오른쪽", ["FR", "side", "right"], language="ko"),
]


def test_blind_answers_are_what_training_says_most_often() -> None:
    asked = [
        _row("capital?", "?", ["FR", "capital", "paris"]),
        _row("which city?", "?", ["ES", "capital", "madrid"]),
        _row("쪽?", "?", ["ES", "side", "right"], language="ko"),
        _row("color?", "?", ["ES", "color", "red"]),
    ]
    assert answer_blindly(_TRAINED, asked) == {
        "majority": ["right", "right", "오른쪽", "right"],
        "question only": ["Rome", "Rome", "오른쪽", "right"],
        # The fact itself is known to the one who is given it, and of others the relation.
        "majority by gold triple": ["Paris", "Rome", "오른쪽", "right"],
    }


def test_answers_are_right_as_a_whole_in_any_spelling() -> None:
    assert is_right("the Netherlands.", ["Netherlands"])
    assert is_right("cote d'ivoire", ["Côte d’Ivoire", "Cote d'Ivoire"])
    assert is_right("파리입니다.", ["파리"])
    assert not is_right("Paris or Rome", ["Paris"])
    assert not is_right("", ["Paris"])


def _items() -> tuple[list[dict], list[bool]]:
    rows = [
        {
            "item": f"{entity} {n}", "language": language, "entity": entity, "novelty": "seen",
            "hops": 1, "wording": "trained", "answer_seen": True, "relation": "capital",
        }
        for entity in ("FR", "IT", "DE")
        for n in range(2)
        for language in ("ko", "en")
    ]  # fmt: skip
    return rows, [True, True, True, False, False, True, False, False, False, False, True, True]


def test_consistency_is_counted_on_the_same_item() -> None:
    assert consistency(*_items()) == {"both": 2, "ko only": 1, "en only": 1, "neither": 2}


def test_intervals_take_an_entity_as_one_item() -> None:
    rows, right = _items()
    one = share(rows, right)
    assert one["share"] == pytest.approx(0.5)
    # Answers of an entity that all fall together say no more than one each.
    together = share(rows, [row["entity"] == "FR" for row in rows])
    apart = share(
        [r | {"entity": n} for n, r in enumerate(rows)], [r["entity"] == "FR" for r in rows]
    )
    width = [own["interval"][1] - own["interval"][0] for own in (together, apart)]
    assert width[0] > 1.3 * width[1]


def test_groups_add_up() -> None:
    rows, right = _items()
    summary = summarise(rows, {"model": right, "blind": [False] * 12})
    shares = summary["seen"]["shares"]
    assert shares["ko"]["model"]["items"] == shares["en"]["model"]["items"] == 6
    counted = sum(shares[g]["model"]["share"] * shares[g]["model"]["items"] for g in ("ko", "en"))
    assert counted == pytest.approx(sum(right))
    assert shares["all"]["blind"]["share"] == 0
