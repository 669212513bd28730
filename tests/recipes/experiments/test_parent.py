"""Experiments whose arms go on from a parent: grown, trained on, from scratch, with new rows."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from recipes.command_line import CONFIGS
from recipes.engine.metrics import read_metrics
from recipes.experiment import main
from recipes.experiments.config import ExperimentConfig
from recipes.experiments.cost import cost_of
from recipes.experiments.measures import curve_of

from .conftest import Start, planned, small

TINY = CONFIGS / "experiments" / "tiny"


def with_parent(data_dir: Path, output: Path, **changes: object) -> dict:
    arms = {
        "small": {"stages": ["stage1"], "start": "checkpoint"},
        "grown": {"growth.how": "zeros", "growth.steps": [{"layers_every": 1}]},
        "scratch": {"stages": ["stage1"], "start": "scratch", "model.shape.num_hidden_layers": 4},
    }
    given = small(data_dir, output, stages=["grow"], baseline="small", arms=arms) | {
        "parent": {"stage": "stage1", "tokens": 2048, "set": {"optimizer.beta1": 0.8}},
        "budget": {"tokens": 1024},
    }
    given["shared"]["optimizer.learning_rate"] = 1e-3
    given["arms"]["small"]["optimizer.beta1"] = 0.8  # that of the optimizer which goes on
    return given | changes


def test_arms_go_on_from_one_parent_a_seed(data_dir: Path, tmp_path: Path, start: Start) -> None:
    output, path = tmp_path / "out", tmp_path / "x.yaml"
    given = with_parent(data_dir, output)
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    plan = start(path, "--dry-run")
    assert plan.count("/parent/1/stage1 ") == 1 and "6 to do, 0 finished" in plan
    # Two parents of 2,048 tokens, and six runs, two of which have their parent's as well.
    assert "tokens                14,336" in plan
    text = start(path)
    assert text.count("== run ") == 6
    results = json.loads((output / "results.json").read_text())
    assert {(r["arm"], r["tokens"]) for r in results["runs"]} == {
        ("small", 1024), ("grown", 1024), ("scratch", 3072)
    }  # fmt: skip
    assert results["parents_seconds"] > 0
    assert results["pairing"]["grown"]["windows"].startswith("no: data.seed")
    page = (output / "results.md").read_text()
    assert "after 2,048 tokens of stage1" in page

    runs = {run.arm: run for run in planned(load_config(path, ExperimentConfig, []))[:3]}
    parent = runs["small"].parent
    assert parent == runs["grown"].parent and runs["scratch"].parent is None
    # The optimizer and the windows go on: the first line of the log is the third step's.
    steps = [m["step"] for m in read_metrics(runs["small"].cells[0].directory) if "loss" in m]
    assert steps == [3]
    assert [t for t, _ in curve_of(runs["small"])["loss"]] == [1024]
    lineage = json.loads((runs["grown"].cells[0].directory / "final/lineage.json").read_text())
    assert lineage["parent"] == str(parent.directory / "final")
    assert lineage["tokens_in_all"] == 3072 and lineage["growth"]
    assert runs["grown"].cells[0].config.data.seed != parent.config.data.seed

    # A parent that is gone is trained again, and what came of it before is no pair of what does.
    assert "== run" not in start(path)
    given["parent"]["set"]["optimizer.beta1"] = 0.7
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    with pytest.raises(RecipeError, match=r"optimizer\.beta1: was 0\.8, is 0\.7"):
        start(path)


def test_growth_spends_equal_flops_and_scratch_the_parents_too() -> None:
    experiment = load_config(TINY / "growth.yaml", ExperimentConfig, [])
    runs = {run.arm: run for run in planned(experiment)[: len(experiment.arms)]}
    spent = {arm: cost_of(run.cells).flops for arm, run in runs.items()}
    whole = spent.pop("scratch") - cost_of([runs["small"].parent]).flops
    for arm, flops in (*spent.items(), ("scratch", whole)):
        assert flops == pytest.approx(experiment.budget.flops, rel=0.01), arm
    # Counted on the grown shape, not on the parent's.
    assert runs["small"].tokens > 1.5 * runs["ramp"].tokens == 1.5 * runs["zeros fresh"].tokens
    grown = runs["ramp"].cells[0].config
    assert grown.growth.seed == grown.data.seed - 1000 == 1


def test_every_arm_reads_the_same_bytes_of_each_source(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_of = {"english": {"ko": 1.0, "en": 4.0}, "korean": {"ko": 3.2, "en": 4.0}}

    def counted(shards: Path, tokenizer: Path, weights: tuple, length: int, packing: str) -> float:
        own = bytes_of[tokenizer.parts[2]]
        return sum(share * own[name[-2:]] for name, share in weights) / sum(s for _, s in weights)

    monkeypatch.setattr("recipes.experiments.lengths._bytes_per_token", counted)
    experiment = load_config(TINY / "vocabulary.yaml", ExperimentConfig, [])
    wanted = experiment.budget.bytes
    assert sum(size for name, size in wanted.items() if name.endswith("_en")) == 0.2 * sum(
        wanted.values()
    )
    tokens = {}
    for run in planned(experiment):
        data = run.cells[0].config.data
        own = bytes_of[data.tokenizer.parts[2]]
        for name, size in wanted.items():
            read = run.tokens * data.mixture[name] * own[name[-2:]]
            assert read == pytest.approx(size, rel=0.02), (run.arm, name)
        tokens[run.arm] = run.tokens
    assert tokens["old"] == tokens["old blocks"] > 2 * tokens["mean"] == 2 * tokens["random"]

    # For equal computation the sources stand in the same proportions of bytes.
    experiment = load_config(TINY / "vocabulary_flops.yaml", ExperimentConfig, [])
    runs = {run.arm: run for run in planned(experiment)[: len(experiment.arms)]}
    for arm, run in runs.items():
        assert cost_of(run.cells).flops == pytest.approx(2.6e12, rel=0.01), arm
        data = run.cells[0].config.data
        own = bytes_of[data.tokenizer.parts[2]]
        read = {name: share * own[name[-2:]] for name, share in data.mixture.items()}
        shares = [read[name] / sum(read.values()) for name in wanted]
        assert shares == pytest.approx(
            [n / sum(wanted.values()) for n in wanted.values()], rel=1e-4
        )
    assert runs["mean"].tokens > 2 * tokens["mean"]
    assert runs["old"].tokens == pytest.approx(tokens["old"], rel=0.01)


def test_new_rows_are_made_between_the_parent_and_its_arm(
    data_dir: Path, tmp_path: Path, planted: Callable, call: Callable[..., str]
) -> None:
    larger = tmp_path / "larger"
    shutil.copytree(data_dir / "tokenizer", larger)
    turns = {"unfreezing.new_rows_tokens": 0, "unfreezing.matrices_tokens": 0}
    arms = {
        "old": {"stages": ["stage1"]},
        "mean": {"start": "mean", "data.tokenizer": str(larger), **turns},
    }
    given = with_parent(data_dir, tmp_path / "out", stages=["expand"], baseline="old", arms=arms)
    given["shared"]["data.heldout_tokens"] = None
    given["measures"] = ["bits_per_byte"]
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    ran = planted(lambda config, tokens: {"en": 2.0 - tokens * 1e-5, "ko": 2.0})
    plan = call(main, path, "--size", "tiny", "--dry-run").splitlines()
    scripts = [Path(line.split()[1]).stem for line in plan if "/recipes/" in line]
    assert scripts == ["stage1", "stage1", "expand_vocabulary", "expand"] * 2
    (expansion,) = [line for line in plan if "expand_vocabulary.py" in line and "/1/" in line]
    parent, place = tmp_path / "out/parent/1/stage1/final", tmp_path / "out/mean/1"
    assert expansion.endswith(f"{parent} {larger} {place}/start_mean --init mean --seed 1")
    call(main, path, "--size", "tiny")
    assert [Path(command[1]).stem for command in ran] == scripts
    config = yaml.safe_load((place / "expand/final/recipe.yaml").read_text())
    assert config["model"]["init_from"] == f"{place}/start_mean"
    # Another way to begin is another run, and says so.
    given["arms"]["mean"]["start"] = "random"
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    with pytest.raises(RecipeError, match=r"model\.init_from: was"):
        call(main, path, "--size", "tiny")


REFUSED = {
    "no parent": ({"parent": None}, "arms.scratch.start: is for an experiment with a `parent`"),
    "no such start": ({"arms": {"small": {}, "b": {"start": "final"}}}, "arms.b.start: Input"),
    "its folder": ({"arms": {"small": {}, "parent": {}}}, "arms.parent: is the folder"),
    "a stage of nobody": (
        {"arms": {"small": {}, "b": {"stage2": {"data.packing": "concat"}}}},
        "b.stage2: nothing goes through this stage",
    ),
    "a stage that is not the parent's": (
        {"parent": {"stage": "stage1", "tokens": 2048, "set": {"stage2": {"data.packing": "x"}}}},
        "set.stage2: nothing goes through this stage",
    ),
    "stages of none": ({"arms": {"small": {}, "b": {"stages": []}}}, "arms.b.stages: List"),
    "stages upside down": (
        {"arms": {"small": {}, "b": {"stages": ["stage2", "stage1"]}}},
        "in the order of the ladder",
    ),
    "bytes of nothing": ({"budget": {"bytes": {}}}, "budget.bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_ways_that_lead_nowhere_are_refused(data_dir: Path, tmp_path: Path, case: str) -> None:
    changes, message = REFUSED[case]
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(with_parent(data_dir, tmp_path / "out", **changes)))
    with pytest.raises(RecipeError, match=message):
        load_config(path, ExperimentConfig, [])
