"""What made-up runs come to: four verdicts, the page of them, and the published one."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data_recipes.common.errors import RecipeError
from recipes.experiments.config import ExperimentConfig
from recipes.experiments.cost import cost_report
from recipes.experiments.picture import draw, pareto_front
from recipes.experiments.report import all_results_page, results_page
from recipes.experiments.results import (
    DOCS,
    RECORDS,
    compare_arms,
    known_spread,
    machine_of,
    read_negative,
    read_results,
    records,
)
from recipes.experiments.runs import PlannedStage, Run

SETTINGS = {
    "question": "Which?",
    "stages": ["stage1"],
    "output_dir": "runs/x",
    "baseline": "base",
    "arms": {
        "base": {},
        "good": {"model.embedding_std": 1.0},
        "bad": {"optimizer.beta1": 0.1},
        "same": {"optimizer.beta2": 0.96},
        "noisy": {"optimizer.epsilon": 1.0e-6},
    },
    "seeds": [1, 2, 3, 4],
    "budget": {"tokens": 4096},
    "measures": ["bits_per_byte", "spikes"],
    "decide": {"bits_per_byte/ko": 0.02},
    "note": "Nothing about other sizes.",
}
BASE = [1.50, 1.52, 1.48, 1.51]
ADDED = {
    "base": [0, 0, 0, 0],
    "good": [-0.20, -0.21, -0.19, -0.20],
    "bad": [0.20, 0.21, 0.19, 0.20],
    "same": [0.001, -0.002, 0.003, 0.0],
    "noisy": [-0.2, 0.3, 0.05, -0.01],
}


def runs() -> list[dict[str, Any]]:
    return [
        {
            "arm": arm,
            "value": "",
            "seed": seed,
            "tokens": 4096,
            "seconds": 10.0,
            "commit": "0123456789abcdef",
            "measures": {"bits_per_byte/ko": BASE[seed - 1] + added, "skipped updates": 1.0},
            "curve": {"bits_per_byte/ko": [(0, 3.0), (4096, 1.5)]},
        }
        for arm, own in ADDED.items()
        for seed, added in zip((1, 2, 3, 4), own)
    ]


@pytest.fixture
def results() -> dict[str, Any]:
    experiment = ExperimentConfig.model_validate(SETTINGS)
    return {
        "name": "made_up",
        "size": "tiny",
        "experiment": experiment.model_dump(mode="json"),
        "machine": {"processor": "abacus, 2 cores", "threads": "1", "python": "3.11", "torch": "2"},
        "date": "2026-01-01",
        "pairing": {"good": {"windows": "yes", "weights": "all but the embedding"}},
        "sweep": [],
        "runs": runs(),
        "comparisons": compare_arms(experiment, runs()),
    }


def test_made_up_numbers_give_all_four_verdicts(results: dict[str, Any]) -> None:
    found = {c["arm"]: c for c in results["comparisons"]}
    assert {arm: c["verdict"] for arm, c in found.items()} == {
        "good": "better",
        "bad": "worse",
        "same": "no difference",
        "noisy": "undecided",
    }
    assert found["good"]["difference"] == pytest.approx(-0.2)
    # Four comparisons: the smallest p-value counts four times.
    least = min(found.values(), key=lambda c: c["p"])
    assert least["corrected"] == pytest.approx(min(1.0, 4 * least["p"]))
    assert found["noisy"]["needed"] > 100 > found["good"]["needed"]
    known = found["noisy"]["spread"], "made_up"
    assert known_spread([results], "tiny", "bits_per_byte/ko") == known
    assert known_spread([results], "small", "bits_per_byte/ko") is None


def test_a_plan_expects_what_its_own_question_came_to_before(results: dict[str, Any]) -> None:
    experiment = ExperimentConfig.model_validate(SETTINGS)
    other = copy.deepcopy(results) | {"name": "another"}
    other["experiment"]["question"] = "Where?"
    for comparison in other["comparisons"]:
        comparison["spread"] = 9.0
    said = cost_report(experiment, "tiny", [], [], None, [other, results]).splitlines()[-1]
    spread = max(c["spread"] for c in results["comparisons"])
    assert said.endswith(f"a standard deviation of {spread:.4f} in made_up")
    said = cost_report(experiment, "tiny", [], [], None, [other]).splitlines()[-1]
    assert said.endswith("a standard deviation of 9.0000 in another")


def test_an_arm_is_compared_on_the_seeds_that_both_have(results: dict[str, Any]) -> None:
    experiment = ExperimentConfig.model_validate(SETTINGS)
    some = [r for r in runs() if (r["arm"], r["seed"]) not in [("base", 2), ("good", 4)]]
    found = {c["arm"]: c for c in compare_arms(experiment, some)}
    assert (found["good"]["pairs"], found["bad"]["pairs"]) == (2, 3)
    assert found["good"]["difference"] == pytest.approx((-0.20 - 0.19) / 2)
    alone = [r for r in runs() if r["seed"] == 1]
    assert compare_arms(experiment, alone) == []  # one pair says nothing


def test_a_report_has_every_arm_in_words(results: dict[str, Any]) -> None:
    text = results_page(results, draw(results, "results.png")).to_markdown().replace("\\", "")
    rows = {line.split("|")[2].strip(): line for line in text.splitlines() if "bits_per" in line}
    assert "**better**" in rows["good"] and "-0.2000 [-0.2130, -0.1870]" in rows["good"]
    assert "**worse**" in rows["bad"]
    assert "**no difference larger than 0.02**" in rows["same"]
    assert "undecided (about" in rows["noisy"] and "seeds would find 0.02" in rows["noisy"]
    assert "1.5025 ± 0.0171" in rows["base (baseline)"]
    assert "commit 0123456789ab; abacus, 2 cores" in text and "Nothing about other sizes." in text
    assert "good: model.embedding_std = 1.0" in text and "![curves" in text


def test_windows_are_shared_as_far_as_both_arms_go(results: dict[str, Any]) -> None:
    said = "good and the baseline share their windows: "
    assert f"{said}yes; weights" in results_page(results, draw(results, "x.png")).to_markdown()
    for run in results["runs"]:  # at equal FLOPs, say
        run["tokens"] = 2048 if run["arm"] == "good" else 4096
    text = results_page(results, draw(results, "x.png")).to_markdown()
    assert f"{said}as far as both go, 2,048 tokens against 4,096; weights" in text


def stage(
    directory: Path, torch: str, machines: list[dict[str, Any]] | None, **lineage: Any
) -> PlannedStage:
    """A finished stage: its lineage, and the record of its attempts if it writes one."""
    final = directory / "final"
    final.mkdir(parents=True)
    lineage |= {"python": "3.11", "packages": {"torch": torch}}
    (final / "lineage.json").write_text(json.dumps(lineage))
    if machines is not None:
        attempts = [{"from_step": 0, "machine": machine} for machine in machines]
        (final / "reproduce.json").write_text(json.dumps({"attempts": attempts}))
    return PlannedStage("stage1", "", (), SimpleNamespace(output_dir=directory))


def test_the_machine_is_that_of_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # of who reports
    one = {"processor": "abacus", "threads": 1, "gpu": None}
    cells = {
        "one": stage(tmp_path / "one", "2", [one], machine=one | {"threads": 5}),
        "again": stage(tmp_path / "again", "2", [one, one | {"threads": 3}]),
        "rows": stage(tmp_path / "rows", "2", None, machine=one | {"threads": 2}),
        "older rows": stage(tmp_path / "older", "2", None),
        "newer": stage(tmp_path / "newer", "3", None),
    }

    def machine(*names: str, parent: str | None = None) -> dict[str, str]:
        first = cells[parent] if parent else None
        return machine_of([Run(name, 1, {}, (cells[name],), first) for name in names])

    of_one = {"processor": "abacus", "threads": "1", "python": "3.11", "torch": "2"}
    assert machine("one") == of_one and [*machine("one")] == [*of_one]
    assert machine("one", "again")["threads"] == "1 or 3 (runs differ)"
    assert machine("rows") == of_one | {"threads": "2"}
    assert machine("older rows") == {"python": "3.11", "torch": "2"}
    assert machine("older rows", parent="one") == of_one
    assert machine("one", "newer")["torch"] == "2 or 3 (runs differ)"


def test_a_report_leaves_out_a_machine_that_no_run_recorded(results: dict[str, Any]) -> None:
    results["machine"] = {"python": "3.11", "torch": "2"}
    text = results_page(results, draw(results, "results.png")).to_markdown().replace("\\", "")
    assert "commit 0123456789ab; python 3.11, torch 2; " in text


def test_the_page_begins_with_a_sentence_a_measure(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.experiments.report.records", lambda: [results])
    good, bad = (
        "[{low:+.3f}, {high:+.3f}]".format(**comparison)
        for arm in ("good", "bad")
        for comparison in results["comparisons"]
        if comparison["arm"] == arm
    )
    said = f"good -0.200 {good} better; bad +0.200 {bad} worse; same no difference; noisy undecided"
    row = f"| Which? | good, bad, same, noisy against base | 4 | 3 | **ko**: {said}. |"
    assert row in all_results_page().to_markdown().replace("\\", "")
    for comparison in results["comparisons"]:
        comparison["verdict"] = "undecided"
    assert "| **ko**: undecided. |" in all_results_page().to_markdown()


def test_what_no_log_has_is_no_panel(results: dict[str, Any]) -> None:
    def width() -> int:
        return int.from_bytes(draw(results, "x.png").image[16:20], "big")  # of a PNG's head

    both = width()
    for run in results["runs"]:
        run["curve"] = {}
    assert width() == both / 2


def test_what_is_not_finished_is_said(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.experiments.report.records", lambda: [results])
    assert "Not finished" not in all_results_page().to_markdown()
    gone = [("good", 4), *(("bad", seed) for seed in (2, 3, 4))]
    results["runs"] = [r for r in runs() if (r["arm"], r["seed"]) not in gone]
    experiment = ExperimentConfig.model_validate(SETTINGS)
    # An arm of one seed is compared with nothing, and has no row.
    results["comparisons"] = compare_arms(experiment, results["runs"])
    text = all_results_page().to_markdown()
    named = "good, seed 4; bad, seed 2; bad, seed 3; bad, seed 4"
    assert f"Not finished, and left out of all figures: {named}." in text
    assert "| 1 of 4 for all arms |" in text


def test_damaged_results_are_named(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"runs": [')
    with pytest.raises(RecipeError, match="results.json: damaged .*; delete it: it is made again"):
        read_results(tmp_path / "results.json")
    assert read_results(tmp_path / "none.json") is None


def test_the_front_holds_what_no_other_arm_beats(results: dict[str, Any]) -> None:
    english = {"base": 1.0, "good": 1.2, "bad": 0.9, "same": 1.1, "noisy": 0.95}
    for run in results["runs"]:
        run["measures"]["bits_per_byte/en"] = english[run["arm"]]
    ko, en = "bits_per_byte/ko", "bits_per_byte/en"
    assert pareto_front(results["runs"], ko, en) == ["good", "base", "noisy", "bad"]
    assert pareto_front(results["runs"], en, ko) == ["bad", "noisy", "base", "good"]
    results["experiment"]["decide"] = {ko: 0.02, en: 0.02}
    with_front = draw(results, "x.png")
    del results["experiment"]["decide"][en]
    assert with_front != draw(results, "x.png")


def test_the_published_page_is_made_of_the_published_results() -> None:
    assert (DOCS / "experiments.md").read_text(encoding="utf-8") == all_results_page().to_markdown()
    assert [r["name"] for r in records()] == [p.stem for p in sorted(RECORDS.glob("*/*.json"))]
    for results in records():
        experiment = ExperimentConfig.model_validate(results["experiment"])
        again = compare_arms(experiment, copy.deepcopy(results["runs"]))
        for own, stored in zip(again, results["comparisons"], strict=True):
            assert own == pytest.approx(stored, nan_ok=True)


def test_every_negative_result_says_what_it_leaves_open() -> None:
    page = all_results_page().to_markdown()
    for entry in read_negative():
        assert entry.keys() == {"tried", "result", "cannot_tell", "source"}
        assert all(entry.values()) and entry["tried"] in page
    assert len(read_negative()) > 10
