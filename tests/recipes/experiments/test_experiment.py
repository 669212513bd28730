"""An experiment from its plan to its report: what its runs share, and what stops it."""

import importlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    find_differences,
    sha256_file,
    write_json_atomically,
)
from data_recipes.tokenizer.load import load_tokenizer, token_byte_lengths
from data_recipes.tokens.shards import TokenSource
from recipes.command_line import CONFIGS, load_stage
from recipes.config import StageConfig
from recipes.engine.metrics import read_metrics
from recipes.experiment import main
from recipes.experiments.config import ExperimentConfig, settings_of
from recipes.experiments.cost import cost_of
from recipes.experiments.measures import measure_run, training_seconds
from recipes.experiments.pairing import check_pairs
from recipes.experiments.plan import seed_runs, sweep_runs, values_of
from recipes.experiments.results import best_values
from recipes.experiments.ruler import _bytes_of, check_ruler
from tests.conftest import SMALL, Program, environment, release_outputs

SHIPPED = sorted((CONFIGS / "experiments").glob("*/*.yaml"))
Start = Callable[..., str]
PLACES = {"logging.output_dir", "output_dir"}
# In what else an arm differs that goes through other stages, or starts elsewhere.
OTHER_WAY = {
    "stage",
    "model.init_from",
    "model.embedding_std",
    "data.seed",
    "growth",
    "schedule.branch_from",
    "schedule.total_tokens",
    "unfreezing",
}


def load(path: Path, *overrides: str) -> ExperimentConfig:
    return load_config(path, ExperimentConfig, list(overrides))


def planned(experiment: ExperimentConfig, size: str = "tiny") -> list:
    values = values_of(experiment)
    return seed_runs(experiment, size, dict.fromkeys(experiment.arms, values[0]))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_runs_of_a_seed_differ_in_what_their_arms_say_and_in_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bytes are counted in shards, which are not there.
    monkeypatch.setattr("recipes.experiments.lengths._bytes_per_token", lambda *_: 4.0)
    size, experiment = path.parent.name, load(path)
    assert experiment.output_dir == Path("runs") / size / "experiments" / path.stem
    runs = planned(experiment, size)
    check_ruler(experiment, runs)
    assert len(runs) == len(experiment.arms) * len(experiment.seeds)
    directories = [
        cell.directory for run in [*runs, *sweep_runs(experiment, size)] for cell in run.cells
    ]
    if experiment.sweep:  # the values that are not the first are those of the sweep alone
        assert len(set(directories)) == len(directories)
    for run in runs:
        base = next(r for r in runs if (r.arm, r.seed) == (experiment.baseline, run.seed))
        roads = [experiment.road(r.arm) for r in (run, base)]
        other_way = set() if roads[0] == roads[1] else OTHER_WAY
        for number, (cell, other) in enumerate(zip(run.cells, base.cells, strict=True)):
            lines = find_differences(
                other.config.model_dump(mode="json"), cell.config.model_dump(mode="json")
            )
            changed = {line.partition(":")[0] for line in lines} - PLACES
            own = [experiment.arms[arm] for arm in (run.arm, experiment.baseline)]
            if cell.stage != other.stage:
                own.append(experiment.shared)  # says other things of other stages
            said = {k for o in own for c in (cell, other) for k in settings_of(o, c.stage)}
            said |= other_way
            said |= {"model.init_from"} if number else set()  # its own stage before
            budget = experiment.budget  # by FLOPs or bytes, arms that cost more are shorter
            if budget and budget.tokens is None:
                said.add("schedule.total_tokens")
            assert all(any(f"{key}.".startswith(f"{own}.") for own in said) for key in changed)
            assert bool(changed) == (run is not base)
            seed = getattr(cell.config.data, "seed", None) or cell.config.seed
            follows = run.parent is not None and cell.branched_at == 0 and not number
            assert seed == run.seed + 1000 * follows  # other windows than the parent's


