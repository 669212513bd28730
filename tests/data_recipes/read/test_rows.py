"""What nobody sees is made uniform, and nothing else is touched."""

import random
import unicodedata

import pytest

from data_recipes.read.rows import CHANGES, Row, SetAside, normalise, normalised

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


def _one_by_one(text: str) -> tuple[str, list[str]]:
    """What `normalise` promises, a character after the other."""
    lines = [""]
    ends, invisible = False, False
    for number, character in enumerate(text):
        if character in "\r\f\v\u2028\u2029":
            ends = True
        elif character in "\ufeff\u200b\u2060":
            invisible = True
            continue
        elif character != "\n":
            lines[-1] += character
            continue
        if character != "\n" or text[number - 1 : number] != "\r":
            lines.append("")
    kept = "\n".join(line.rstrip(" \t\u00a0\u3000") for line in lines)
    blanks = kept != "\n".join(lines)
    composed = unicodedata.normalize("NFC", kept)
    made = zip(CHANGES, (ends, invisible, blanks, composed != kept), strict=True)
    return composed, [name for name, changed in made if changed]


def test_no_character_and_no_mixture_of_signs_is_overlooked() -> None:
    points = (
        *range(1, 0xD800),
        *range(0xE000, 0x3100),
        *range(0xF900, 0xFB50),
        *range(0xFE00, 0x11100),
    )
    for point in points:
        text = f"a{chr(point)}b"
        assert normalise(text)[0] == _one_by_one(text)[0], hex(point)
    signs = [*"ab \t\n\r\f\v", "가", "\u1100\u1161", "\u0301", "é", "한 ", "\r\n", "\u2028"]
    signs += ["\u2029", "\ufeff", "\u200b", "\u2060", "\u00a0", "\u3000", "\u2000", "😀"]
    rng = random.Random(7)
    seen = set()
    for _ in range(6000):
        text = "".join(rng.choices(signs, k=rng.choice([0, 1, 2, 5, 20])))
        text = f"x{text}y" if rng.random() < 0.3 else text
        right, changes = _one_by_one(text)
        assert normalise(text) == (right, tuple(changes)), ascii(text)
        (row,) = normalised(iter([Row(3, text)]))
        if right.strip():
            assert row == Row(3, right, changes=tuple(changes))
        elif isinstance(row, SetAside):
            assert (row.place, row.length, row.reason) == (3, len(text.encode()), "empty")
        else:
            assert row == Row(3, text) and not changes  # what `to_row` never passes on
        seen.add((*changes, not right.strip()))
    assert len(seen) > 20
