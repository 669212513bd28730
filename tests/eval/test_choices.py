"""An answer names a choice in every usual way, and options are read as they are published."""

from typing import Any

import pytest
from datasets import Dataset

from data_recipes.common.errors import RecipeError
from eval.choices import LETTERS, names_choice, options_from_text


@pytest.mark.parametrize(
    "text, right",
    [
        ("정답은 (B)입니다.", True),
        ("B를 고릅니다. 답은 ②입니다.", True),
        ("정답은 2번입니다.", True),
        ("먼저 (A)를 봅니다.\n정답은 B입니다.", True),
        ("정답은 부산입니다.", True),
        ("정답은 (B) 부산입니다.", True),
        ("정답은 (A)입니다.", False),
        ("정답은 서울입니다.", False),  # two choices say so
        ("부산은 항구입니다.", False),  # no answer is named
        ("", False),
    ],
)
def test_an_answer_may_name_the_letter_the_number_or_the_text(text: str, right: bool) -> None:
    assert names_choice(text, 1, ["서울", "부산", "서울", "대구"]) is right


def test_a_number_that_is_a_choice_names_that_choice() -> None:
    numbers = ["12", "1", "7", "5"]
    assert names_choice("정답은 1입니다.", 1, numbers)
    assert not names_choice("정답은 1입니다.", 0, numbers)
    assert names_choice("정답은 3입니다.", 2, numbers)  # no choice says 3, so it is the third
    assert names_choice("정답은 2번입니다.", 1, ["2", "9", "4", "5"])
    assert not names_choice("정답은 2번입니다.", 0, ["2", "9", "4", "5"])
    assert not names_choice("정답은 2입니다.", 1, ["2.0", "9", "4", "5"])


def test_options_as_text_are_read_in_the_order_of_their_letters() -> None:

    rows = Dataset.from_list([{"options": "{'option_b': 'y', 'option_a': 'x'}", "answer": "B"}])
    row = options_from_text(rows)[0]
    assert (row["texts"], row["gold"]) == (["x", "y"], 1)
    for options, answer in (("x or y", "B"), ("{'option_a': 'x'}", "B"), ("['x']", "A")):
        with pytest.raises(RecipeError, match="row 0: cannot read options"):
            options_from_text(Dataset.from_list([{"options": options, "answer": answer}]))


@pytest.mark.parametrize(
    "task, end", [("kormo_kmmlu_pro", "\n정답："), ("kormo_kobalt", "\n정답：")]
)
def test_choices_of_the_question_are_all_in_the_prompt(manager: Any, task: str, end: str) -> None:
    loaded = manager.load([task])["tasks"][task]
    sizes = set()
    for doc in loaded.eval_docs:
        letters = loaded.doc_to_choice(doc)
        prompt = loaded.doc_to_text(doc)
        assert prompt.endswith(end) and "\n\n정답" not in prompt
        assert [x for x in LETTERS if f"\n{x}. " in prompt or f"\n{x}: " in prompt] == letters
        sizes.add(len(letters))
    assert sizes == ({10} if "kobalt" in task else {4, 5})