def test_a_budget_is_shared_out_in_whole_steps_and_flops_pay_for_width(tmp_path: Path) -> None:
    stages = ["stage1", "stage2"]
    own = [load_stage(CONFIGS / "tiny" / f"{s}.yaml", s).schedule.total_tokens for s in stages]
    given = {
        "question": "?",
        "stages": stages,
        "output_dir": str(tmp_path),
        "baseline": "narrow",
        "arms": {
            "narrow": {},
            "wide": {"model.shape.intermediate_size": 2048, "stage2": {"data.packing": "best_fit"}},
        },
        "seeds": [1, 2],
        "budget": {"tokens": 2 * sum(own)},
        "measures": ["bits_per_byte"],
        "decide": {"bits_per_byte/ko": 0.02},
        "shared": {"data.heldout": ["web_ko"]},
    }
    experiment = ExperimentConfig.model_validate(given)
    runs = planned(experiment)
    configs = [[cell.config for cell in run.cells] for run in runs[:2]]
    for first, second in configs:
        assert first.schedule.total_tokens % 2048 == second.schedule.total_tokens % 2048 == 0
        assert first.schedule.total_tokens / second.schedule.total_tokens == pytest.approx(
            own[0] / own[1], rel=0.01
        )
        assert second.model.init_from == str(first.logging.output_dir / "final")
    assert runs[0].tokens == runs[1].tokens == pytest.approx(2 * sum(own), abs=4096)
    # Said of one stage, a setting is that stage's alone.
    assert [c.data.packing for c in configs[1]] == ["concat", "best_fit"]
    flops = ExperimentConfig.model_validate(given | {"budget": {"flops": 1.5e13}})
    narrow, wide = planned(flops)[:2]
    assert narrow.tokens > 1.5 * wide.tokens
    # What a run costs is a sum over its stages, of FLOPs as the budget counts them.
    assert cost_of(narrow.cells).flops == pytest.approx(1.5e13, rel=0.01)
    assert cost_of(narrow.cells + wide.cells).flops == pytest.approx(3e13, rel=0.01)
    assert cost_of(narrow.cells + wide.cells).tokens == narrow.tokens + wide.tokens


def test_a_budget_in_bytes_gives_every_arm_equally_much_text(
    data_dir: Path, tmp_path: Path
) -> None:
    # Korean takes three bytes a letter, and more of them a token than English takes letters.
    arms = {"ko": {"data.mixture": {"web_ko": 1}}, "en": {"data.mixture": {"web_en": 1}}}
    shared = {"data.heldout": ["web_ko"]}
    given = small(data_dir, tmp_path, arms=arms, baseline="ko", shared=shared)
    experiment = ExperimentConfig.model_validate(given | {"budget": {"bytes": 200_000}})
    runs = planned(experiment)
    read = {}
    for run in runs:
        data = run.cells[0].config.data
        source = TokenSource(data.shards / f"web_{run.arm}" / "train")
        windows = [source.window(i, 128).tokens for i in range(source.windows(128))]
        tokenizer, ids = load_tokenizer(data.tokenizer), np.concatenate(windows)
        text = tokenizer.decode(ids, skip_special_tokens=True)
        read[run.arm, run.seed] = run.tokens * len(text.encode()) / len(ids)
    assert list(read.values()) == pytest.approx([200_000] * 4, rel=0.03)
    by_arm = {run.arm: run.tokens for run in runs}
    assert abs(by_arm["ko"] / by_arm["en"] - 1) > 0.05  # or equal tokens would do
    missing = {**given, "shared": given["shared"] | {"data.shards": str(tmp_path / "none")}}
    with pytest.raises(RecipeError, match="none"):
        planned(ExperimentConfig.model_validate(missing | {"budget": {"bytes": 200_000}}))


CHANGES = {
    "runner's": ({"shared": {"data.seed": 3}}, "data.seed: is set for every run"),
    "parent of an arm": ({"arms": {"a": {}, "b": {"model.init_from": "x"}}}, "b: model.init_from"),
    "baseline": ({"baseline": "c"}, "baseline 'c' is none of the arms"),
    "lucky seed": (
        {"sweep": {"optimizer.learning_rate": [1e-3]}, "sweep_seed": 1},
        "sweep_seed 1 is one of",
    ),
    "budget": ({"budget": {"tokens": 1, "flops": 1}}, "one of the three"),
    "measure": ({"decide": {"quick/kmmlu_mini": 0.1}}, "belongs to none of `measures`"),
    "band": ({"decide": {"bits_per_byte/ko": 0}}, "above 0"),
    "a folder elsewhere": ({"arms": {"a": {}, "../b": {}}}, "'../b' names a folder"),
    "a stage that is a number": ({"arms": {"a": {"stage1": 3}, "b": {}}}, "a.stage1: expected"),
    "unknown key": ({"shared": {"schedule.tokens": 1}}, "schedule.tokens: unknown key"),
    "ruler": (
        {"arms": {"a": {}, "b": {"data.heldout_tokens": 300}}},
        "arms.b: would be measured by another ruler.*\n.*data.heldout_tokens: was 512, is 300",
    ),
    "ruler of other shards": (
        {"arms": {"a": {}, "b": {"data.shards": "x"}}},
        "arms.b: would be measured by another ruler.*\n.*data.shards: was",
    ),
    "ruler of another tokenizer": (
        {"arms": {"a": {}, "b": {"data.tokenizer": "x"}}},
        "arms.b: would be measured by another ruler.*\n.*data.tokenizer: was",
    ),
    "ruler of the text, under any tokenizer": (
        {
            "arms": {"a": {}, "b": {"data.tokenizer": "x", "data.heldout": ["web_en"]}},
            "shared": {"data.heldout_tokens": None},
        },
        "arms.b: would be measured by another ruler.*\n.*data.heldout: was",
    ),
    "ruler of the mixture": (
        {"arms": {"a": {}, "b": {"data.mixture": {"web_ko": 1}}}},
        "data.heldout: was",
    ),
}


