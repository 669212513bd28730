"""The comparison of answer checkers counts rightly, and says how to get what it needs."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_recipes.answers import same_answer
from data_recipes.common.errors import RecipeError
from tests.conftest import ROOT, environment

SCRIPT = ROOT / "scripts" / "compare_answer_checkers.py"
spec = importlib.util.spec_from_file_location("compare_answer_checkers", SCRIPT)
compare = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = compare
spec.loader.exec_module(compare)


def test_both_checkers_are_counted(tmp_path: Path) -> None:
    table = tmp_path / "cases.yaml"
    table.write_text(
        "units:\n  same: [['3 km', '3000 m'], ['17명', '17']]\n  different: [['3', '4']]\n"
        "letters:\n  not_read: [['x+1', '1+x']]\n",
        encoding="utf-8",
    )
    judged = compare.judge_table(table, same_answer, lambda given, wanted: "+" in given)
    header, units, letters, everything, *differences = compare.format_comparison(
        judged
    ).splitlines()
    assert header.split() == ["kind", "pairs", "ours", "right", "theirs", "right", "agree"]
    assert units.split() == ["units", "3", "3", "1", "1"]
    assert letters.split() == ["letters", "1", "0", "1", "0"]
    assert everything.split() == ["all", "4", "3", "2", "1"]
    assert len(differences) == 3 and differences[2].endswith("is equal; theirs right")


def test_the_checker_is_right_on_the_shipped_table() -> None:
    judged = compare.judge_table(compare.CASES, same_answer, same_answer)
    wrong = [row for row in judged if row.ours != row.equal]
    assert len(judged) > 400 and len(wrong) < 30
    assert not [row for row in wrong if not row.equal]  # never takes a wrong answer for a right one


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text("units:\n  some: [['a', 'b']]\n", encoding="utf-8")
    for name in ("cases.yaml", "missing.yaml"):
        with pytest.raises(RecipeError, match=f"{name}: not a table of answers"):
            compare.judge_table(tmp_path / name, same_answer, same_answer)


def test_without_math_verify_it_says_how_to_install_it(tmp_path: Path) -> None:
    # Hidden in case this environment has it.
    (tmp_path / "math_verify.py").write_text("raise ImportError('not here')\n")
    paths = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        env={**environment(), "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "pip install --target /tmp/math-verify 'math-verify[antlr4_13_2]'" in result.stderr
