"""What is read in the text of an answer, and what is decided by it."""

import pytest

from data_recipes.ask import Answer
from data_recipes.difficulty import decisions
from data_recipes.difficulty.decisions import (
    decide_by_labels,
    decide_by_solver,
    delivered,
    read_value,
)
from data_recipes.difficulty.items import DifficultyItem
from data_recipes.toy.items import sentence, unique_items


def test_unknown_answers_decide_nothing() -> None:
    assert decide_by_solver(["wrong", "wrong"], 0) == "kept"
    assert decide_by_solver(["wrong", "truncated"], 0) == "undecided"
    assert decide_by_solver(["right", "truncated"], 0) == "dropped"
    # If it cannot matter, it does not.
    assert decide_by_solver(["wrong", "wrong", "unreadable"], 1) == "kept"
    assert decide_by_solver(["right", "wrong", "unreadable"], 1) == "undecided"
    assert decide_by_labels(["hard", None]) == "undecided"
    assert decide_by_labels(["medium", None]) == "dropped"
    assert decide_by_labels(["hard", "hard"]) == "kept"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_solvers_that_master_two_levels_leave_the_third(language: str) -> None:
    """What the experiment `difficulty` takes for the filter, on problems of known difficulty."""
    kept, levels = [], set()
    for own in unique_items(language, "train", 60, 0):
        item = DifficultyItem(
            type="value", domain=own.kind, question=own.question, answer=own.value
        )
        said = own.value if own.level <= 2 else own.wrong
        text = f"<think>\n{own.reasoning}\n</think>\n\n{sentence(said, language)}"
        reply, missing = delivered(Answer("answered", text, finish_reason="stop"))
        assert missing is None
        decision = decide_by_solver([read_value(item, reply)[0]], 0)
        assert decision != "undecided"
        levels.add(own.level)
        kept += [own.level] if decision == "kept" else []
    assert levels == {1, 2, 3} and {*kept} == {3} and len(kept) > 10


def test_choices_are_read_by_letter_or_words() -> None:
    item = DifficultyItem(
        type="choice", domain="x", question="?", choices=["red", "blue", "3/4"], answer="B"
    )
    for text, verdict in (
        (r"\boxed{B}", "right"),
        (r"\boxed{(B)}", "right"),
        ("The answer is blue.", "right"),
        (r"\boxed{A}", "wrong"),
        (r"\boxed{0.75}", "wrong"),
        (r"\boxed{green}", "unreadable"),
        ("B is what I first thought, but who knows", "unreadable"),
    ):
        assert decisions.read_choice(item, text)[0] == verdict, text


EQUAL_LATEX = [
    ("\\frac{a}{b}", "a/b"),
    ("2x", "2 x"),
    ("e^{x}", "e^x"),
    ("x^2+1", "1+x^2"),
    ("\\frac{n(n+1)}{2}", "n(n+1)/2"),
    ("\\{1, 2\\}", "\\left\\{1,2\\right\\}"),
]


@pytest.mark.parametrize(("given", "wanted"), EQUAL_LATEX)
def test_no_right_formula_is_taken_for_wrong(given: str, wanted: str) -> None:
    for answer, said in ((given, wanted), (wanted, given)):
        item = DifficultyItem(type="value", domain="x", question="?", answer=answer)
        assert decisions.read_value(item, f"So it is \\boxed{{{said}}}.")[0] == "right"


def test_last_line_names_the_label() -> None:
    def said(text: str, finish: str = "stop") -> str | None:
        return decisions.read_label(Answer("answered", text, finish_reason=finish))

    assert said("It looks easy.\n\n**Hard**") == "hard"
    assert said("Difficulty: medium.") == "medium"
    assert said("<think>easy</think>\nhard") == "hard"
    assert said("medium or hard") is None
    assert said("hard", "length") is None
    assert said("<think>\nhard") is None
    assert said("It is a hard question to say, since a student might know.") is None
    assert said("not hard") is None and said("This isn't hard.") is None


@pytest.mark.parametrize(
    ("line", "grade"),
    [
        ("correct", "right"),
        ("**Incorrect.**", "wrong"),
        ("Grade: correct", "right"),
        ("The answer is incorrect.", "wrong"),
        ("Not correct.", None),
        ("The answer isn't correct", None),
        ("partially correct", None),
        ("Partly correct.", None),
        ("almost correct", None),
        ("hardly correct", None),
        ("부분적으로 correct", None),
        ("correct가 아닙니다", None),
        ("채점: correct", "right"),
        ("correct or incorrect", None),
        ("unsure", None),
    ],
)
def test_a_grade_that_is_denied_or_halved_is_none(line: str, grade: str | None) -> None:
    answer = Answer("answered", f"It says what the reference says.\n{line}", finish_reason="stop")
    assert decisions.read_grade(answer) == grade