def small(data_dir: Path, output: Path, **changes: object) -> dict:
    """An experiment of two arms and two seeds on the shared data, four steps a run."""
    own = dict(item.split("=", 1) for item in SMALL if "total_tokens" not in item)
    shared = {key: yaml.safe_load(value) for key, value in own.items()} | {
        "data.recipe": str(data_dir / "recipe.yaml"),
        "data.shards": str(data_dir / "shards"),
        "data.tokenizer": str(data_dir / "tokenizer"),
        "logging.eval_every_tokens": 2048,
        "logging.save_every_tokens": 1024,
    }
    return {
        "question": "Does it?",
        "stages": ["stage1"],
        "output_dir": str(output),
        "baseline": "a",
        "arms": {"a": {}, "b": {"optimizer.weight_decay": 0.5}},
        "seeds": [1, 2],
        "budget": {"tokens": 4096},
        "shared": shared | changes.pop("shared", {}),
        "measures": ["bits_per_byte", "spikes", "gradient_norm"],
        "decide": {"bits_per_byte/en": 0.02, "bits_per_byte/ko": 0.02},
    } | changes


@pytest.mark.parametrize("case", CHANGES)
def test_mistakes_are_refused_before_any_run(data_dir: Path, tmp_path: Path, case: str) -> None:
    changes, message = CHANGES[case]
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(small(data_dir, tmp_path / "out", **changes)))
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        experiment = load(path)
        check_ruler(experiment, planned(experiment))


def test_an_arm_of_the_base_is_left_out_by_null(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(small(data_dir, tmp_path / "out")))
    (tmp_path / "x.yaml").write_text(
        "base: base.yaml\narms: {b: null, c: {data.shuffle_seed: 3}}\n"
    )
    assert load(tmp_path / "x.yaml").arms == {"a": {}, "c": {"data.shuffle_seed": 3}}
    with pytest.raises(RecipeError, match="arms: .*at least 2"):
        load(tmp_path / "x.yaml", "arms.c=null")
    with pytest.raises(RecipeError, match="baseline 'a' is none of the arms"):
        load(tmp_path / "x.yaml", "arms.d={}", "arms.a=null")


