"""Runs compared: constructed ones with a known answer, and ones that must not be."""

import json
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from eval.__main__ import main
from eval.collect import MeasuredCell
from eval.compare import compare_runs
from eval.plan import Unit
from eval.run_dir import RESULTS, RunDir


def write_run(
    path: Path,
    right: list[float],
    shots: int = 5,
    hashes: str = "q",
    clusters: list[str] | None = None,
) -> Path:
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
            **({"cluster": clusters[i]} if clusters else {}),
        }
        for i, value in enumerate(right)
    ]
    run = RunDir(path, {"model": str(path)})
    run.save(unit, {}, map(json.dumps, samples))
    run.close()
    row = {"suite": "s", "task": "zoo", "label": "zoo", "metric": "acc,none", "shots": shots}
    row |= {"chat": False, "think": False, "units": ["zoo"], "group": False, "published": None}
    row |= {"value": sum(right) / max(1, len(right)), "items": len(right)}
    results = {"rows": [row], "units": {"zoo": {}}, "name": "n", "date": "d", "settings": {}}
    (path / RESULTS).write_text(json.dumps(results))
    return path


def test_scores_beyond_one_are_no_shares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As BLEU and perplexities: they were shown a hundred times as large, in percent."""
    runs = [write_run(tmp_path / name, [20.0, 30.0, 25.0 + n]) for n, name in enumerate("ab")]
    main(["compare", *map(str, runs)])
    line = next(own for own in capsys.readouterr().out.splitlines() if own.startswith("zoo"))
    assert "25.000  25.333   +0.333" in line and "%" not in line
    assert str(MeasuredCell.of(25.0, (20.5, 29.5))) == "25.0 (20.5 to 29.5)"
    assert str(MeasuredCell.of(1.0, (0.5, 1.0))) == "100.0 (50.0 to 100.0)"


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
    results = json.loads((second / RESULTS).read_text())
    (second / RESULTS).write_text(json.dumps(results | {"rows": []}))
    with pytest.raises(RecipeError, match="no task in common: zoo in the first, nothing in the"):
        compare_runs(first, second)


def test_questions_of_one_cluster_are_compared_as_one(tmp_path: Path) -> None:
    # Six questions more are right, all of one passage: that is once, by chance perhaps.
    first, second = [0.0] * 6 + [1.0] * 3, [1.0] * 6 + [1.0] * 3
    passages = ["a"] * 6 + ["b", "c", "d"]
    runs = [
        write_run(tmp_path / f"{name}{clusters is None}", own, clusters=clusters)
        for name, own in (("a", first), ("b", second))
        for clusters in (passages, None)
    ]
    [(_, clustered, _)] = compare_runs(runs[0], runs[2])
    [(_, alone, _)] = compare_runs(runs[1], runs[3])
    assert clustered.test == "paired t, clustered" and clustered.p_value > 0.05
    assert alone.p_value < 0.05 and clustered.value == alone.value
    # One of the two has been measured before its task named a cluster.
    assert compare_runs(runs[1], runs[2])[0][1] == clustered


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged"),
        (b"[]", "no object"),
        (b"{}", "no date, name, rows, settings, units"),
        (b"3", "no object"),
        (b'{"rows": 3, "units": {}, "name": "n", "date": "d", "settings": {}}', "rows"),
        (b'{"rows": [{}], "units": {}, "name": "n", "date": "d", "settings": {}}', "row 1"),
        (b"\xff\xfe", "damaged"),
    ],
)
def test_a_damaged_result_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    run = write_run(tmp_path / "a", [1.0, 0.0])
    (run / RESULTS).write_bytes(content)
    with pytest.raises(SystemExit, match=r"results.json: damaged.*start the evaluation again") as e:
        main(["compare", str(run), str(run)])
    assert said in str(e.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("value", "high"), ("value", None), ("items", None), ("metric", 5)),
        *(("units", ["other"]), ("units", [{}])),
        *(("interval", [0.5]), ("interval", ["low", "high"]), ("interval", 0.5), ("floor", "low")),
        ("published", "kmmlu_of_nobody"),
    ],
)
def test_a_row_of_a_wrong_type_is_one_line(tmp_path: Path, key: str, value: object) -> None:
    run = write_run(tmp_path / "a", [1.0, 0.0])
    results = json.loads((run / RESULTS).read_text())
    results["rows"][0][key] = value
    (run / RESULTS).write_text(json.dumps(results))
    with pytest.raises(RecipeError, match=f"results.json: damaged .row 1: .*{key}.*delete it"):
        compare_runs(run, run)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\xff", "damaged in line 2"),
        (b"[]", "damaged in line 2"),
        (b"{}", "no answer, choices"),
        (b'{"doc_id": 0', "damaged in line 2"),
        (None, "question 0 is there twice"),
        (b"nan", "acc is no number"),
    ],
)
def test_damaged_answers_are_one_line(tmp_path: Path, line: bytes | None, said: str) -> None:
    run = write_run(tmp_path / "a", [1.0, 0.0])
    samples = run / "tasks" / "zoo.jsonl"
    first, second = samples.read_bytes().splitlines()
    if line == b"nan":
        line = second.replace(b"0.0", b"NaN")
    samples.write_bytes(b"\n".join([first, first if line is None else line]) + b"\n")
    with pytest.raises(SystemExit, match="^error: ") as error:
        main(["compare", str(run), str(run)])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_run_without_answers_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [])
    with pytest.raises(RecipeError, match="zoo: no answered question"):
        compare_runs(run, run)
