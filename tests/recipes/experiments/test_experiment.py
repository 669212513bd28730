"""An experiment from its plan to its report: what stops it, and how it goes on."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import write_json_atomically
from recipes.config import StageConfig
from recipes.engine.metrics import read_metrics
from recipes.experiment import main
from recipes.experiments.config import ExperimentConfig
from recipes.experiments.pairing import check_pairs
from recipes.experiments.plan import sweep_runs, values_of
from recipes.experiments.results import best_values
from tests.conftest import Program

from .conftest import Start, load, planned, run_here, small


def test_an_experiment_from_its_plan_to_its_report(
    data_dir: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, path = tmp_path / "out", tmp_path / "x.yaml"
    wide = {"a": {}, "b": {"model.embedding_std": 0.5}}
    given = small(data_dir, output, arms=wide)
    path.write_text(yaml.safe_dump(given))
    plan = start(path, "--dry-run")
    assert plan.count("stage1.py") == 4 and "4 to do, 0 finished" in plan and "nobody knows" in plan
    assert not output.exists()
    with pytest.raises(RecipeError, match="no finished run to report on"):
        start(path, "--report")
    with pytest.raises(RecipeError, match="run 1 of 4: a, seed 1: stage1 failed.*again"):
        start(path, "--launcher", "false")

    # Killed inside a run, it goes on there ...
    process = Program(["-m", "recipes.experiment", path, "--size", "tiny"])
    log, deadline = output / "a" / "1" / "stage1" / "checkpoint-2", time.monotonic() + 300
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    stage = psutil.Process(process.pid).children(recursive=True)  # Python started from nothing
    assert stage
    process.kill()
    psutil.wait_procs(stage, timeout=30)  # the lock of a run is held until its process has ended
    # ... and stopped between two, with the next; a finished one is not run again.
    with monkeypatch.context() as patch:
        patch.setattr(
            "recipes.experiments.train.succeeds", lambda own: "/a/1/" in str(own) and run_here(own)
        )
        with pytest.raises(RecipeError, match="run 2 of 4: b, seed 1: stage1 failed"):
            start(path)
    finished = output / "a" / "1" / "stage1" / "final" / "model.safetensors"
    before = finished.stat().st_mtime_ns
    metrics = [m["step"] for m in read_metrics(finished.parents[1]) if "loss" in m]
    assert metrics == [1, 2, 3, 4]
    rest = start(path)
    assert "run 2 of 4: b, seed 1" in rest and rest.count("== run ") == 3
    assert finished.stat().st_mtime_ns == before

    results = json.loads((output / "results.json").read_text())
    assert [(r["arm"], r["seed"]) for r in results["runs"]] == [
        ("a", 1), ("b", 1), ("a", 2), ("b", 2)
    ]  # fmt: skip
    assert results["pairing"]["b"] == {"windows": "yes", "weights": "all but the embedding"}
    by_run = {(r["arm"], r["seed"]): r for r in results["runs"]}
    for comparison in results["comparisons"]:
        measure = comparison["measure"]
        differences = [
            by_run["b", seed]["measures"][measure] - by_run["a", seed]["measures"][measure]
            for seed in (1, 2)
        ]
        assert comparison["difference"] == pytest.approx(sum(differences) / 2)
        assert comparison["low"] <= comparison["difference"] <= comparison["high"]
    for run in results["runs"]:
        measures = run["measures"]
        assert measures["bits_per_byte/ko"] < measures["bits_per_byte/ko before"]
        assert measures["skipped updates"] == 0 and measures["largest gradient norm"] > 0
    assert (output / "results.png").stat().st_size > 10_000
    page = (output / "results.md").read_text()
    assert "Does it?" in page and f"kormo experiment {path} --size tiny" in page
    assert "| b |" in page

    # Nothing is left to do, and a report is the same from what is there.
    assert "== run" not in start(path)
    again = json.loads((output / "results.json").read_text())
    assert again == results
    plan = start(path, "--dry-run")
    assert "0 to do, 4 finished" in plan and "paired differences have a standard deviation" in plan

    # Only what is shipped is published: another of its name would be written over.
    with pytest.raises(RecipeError, match="--publish: .*x.yaml is not in .*experiments/tiny, and"):
        start(path, "--publish")

    # Changed settings are refused by name, not taken for the same run.
    with pytest.raises(RecipeError, match=r"optimizer\.beta1: was 0\.9, is 0\.8"):
        start(path, "shared={optimizer.beta1: 0.8, " + path_settings(given) + "}", "--report")

    # A pair that is none: another seed's weights, or data that were made again in between.
    experiment = load(path)
    runs = planned(experiment)
    lineage = output / "b" / "2" / "stage1" / "final" / "lineage.json"
    whole = json.loads(lineage.read_text())
    for change, message in (
        ({"initial_weights": {"embedding": "x", "others": "y"}}, "began with other weights"),
        ({"data_fingerprint": "x"}, "read other windows"),
    ):
        write_json_atomically(lineage, whole | change)
        with pytest.raises(RecipeError, match=f"b, seed 2 {message} than the baseline"):
            check_pairs(experiment, runs)
    # The embedding is what this arm changes, so that it may differ.
    weights = whole["initial_weights"] | {"embedding": "x"}
    write_json_atomically(lineage, whole | {"initial_weights": weights})
    check_pairs(experiment, runs)
    # What one seed shares more of is not what the arm shares.
    base = json.loads((output / "a" / "2" / "stage1" / "final" / "lineage.json").read_text())
    write_json_atomically(lineage, whole | {"initial_weights": base["initial_weights"]})
    assert check_pairs(experiment, runs)["b"]["weights"] == "all but the embedding"
    # In an experiment whose arms leave it alone it may not.
    given["arms"] = {"a": {}, "b": {"optimizer.weight_decay": 0.5}}
    others = ExperimentConfig.model_validate(given)
    with pytest.raises(RecipeError, match="b, seed 1 began with other weights"):
        check_pairs(others, planned(others))


def path_settings(given: dict) -> str:
    """The shared settings of an experiment as they stand on a command line."""
    return yaml.safe_dump(given["shared"], default_flow_style=True, width=10**6).strip()[1:-1]


def test_every_arm_goes_on_with_its_own_best_value(
    data_dir: Path,
    tmp_path: Path,
    planted: Callable[..., list[list[str]]],
    call: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recipes.experiments.results.RECORDS", tmp_path / "published")
    output, path = tmp_path / "out", tmp_path / "x.yaml"
    sweep = {"optimizer.learning_rate": [1e-5, 1e-3]}
    path.write_text(
        yaml.safe_dump(small(data_dir, output, sweep=sweep, measures=["bits_per_byte"]))
    )
    wanted = {"a": "learning_rate=0.001", "b": "learning_rate=1e-05"}

    def law(config: StageConfig, tokens: int) -> dict[str, float]:
        optimizer = config.optimizer
        own = 1e-5 if optimizer.weight_decay == 0.5 else 1e-3  # of arm b, and of arm a
        value = 1.0 + (optimizer.learning_rate != own) + 0.001 * config.data.seed
        return {"en": value, "ko": value}

    ran = planted(law)
    call(main, path, "--size", "tiny")
    assert len(ran) == 8
    results = json.loads((output / "results.json").read_text())
    assert len(results["sweep"]) == 4 and {r["seed"] for r in results["sweep"]} == {0}
    for arm, best in wanted.items():
        assert {r["value"] for r in results["runs"] if r["arm"] == arm} == {best}
        assert (output / arm / best / "1" / "stage1" / "final").is_dir()
    assert "went on with its best" in (output / "results.md").read_text()


def test_the_best_value_is_the_highest_of_accuracies_and_the_lowest_of_bits(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(measure: str, decide: str) -> dict:
        given = small(data_dir, tmp_path, measures=[measure], decide={decide: 0.1})
        given["shared"]["logging.quick_eval_every_tokens"] = 2048
        given["sweep"] = {"optimizer.learning_rate": [1.0, 2.0, 3.0]}
        experiment = ExperimentConfig.model_validate(given)
        return best_values(experiment, sweep_runs(experiment, "tiny"), values_of(experiment))

    # Arm a is best in the middle by the measure, b at the end.
    found = {
        ("a", 1.0): 2,
        ("a", 2.0): 9,
        ("a", 3.0): 5,
        ("b", 1.0): 2,
        ("b", 2.0): 3,
        ("b", 3.0): 9,
    }

    def measured(sign: int, name: str) -> None:
        monkeypatch.setattr(
            "recipes.experiments.results.measure_run",
            lambda run, _: {name: sign * found[run.arm, run.value["optimizer.learning_rate"]]},
        )

    for sign, name in ((1, "quick/kmmlu_mini"), (-1, "bits_per_byte/ko")):
        measured(sign, name)
        assert [
            v["optimizer.learning_rate"] for v in chosen(name.split("/")[0], name).values()
        ] == [
            2.0,
            3.0,
        ]
    found["a", 1.0] = float("nan")  # the first one diverged
    assert chosen(name.split("/")[0], name)["a"] == {"optimizer.learning_rate": 2.0}
    with pytest.raises(RecipeError, match="decide.bits_per_byte/kr: .* no such measure, but bits"):
        chosen("bits_per_byte", "bits_per_byte/kr")