def test_tokenizers_are_measured_on_all_of_one_text(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "shards", tmp_path / "shards")
    own, other = data_dir / "tokenizer", tmp_path / "tokenizer"
    shutil.copytree(own, other)
    arms = {"a": {}, "b": {"data.tokenizer": str(other), "data.shards": str(tmp_path / "shards")}}
    given = small(data_dir, tmp_path, arms=arms, shared={"data.heldout_tokens": None})
    experiment = ExperimentConfig.model_validate(given)
    check_ruler(experiment, planned(experiment))
    # As many documents and tokens, and one of these says something else.
    folder = tmp_path / "shards" / "web_ko" / "heldout"
    manifest = json.loads((folder / "manifest.json").read_text())
    (first, *_) = manifest["files"]
    tokens = np.fromfile(folder / first["path"], manifest["dtype"])
    sizes = np.array(token_byte_lengths(load_tokenizer(own)))
    (place, *_) = np.flatnonzero(sizes[tokens] == 1)
    tokens[place] = np.flatnonzero(sizes == 3)[0]
    tokens.tofile(folder / first["path"])
    first["sha256"] = sha256_file(folder / first["path"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    _bytes_of.cache_clear()
    with pytest.raises(RecipeError, match=r"(?s)arms\.b: .*bytes\.web_ko: was \d+, is \d+"):
        check_ruler(experiment, planned(experiment))


def run_here(command: list[str]) -> bool:
    """Run a stage, or an evaluation, in this process, which has loaded torch already."""
    if command[0] == "false":
        return False
    module, words = f"recipes.{Path(command[1]).stem}", command[1:]
    if command[1] == "-m":
        module, words = f"{command[2]}.__main__", command[2:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        importlib.import_module(module).main()
    release_outputs()
    return True


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Start:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("recipes.experiments.train.succeeds", run_here)
    # What is published grows, and is not what these tests are about.
    monkeypatch.setattr("recipes.experiments.results.RECORDS", tmp_path / "published")

    def run(path: Path, *arguments: str) -> str:
        given = ["experiment", str(path), "--size", "tiny", *arguments]
        monkeypatch.setattr(sys, "argv", given)
        capfd.readouterr()  # of one that was refused
        main()
        return capfd.readouterr().out

    return run


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
    assert "Does it?" in page and "kormo experiment x --size tiny" in page and "| b |" in page

    # Nothing is left to do, and a report is the same from what is there.
    assert "== run" not in start(path)
    again = json.loads((output / "results.json").read_text())
    assert again == results
    plan = start(path, "--dry-run")
    assert "0 to do, 4 finished" in plan and "paired differences have a standard deviation" in plan

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
    assert check_pairs(experiment, runs)["b"].weights == "all but the embedding"
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
    with pytest.raises(RecipeError, match="decide.bits_per_byte/kr: .* no such measure, but bits"):
        chosen("bits_per_byte", "bits_per_byte/kr")


def test_the_mixture_of_a_run_is_that_of_its_korean_sources(data_dir: Path, tmp_path: Path) -> None:
    mixture = {"web_en": 0.5, "stories_ko": 0.25, "stories_en": 0.25}
    given = small(data_dir, tmp_path, arms={"a": {}, "b": {"optimizer.beta1": 0.8}})
    given["shared"] |= {"data.mixture": mixture, "data.heldout": ["web_ko"]}
    given["measures"] = ["mixture", "bits_per_byte"]
    run = planned(ExperimentConfig.model_validate(given))[0]
    folder = run.cells[0].directory
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 0, "bits_per_byte/ko": 2.0}) + "\n")
    values = measure_run(run, ["mixture"])
    assert values["synthetic sources"] == values["synthesizers"] == 1
    # 4,096 tokens in windows of 128, a quarter of them Korean, over those of the source.
    windows = json.loads((data_dir / "shards/stories_ko/train/manifest.json").read_text())["tokens"]
    assert values["epochs"] == pytest.approx(8 / (windows // 128), rel=0.1)
    with pytest.raises(RecipeError, match="nothing for the measure 'unrest'"):
        measure_run(run, ["unrest"])


def test_unrest_is_the_noise_about_a_slow_trend(data_dir: Path, tmp_path: Path) -> None:
    run = planned(ExperimentConfig.model_validate(small(data_dir, tmp_path)))[0]
    folder = run.cells[0].directory
    folder.mkdir(parents=True)
    for losses, expected in (
        ([9, 9, 9, 3.0, 2.9, 2.8, 2.7], 0.0),
        ([9, 9, 9, 3.0, 3.4, 2.6, 3.0], 0.4),
    ):
        lines = [json.dumps({"step": i, "loss": loss}) for i, loss in enumerate(losses)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        steps = [b - a for a, b in zip(losses[3:], losses[4:])]
        mean = sum(steps) / 3
        exact = (sum((s - mean) ** 2 for s in steps) / 2) ** 0.5 / 2**0.5
        assert measure_run(run, ["unrest"])["unrest"] == pytest.approx(exact, abs=1e-9)
        assert exact == pytest.approx(expected, abs=0.1)


def test_time_is_that_of_all_stages_and_bits_are_the_last_ones(
    data_dir: Path, tmp_path: Path
) -> None:
    given = small(data_dir, tmp_path, stages=["stage1", "stage2"], budget={"tokens": 40_960})
    run = planned(ExperimentConfig.model_validate(given))[0]
    for cell, rate in zip(run.cells, (100, 50)):
        cell.directory.mkdir(parents=True)
        lines = [
            {"step": 0, "tokens": 0, "bits_per_byte/ko": 9.0},
            {"step": 1, "tokens": 1000, "tokens_per_second": rate, "bits_per_byte/ko": 3.0},
            {"step": 2, "tokens": 3000, "tokens_per_second": 2 * rate, "bits_per_byte/ko": 2.0},
            {"step": 2, "tokens": 3000, "loss": 1.0},
        ]
        (cell.directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert training_seconds(run.cells) == pytest.approx((10 + 10) + (20 + 20))
    assert measure_run(run, ["bits_per_byte"]) == {
        "bits_per_byte/ko": 2.0,
        "bits_per_byte/ko before": 9.0,
    }
