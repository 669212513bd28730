"""Generated answers are judged by value, and told apart from thinking that never ended."""

import unicodedata

import pytest

from data_recipes.toy.items import unique_items
from eval.reasoning import Verdict, as_turn, judge, judge_turn

ALL_WELL = Verdict(right=True, truncated_thinking=False, other_language=False, as_asked=True)


def test_answers_are_judged_by_value_and_form() -> None:
    for language in ("en", "ko"):
        for item in unique_items(language, "test", 50, 0):
            thought = f"{item.reasoning}\n</think>\n\n{item.answer}"
            assert judge(thought, item.value, True, language) == ALL_WELL
            assert judge(item.answer, item.value, False, language) == ALL_WELL
            # An answer in the thinking only, no thinking where asked, thinking where not.
            cut = judge(f"{item.reasoning}\n{item.answer}", item.value, True, language)
            assert cut == Verdict(False, True, False, False)
            empty = judge(f"\n</think>\n\n{item.answer}", item.value, True, language)
            assert empty == Verdict(True, False, False, False)
            unasked = judge(thought, item.value, False, language)
            assert not unasked.right and not unasked.as_asked
            wrong = judge(item.answer.replace(item.value, item.wrong), item.value, False, language)
            assert wrong == Verdict(False, False, False, True)


@pytest.mark.parametrize(
    ("answer", "language", "other"),
    [
        ("따라서 답은 \\boxed{17}입니다.", "ko", False),
        ("The answer is 17.", "ko", True),
        ("The answer is 17.", "en", False),
        ("따라서 정답은 열일곱 개입니다.", "en", True),
        ("\\boxed{17}", "ko", False),
        ("$\\frac{17}{x + y + z + abcdefghijk}$", "ko", False),
        ("B", "ko", False),
        ("17 km/h", "ko", False),
        ("삼각형 ABC의 넓이는 AB × BC ÷ 2이므로 답은 17입니다.", "ko", False),
        ("Therefore the value 17입니다.", "ko", True),
        ("所以我们可以得出这个问题的答案是十七。", "ko", True),
    ],
)
def test_the_language_of_an_answer(answer: str, language: str, other: bool) -> None:
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, answer)
        assert judge(written, "17", False, language).other_language is other, form


def test_the_language_of_the_thinking_does_not_count() -> None:
    thought = "I think in English, at some length.\n</think>\n\n답은 17입니다."
    assert judge(thought, "17", True, "ko") == ALL_WELL


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize(
    "completion", ["", "\n</think>\n\n답은 17입니다.", "<think>\n답은 17입니다."]
)
def test_a_turn_keeps_whether_thinking_was_asked_for(completion: str, thinking: bool) -> None:
    turn = as_turn(completion, thinking)
    assert judge_turn(turn, "17", "ko") == judge(completion, "17", thinking, "ko")


@pytest.mark.parametrize(
    ("text", "right", "truncated"),
    [
        ("답은 17입니다.", True, False),
        ("3을 더합니다.\n</think>\n\n답은 17입니다.", True, False),
        ("<think>\n3을 더합니다.\n</think>\n\n답은 17입니다.", True, False),
        ("답은 18입니다.\n</think>\n\n답은 17입니다.", True, False),
        ("답은 17입니다.\n</think>\n\n답은 18입니다.", False, False),
        ("<think>\n답은 17입니다.", False, True),
    ],
)
def test_what_other_backends_hand_over_is_judged_by_its_answer(
    text: str, right: bool, truncated: bool
) -> None:
    verdict = judge_turn(text, "17", "ko")
    assert (verdict.right, verdict.truncated_thinking) == (right, truncated)
