"""Text in columns for a terminal."""

from data_recipes.common.terminal import align


def test_names_go_to_the_left_and_numbers_to_the_right() -> None:
    rows = [["task", "n", "by"], ["mmlu", "1,000", "a"], ["ko", "7", "bcd"]]
    assert align(rows, left=(0, 2)).splitlines() == [
        "task      n  by",
        "mmlu  1,000  a",
        "ko        7  bcd",
    ]
