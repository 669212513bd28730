"""Rewards on hand-made completions, honest and not."""

import unicodedata

import pytest

from recipes.post.rewards import answer_reward, format_reward, language_reward

END = 9
HONEST_KO = "8에 9를 더한다.\n</think>\n\n사과는 모두 17개이다. 답은 17개입니다."
HONEST_EN = "8 + 9 = 17\n</think>\n\nThere are 17 apples. The answer is 17."


def answer(completion: str, wanted: str = "17", thinking: bool = True) -> float:
    return answer_reward([completion], answer=[wanted], thinking=[thinking])[0]


def language(completion: str, code: str, thinking: bool = True) -> float:
    return language_reward([completion], language=[code], thinking=[thinking])[0]


def form(completion: str, thinking: bool = True, ended: bool = True) -> float:
    ids = [[1, 2, END] if ended else [1, 2]]
    return format_reward([completion], ids, thinking=[thinking], end_id=END)[0]


@pytest.mark.parametrize("completion", [HONEST_KO, HONEST_EN, "x\n</think>\n\n\\boxed{17}"])
def test_a_right_answer_is_rewarded(completion: str) -> None:
    assert answer(completion) == 1
    assert answer(completion, "18") == 0


def test_a_right_answer_without_thinking() -> None:
    assert answer("The answer is 17.", thinking=False) == 1
    assert answer("17", thinking=False) == 1


@pytest.mark.parametrize(
    "completion",
    [
        "The answer is 17.",  # in the reasoning, which never ends
        "The answer is 17.\n</think>\n\n",
        "\\boxed{17}\n</think>\n\nI cannot say.",
        "x\n</think>\n\n\\boxed{17} \\boxed{18}",  # the last one counts
        "x\n</think>\n\nThe answer is 17. The answer is 18.",
        "x\n</think>\n\n15 16 17 18 19",
        "x\n</think>\n\n\\boxed{15, 16, 17, 18}",
        "x\n</think>\n\nThe answer is 17 or 18.",
        "x\n</think>\n\n답은 17 또는 18입니다.",
        "x\n</think>\n\nThe answer is 17.\n</think>\n\nnothing",
        "",
    ],
)
def test_gaming_the_answer_does_not_pay(completion: str) -> None:
    assert answer(completion) == 0


def test_language_of_the_visible_answer() -> None:
    assert language(HONEST_KO, "ko") == 1
    assert language(HONEST_KO, "en") == 0
    assert language(unicodedata.normalize("NFD", HONEST_KO), "ko") == 1
    assert language(HONEST_EN, "en") == 1
    assert language(HONEST_EN, "ko") == 0
    # Reasoning in another language is not looked at.
    assert language("eight and nine\n</think>\n\n답은 십칠입니다.", "ko") == 1


def test_what_has_no_language_is_left_out() -> None:
    assert language("x</think>17", "ko") == 1
    assert language("x</think>거리는 3 km이고 식은 $x = \\frac{a}{b}$이다.", "ko") == 1
    assert language("x</think>코드:\n```python\nprint(abc)\n```", "ko") == 1
    assert language("x</think>값은 `total_sum`이고 \\boxed{17}", "ko") == 1


def test_both_languages_earn_a_part_in_each() -> None:
    both = "x</think>정답은 열일곱. The answer is seventeen."
    assert 0.1 < language(both, "ko") < 0.5
    assert 0.5 < language(both, "en") < 0.9


def test_no_answer_has_no_language() -> None:
    assert language("생각만 한다", "ko") == 0
    assert language("생각\n</think>\n\n", "ko") == 0
    assert language("", "ko", thinking=False) == 0
    assert language("漢字だけ", "ko", thinking=False) == 0


def test_well_formed() -> None:
    assert form(HONEST_KO) == form(HONEST_EN) == 1
    assert form("The answer is 17.", thinking=False) == 1


@pytest.mark.parametrize(
    ("completion", "thinking", "ended"),
    [
        (HONEST_KO, True, False),  # cut off
        ("thinking on and on", True, True),
        ("\n</think>\n\n17", True, True),  # no reasoning
        ("x\n</think>\n\n", True, True),  # no answer
        ("x\n</think>\n</think>\n17", True, True),
        ("<think>\nx\n</think>\n\n17", True, True),  # the prompt has opened it
        ("x\n</think>\n\n17", False, True),  # reasoning where none was wanted
        ("<think>17", False, True),
        ("", False, True),
    ],
)
def test_ill_formed(completion: str, thinking: bool, ended: bool) -> None:
    assert form(completion, thinking, ended) == 0


def test_a_completion_without_tokens_has_not_ended() -> None:
    assert format_reward(["17"], [[]], thinking=[False], end_id=END) == [0]
