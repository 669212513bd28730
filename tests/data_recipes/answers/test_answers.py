"""The answer checker on answers as people and models write them."""

import re
import time
from pathlib import Path

import pytest
import yaml

from data_recipes.answers import extract_answer, same_answer

TABLE: dict[str, dict[str, list[list[str]]]] = yaml.safe_load(
    (Path(__file__).parent / "answer_cases.yaml").read_text(encoding="utf-8")
)
SAME, DIFFERENT, NOT_READ = (
    [tuple(pair) for kind in TABLE.values() for pair in kind.get(verdict, [])]
    for verdict in ("same", "different", "not_read")
)
# text, the answer in it
EXTRACTED = [
    ("So we get \\boxed{17}.", "17"),
    ("\\boxed{1} and then \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    ("\\boxed{\\text{(B)}} is it", "\\text{(B)}"),
    ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
    ("\\boxed{17} but \\boxed{18", "17"),
    ("The answer is 17.", "17"),
    ("The answer is 3.5. Done.", "3.5"),
    ("The final answer is: **17**", "17"),
    ("**Answer:** 17", "17"),
    ("Answer: B", "B"),
    ("The answer is 17 because 8 + 9 = 17.", "17"),
    ("The answer is 17 or 18.", "17 or 18"),
    ("The answer is 5. No, the answer is 6.", "6"),
    ("정답은 17입니다.", "17"),
    ("답은 17명입니다.", "17명"),
    ("정답: ②", "②"),
    ("최종 답변: 17", "17"),
    ("최종 답변은 17입니다.", "17"),
    ("답: 1,000원", "1,000원"),
    ("따라서 답은 금요일이에요.", "금요일"),
    ("8 + 9를 계산한다.\n\n17", "17"),
    ("8 + 9\n17명입니다.", "17명"),
    ("계산하면\n$\\frac{1}{2}$", "$\\frac{1}{2}$"),
    ("I do not know.", None),
    ("", None),
    ("It could be 16, 17 or 18 apples, I think.", None),
]


def test_the_table_is_large_and_has_no_case_twice() -> None:
    pairs = [*SAME, *DIFFERENT, *NOT_READ]
    assert len(SAME) >= 250 and len(DIFFERENT) >= 100
    assert len(set(pairs)) == len(pairs)
    assert sum(bool(re.search("[가-힣]", given + wanted)) for given, wanted in pairs) >= 150


@pytest.mark.parametrize(("given", "wanted"), SAME)
def test_same(given: str, wanted: str) -> None:
    assert same_answer(given, wanted)


@pytest.mark.parametrize(("given", "wanted"), DIFFERENT)
def test_different(given: str, wanted: str) -> None:
    assert not same_answer(given, wanted)


@pytest.mark.parametrize(("given", "wanted"), NOT_READ)
def test_limits_are_known(given: str, wanted: str) -> None:
    assert not same_answer(given, wanted)


@pytest.mark.parametrize(("text", "answer"), EXTRACTED)
def test_extracted(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    "hostile",
    [
        "9" * 100_000,
        "9" * 150,
        "9^" * 90 + "9",
        "\\boxed{" * 20_000,
        "\\frac{" * 30 + "1",
        "\\text{" * 30 + "1" + "}" * 30,
        "(" * 199,
        "1," * 99 + "1",
        "{" + "1, " * 60 + "1}",
        "\\sqrt{999999999999999999999999999999999999999}",
        "답은 " * 30_000,
        "answer is " * 30_000,
        " " * 100_000 + "x",
        "십" * 200,
        "1 " * 100,
        "a " * 100,
        "1" + "시간" * 99,
        "**" * 50_000,
        "1e99",
        "시속 " * 66,
        "±" * 150,
        "1:" * 90,
        "\\sqrt[9]{" * 20 + "2",
        "\\binom{99}{9}" * 10,
        "시간 반" * 60,
        "(" + "2^64*" * 30 + "1)^64",
    ],
)
def test_hostile_input_ends_soon(hostile: str) -> None:
    start = time.perf_counter()
    extract_answer(hostile)
    assert not same_answer(hostile, "17")
    assert not same_answer("17", hostile)
    same_answer(hostile, hostile)
    assert time.perf_counter() - start < 0.5
