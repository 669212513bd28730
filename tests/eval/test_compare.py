"""Runs compared: constructed ones with a known answer, and ones that must not be."""

import json
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from eval.__main__ import main
from eval.compare import compare_runs
from eval.plan import Unit
from eval.run_dir import RESULTS, RunDir


def write_run(path: Path, right: list[float], shots: int = 5, hashes: str = "q") -> Path:
    """A run of one task."""
    unit = Unit("zoo", shots, chat=False, think=False)
    samples = [
        {
            "doc_id": i,
            "doc_hash": f"{hashes}{i}",
            "filter": "none",
            "prompt": "?",
            "choices": None,
            "target": "1",
            "responses": [["2"]],
            "answer": ["2"],
            "metrics": {"acc": value},
        }
        for i, value in enumerate(right)
    ]
    run = RunDir(path, {"model": str(path)})
    run.save(unit, {}, map(json.dumps, samples))
    run.close()
    row = {"suite": "s", "task": "zoo", "label": "zoo", "metric": "acc,none", "shots": shots}
    row |= {"chat": False, "think": False, "units": ["zoo"]}
    (path / RESULTS).write_text(json.dumps({"rows": [row]}))
    return path


def test_known_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_run(tmp_path / "a", [0.0] * 6 + [1.0] + [1.0] * 8 + [0.0] * 5)
    second = write_run(tmp_path / "b", [1.0] * 6 + [0.0] + [1.0] * 8 + [0.0] * 5)
    [(label, found, corrected)] = compare_runs(first, second)
    assert label == "zoo" and found.value == pytest.approx(0.25)
    assert found.p_value == corrected == pytest.approx(2 * (1 + 7 / 2) / 2**7)
    main(["compare", str(first), str(second)])
    printed = capsys.readouterr().out
    assert (
        "45.0%" in printed
        and "70.0%" in printed
        and "+25.0" in printed
        and "*" not in (printed.splitlines()[4])
    )
    [(_, same, _)] = compare_runs(first, first)
    assert same.value == 0 and same.p_value == 1


def test_a_clear_difference_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_run(tmp_path / "a", [0.0] * 12), write_run(tmp_path / "b", [1.0] * 12)
    main(["compare", str(first), str(second)])
    assert capsys.readouterr().out.splitlines()[4].endswith("*")


def test_different_questions_are_refused(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", [1.0] * 5)
    with pytest.raises(RecipeError, match=r"zoo: .*different questions \(2 only in .*3 in both"):
        compare_runs(first, write_run(tmp_path / "b", [1.0] * 3))
    with pytest.raises(RecipeError, match="0 in both"):
        compare_runs(first, write_run(tmp_path / "c", [1.0] * 5, hashes="other"))
    with pytest.raises(RecipeError, match=r"zoo: shots is 5 in .* 0 in"):
        compare_runs(first, write_run(tmp_path / "d", [1.0] * 5, shots=0))


def test_no_results_and_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*results.json: no such file"):
        main(["compare", str(tmp_path), str(tmp_path)])
    first, second = write_run(tmp_path / "a", [1.0]), write_run(tmp_path / "b", [1.0])
    (second / RESULTS).write_text(json.dumps({"rows": []}))
    with pytest.raises(RecipeError, match="no task in common: zoo in the first, nothing in the"):
        compare_runs(first, second)
