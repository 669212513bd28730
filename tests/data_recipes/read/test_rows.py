"""What nobody sees is made uniform, and nothing else is touched."""

import unicodedata

import pytest

from data_recipes.read.rows import CHANGES, normalise

KOREAN = "한국어 문서입니다.\n둘째 줄입니다."


@pytest.mark.parametrize(
    ("changed", "change"),
    [
        (KOREAN.replace("\n", "\r\n"), "line_ends"),
        (KOREAN.replace("\n", "\r"), "line_ends"),
        (KOREAN.replace("\n", "\u2028"), "line_ends"),
        (KOREAN.replace("\n", "\f"), "line_ends"),
        ("\ufeff" + KOREAN, "invisible"),
        (KOREAN.replace("국", "국\u200b"), "invisible"),
        (KOREAN.replace("\n", " \n"), "trailing_blanks"),
        (KOREAN.replace("\n", "\u3000\t\n") + "\u00a0 ", "trailing_blanks"),
        (unicodedata.normalize("NFD", KOREAN), "decomposed"),
    ],
)
def test_variants_of_a_text_become_one(changed: str, change: str) -> None:
    assert normalise(changed) == (KOREAN, (change,))


def test_changes_are_all_named_in_order() -> None:
    worst = unicodedata.normalize("NFD", "\ufeff" + KOREAN.replace("\n", " \r\n"))
    assert normalise(worst) == (KOREAN, CHANGES)


@pytest.mark.parametrize(
    "text",
    [
        KOREAN,
        "a  b\n\n    indented\tcode\n",
        "👨\u200d👩\u200d👧 نمی\u200cخواهم",  # joined by characters without width
        "ﬁ ² Å",  # compatibility characters are not composed ones
        "",
    ],
)
def test_other_text_is_the_same_object(text: str) -> None:
    result, changes = normalise(text)
    assert result is text and changes == ()
