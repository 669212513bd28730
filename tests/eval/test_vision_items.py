"""An answer about a picture is right, or it is not."""

from dataclasses import replace

import pytest

from eval.vision.items import PictureQuestion, is_right, score_of
from eval.vision.scores import score


def test_answers_are_compared_as_a_whole_in_any_spelling() -> None:
    item = PictureQuestion(
        "a", "s", "a", "object", "en", (), [], "?", ("A red  star", "빨간 별"), None
    )
    assert is_right(item, " a RED star. ") and is_right(item, "“빨간 별”")
    assert is_right(item, "red star") and is_right(item, "빨간 별입니다.")
    assert not is_right(item, "a red star and a cup") and not is_right(item, "")
    for right, others in (
        ("게", ("게임", "책임")),
        ("게임", ("게", "게이다")),
        ("고양이", ("고양",)),
        ("책", ("책이", "책임")),
    ):
        named = PictureQuestion("a", "s", "a", "object", "ko", (), [], "?", (right,), None)
        assert not any(is_right(named, other) for other in others), right
    for right, said in (
        *(("고양이", end) for end in ("고양이예요.", "고양이입니다", "고양이네요", "고양이")),
        *(("책", end) for end in ("책이에요", "책입니다.", "책이다", "책이네요")),
        *(("게임", end) for end in ("게임입니다", "게임이에요", "게임임")),
        *(("사과", end) for end in ("사과예요", "사과임", "사과입니다")),
    ):
        named = PictureQuestion("a", "s", "a", "object", "ko", (), [], "?", (right,), None)
        assert is_right(named, said), said
    names = PictureQuestion("a", "s", "a", "k", "en", (), [], "?", ("Côte d’Ivoire", "Chad"), None)
    assert is_right(names, "côte d'ivoire") and not is_right(names, "Chad or Mali")


def test_signs_are_answers_too() -> None:
    item = PictureQuestion("a", "s", "a", "object", "en", (), [], "Which sign?", ("+",), None)
    assert is_right(item, " + ") and not any(is_right(item, said) for said in ("", ".", "-"))
    minus = replace(item, answers=("-5",))
    assert is_right(minus, "−5.") and not is_right(minus, "5")


def test_of_yes_and_no_the_first_word_decides_whatever_follows() -> None:
    item = PictureQuestion("a", "s", "a", "yes_no", "en", (), [], "?", ("yes", "네", "はい"), True)
    for said in ("Yes—a cat.", "**Yes**, it is", "(네)", "はい、います", "Yes: two", "— yes"):
        assert is_right(item, said), said
    for said in ("yes/no", "No, yes", "yesterday", "", "—"):
        assert not is_right(item, said), said


def test_the_letter_of_an_option_is_what_an_answer_begins_with() -> None:
    item = PictureQuestion("a", "s", "a", "perception", "ko", (), [], "?", ("B",), None, "letter")
    for text in ("B", "b.", " (B) 달", "B입니다.", "Option B", "The answer is B: the moon"):
        assert is_right(item, text), text
    for text in ("A", "(A) B", "Because of the moon", "달, B", ""):
        assert not is_right(item, text), text
    plain = PictureQuestion("a", "s", "a", "object", "en", (), [], "?", ("B",), None)
    assert not is_right(plain, "B: the moon")


def test_what_several_people_said_is_scored_as_vqa_does() -> None:
    """By hand: with one of ten left out, nine ways leave one match in three, one way none: 0.3."""
    answers = ("tea", "a cup", "Coffee.", "milk")
    item = PictureQuestion(
        "a", "s", "a", "other", "en", (), [], "?", answers, None, votes=(4, 3, 2, 1)
    )
    by_hand = {"Tea": 1.0, "cup": 0.9, "coffee": 0.6, "the milk": 0.3, "water": 0.0}
    assert {text: score_of(item, text) for text in by_hand} == pytest.approx(by_hand)
    # Spellings of one answer count together; where nobody voted, right is right.
    spelt = replace(item, answers=("Tea.", "tea", "cup", "x"), votes=(2, 1, 4, 3))
    assert score_of(spelt, "tea") == pytest.approx(0.9)
    assert score_of(replace(item, votes=()), "milk") == 1.0
    few = replace(item, answers=("yes", "no"), votes=(2, 1))
    assert score_of(few, "yes") == pytest.approx((2 * 1 / 3 + 1 * 2 / 3) / 3)
    found = score([item], {"seen": {"a": "coffee"}, "blank": {"a": "water"}}, {})
    own = found["languages"]["en"]["all"]
    assert (own["seen"]["share"], own["blank"]["share"]) == pytest.approx((0.6, 0.0))
