"""Compare the project's answer checker with math-verify on the hand-written table of answers.

    pip install --target /tmp/math-verify 'math-verify[antlr4_13_2]'
    PYTHONPATH=/tmp/math-verify python scripts/compare_answer_checkers.py

math-verify reads mathematics, and is no dependency. Each answer is shown to it between dollar
signs, as it expects LaTeX to be written. Prints, kind by kind, how many pairs each of the two
judges as the table says, and every pair on which they differ.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

from data_recipes.answers import same_answer
from data_recipes.common.errors import RecipeError

CASES = Path(__file__).parent.parent / "tests" / "data_recipes" / "answer_cases.yaml"
# Sections of the table, and whether their pairs are equal in value.
_SECTIONS = {"same": True, "different": False, "not_read": True}

Checker = Callable[[str, str], bool]


@dataclass(frozen=True)
class Judged:
    """One pair: its kind, what is true of it, and what each checker says."""

    kind: str
    given: str
    wanted: str
    equal: bool
    ours: bool
    theirs: bool


def judge_table(path: Path, ours: Checker, theirs: Checker) -> list[Judged]:
    """Ask both checkers about every pair.

    Raises:
        RecipeError: no such file, or not a table of this form.
    """
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        cases = [
            (kind, given, wanted, _SECTIONS[section])
            for kind, sections in table.items()
            for section, pairs in sections.items()
            for given, wanted in pairs
        ]
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(
            f"{path}: not a table of answers ({error!r}); see {CASES} for its form"
        ) from error
    return [
        Judged(kind, given, wanted, equal, ours(given, wanted), theirs(given, wanted))
        for kind, given, wanted, equal in cases
    ]


def format_comparison(judged: list[Judged]) -> str:
    """A line per kind and one for all, then the pairs on which the two differ."""
    kinds = list(dict.fromkeys(row.kind for row in judged))
    lines = [f"{'kind':<30}{'pairs':>6}{'ours right':>12}{'theirs right':>14}{'agree':>8}"]
    for kind in [*kinds, "all"]:
        rows = [row for row in judged if kind in (row.kind, "all")]
        right = [sum(said == row.equal for row, said in zip(rows, side)) for side in _sides(rows)]
        agree = sum(row.ours == row.theirs for row in rows)
        lines.append(f"{kind:<30}{len(rows):>6}{right[0]:>12}{right[1]:>14}{agree:>8}")
    for row in judged:
        if row.ours != row.theirs:
            truth = "equal" if row.equal else "different"
            who = "ours" if row.ours == row.equal else "theirs"
            lines.append(f"{row.kind}: {row.given!r} for {row.wanted!r} is {truth}; {who} right")
    return "\n".join(lines)


def _sides(rows: list[Judged]) -> tuple[list[bool], list[bool]]:
    return [row.ours for row in rows], [row.theirs for row in rows]


def math_verify_checker() -> Checker:
    """math-verify as a checker.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        from math_verify import parse, verify
    except ImportError as error:
        raise RecipeError(
            f"math-verify cannot be imported ({error}); it is no dependency, so install it aside: "
            "pip install --target /tmp/math-verify 'math-verify[antlr4_13_2]' and run this with "
            "PYTHONPATH=/tmp/math-verify"
        ) from error
    # It logs every comparison that it gives up.
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)

    def same(given: str, wanted: str) -> bool:
        # It calls what it cannot read different.
        gold, answer = (parse(f"${text.strip('$')}$") for text in (wanted, given))
        return bool(verify(gold, answer))

    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=Path, default=CASES, help="the table (%(default)s)")
    args = parser.parse_args()
    theirs = math_verify_checker()
    print(f"math-verify {version('math-verify')}, sympy {version('sympy')}")
    print(format_comparison(judge_table(args.cases, same_answer, theirs)))


if __name__ == "__main__":
    try:
        main()
    except RecipeError as error:
        sys.exit(f"error: {error}")
