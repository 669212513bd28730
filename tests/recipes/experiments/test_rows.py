"""Experiments over stages that train on rows: fine-tuning, and learning to see."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import processor
from eval.local_model import model_identity
from recipes.command_line import CONFIGS, parse_command_line
from recipes.engine.handover import read_lineage
from recipes.engine.metrics import read_metrics
from recipes.engine.reproduce import write_recipe
from recipes.experiments.config import ExperimentConfig
from recipes.experiments.cost import cost_lines
from recipes.experiments.measures import higher_is_better, measure_run
from recipes.experiments.needs import missing
from recipes.experiments.ruler import check_ruler
from recipes.experiments.runs import PlannedStage, Run
from recipes.post.seeing import load_seeing
from tests.recipes.post.test_seeing import align, inputs, overrides

from .conftest import Start, planned

__all__ = ["inputs"]  # a fixture


def seeing(inputs: Path, output: Path, **changes: object) -> dict:
    """An experiment of two arms on two seeds: one aligns on both languages, one on English."""
    own = dict(item.split("=", 1) for item in overrides(inputs, output) if "sources" not in item)
    shared = {key: yaml.safe_load(value) for key, value in own.items() if "output_dir" not in key}
    source = {"path": f"{inputs}/pictures/train.jsonl", "licence": "CC0"}
    both, one = ([source | {"languages": codes}] for codes in (["en", "ko"], ["en"]))
    first = dict(item.split("=", 1) for item in align(inputs, output).overrides)
    models = {k: yaml.safe_load(first[k]) for k in first if k.startswith("model.")}
    return {
        "question": "Does it?",
        "stages": ["vision_align", "vision_sft"],
        "output_dir": str(output),
        "baseline": "one",
        "arms": {
            "one": {"vision_align": {"data.sources": one}},
            "both": {"vision_align": {"data.sources": both}},
        },
        "seeds": [1, 2],
        "shared": shared | {"vision_align": models, "schedule.steps": 2, "data.sources": both},
        "measures": ["vision", "heldout"],
        "evaluate": {"vision": {"set": f"{inputs}/pictures", "kinds": ["object"], "limit": 3}},
        "decide": {"vision/en heldout_objects": 0.05},
    } | changes


def test_arms_that_learn_to_see_are_trained_and_asked(
    inputs: Path, tmp_path: Path, start: Start
) -> None:
    output, path = tmp_path / "out", tmp_path / "x.yaml"
    given = seeing(inputs, output)
    path.write_text(yaml.safe_dump(given))
    plan = start(path, "--dry-run")
    assert [plan.count(f"/{name}.py") for name in given["stages"]] == [4, 4]
    assert plan.count("-m eval.vision") == 4 and "FLOPs" not in plan
    assert "vision_sft            8 steps in 4 runs, of 512 tokens at most" in plan
    assert not output.exists()
    start(path)
    results = json.loads((output / "results.json").read_text())
    assert results["pairing"]["both"]["windows"].startswith("no: data.sources")
    assert results["pairing"]["both"]["weights"] == "yes"
    assert results["machine"]["processor"] == processor()
    (record,) = results["comparisons"]
    assert record["pairs"] == 2 and record["measure"] == "vision/en heldout_objects"
    for run in results["runs"]:
        found = run["measures"]
        assert 0 <= found["vision/en heldout_objects"] <= 1 and run["seconds"] > 0
        assert found["vision/ko heldout_objects, lead"] <= found["vision/ko heldout_objects"]
        assert found["heldout/loss"] != found["heldout/loss before"]

    runs = {(run.arm, run.seed): run for run in planned(load_config(path, ExperimentConfig, []))}
    for run in runs.values():
        first, second = run.cells
        assert second.config.model.init_from == str(first.directory / "final")
        assert max(line["step"] for line in read_metrics(second.directory)) == 2
    # What it was made of is noted, by both stages (test_inputs.py looks at each).
    rows = f"{inputs}/pictures/train.jsonl"
    for cell, names in zip(runs["one", 1].cells, ({rows, f"{inputs}/tower"}, {rows})):
        assert read_lineage(str(cell.directory / "final"))["inputs"].keys() == names
    # Another seed is another order of other rows; the arms of one seed share what they have alike.
    read = {
        key: [read_lineage(str(c.directory / "final"))["data_fingerprint"] for c in run.cells]
        for key, run in runs.items()
    }
    assert read["one", 1][1] == read["both", 1][1] != read["one", 2][1]
    assert read["one", 1][0] != read["both", 1][0]

    # Asked otherwise, models are asked again and nothing is trained again.
    given["evaluate"]["vision"]["limit"] = 1
    path.write_text(yaml.safe_dump(given))
    plan = start(path, "--dry-run")
    assert plan.count("-m eval.vision") == 4 and ".py" not in plan.partition("\n\n")[0]


def test_a_seed_draws_the_projector(inputs: Path, tmp_path: Path) -> None:
    experiment = ExperimentConfig.model_validate(seeing(inputs, tmp_path))
    states: list[dict[str, torch.Tensor]] = []
    for run in planned(experiment):
        if run.arm == "one":
            argv = ["--config", run.cells[0].recipe, *run.cells[0].overrides]
            model = load_seeing(parse_command_line("vision_align", "", argv).config)[0]
            states.append(dict(model.state_dict()))
    differ = {name for name, value in states[0].items() if not torch.equal(value, states[1][name])}
    assert differ and all("multi_modal_projector" in name for name in differ)
    weights = [name for name in states[0] if "multi_modal_projector" in name and "weight" in name]
    assert {*weights} <= differ


def toggle(output: Path, **changes: object) -> dict:
    given = yaml.safe_load((CONFIGS / "experiments/tiny/toggle.yaml").read_text())
    given |= {"output_dir": str(output)} | changes
    if not {"suite", "mode"} & {*given["measures"]} and "evaluate" not in changes:
        del given["evaluate"]
    return given


def finish(run: Run, results: dict[str, Any]) -> None:
    """Leave what a run leaves that `measure_run` reads."""
    (cell,) = run.cells
    (aside,) = cell.after.values()
    aside.makes.parent.mkdir(parents=True)
    aside.makes.write_text(json.dumps(results))
    (cell.directory / "final").mkdir()
    lines = [{"step": 0, "tokens": 0, "heldout_loss": 3.0}, {"step": 9, "heldout_loss": 2.5}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (cell.directory / "metrics.jsonl").write_text(text)


def test_answers_in_text_are_scored_by_task_and_by_mode(tmp_path: Path) -> None:
    experiment = ExperimentConfig.model_validate(toggle(tmp_path))
    run = planned(experiment)[0]

    def row(task: str, think: bool, value: float, metric: str = "right,none") -> dict[str, Any]:
        label = f"{task} (thinking)" if think else task
        unit = f"{task}-think" if think else task
        return {"label": label, "metric": metric, "value": value, "units": [unit]}

    rows = [row("a", False, 0.5), row("a", True, 0.25), row("b_gold", False, 1.5, "gold_bits,none")]
    units = {
        "a": {"metrics": {"as_asked,none": 1.0}},
        "a-think": {"metrics": {"as_asked,none": 0.75}},
        "b_gold": {"metrics": {}},
    }
    finish(run, {"rows": rows, "units": units})
    found = measure_run(run, ["suite", "mode", "heldout"])
    assert found == {
        "suite/a": 0.5,
        "suite/a (thinking)": 0.25,
        "bits/b_gold": 1.5,
        "mode/a": 1.0,
        "mode/a (thinking)": 0.75,
        "heldout/loss": 2.5,
        "heldout/loss before": 3.0,
    }
    better = {name for name in found if higher_is_better(name)}
    assert better == {"suite/a", "suite/a (thinking)", "mode/a", "mode/a (thinking)"}


def test_seeing_leads_over_the_best_of_the_blind(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"measures": ["vision"], "evaluate": {"vision": {"set": "x"}}}
    asked |= {"stages": ["vision_sft"], "shared": {}, "arms": {"toggle": {}, "b": {}}}
    given = toggle(tmp_path, decide={"vision/ko new": 0.1}, **asked)
    run = planned(ExperimentConfig.model_validate(given))[0]
    for best in ("question only", "blank", "swapped"):
        shares = dict.fromkeys(("seen", "blank", "swapped", "question only"), 0.25)
        shares |= {"seen": 0.75, best: 0.5}
        own = {name: {"share": share} for name, share in shares.items()} | {"questions": 4}
        finish(run, {"splits": {"new": {"languages": {"ko": {"all": own}}}}})
        found = measure_run(run, ["vision"])
        assert found == {"vision/ko new": 0.75, "vision/ko new, lead": 0.25}
        shutil.rmtree(run.cells[0].directory)
    assert all(map(higher_is_better, found))


def test_a_run_is_asked_what_its_measures_are_made_of(tmp_path: Path) -> None:
    commands = {}
    for measures in (["suite", "mode"], ["heldout"]):
        given = toggle(tmp_path, measures=measures, decide={f"{measures[0]}/x": 0.1})
        run = planned(ExperimentConfig.model_validate(given))[0]
        commands[measures[0]] = run.cells[0].commands(["python"])
    assert [len(own) for own in commands.values()] == [2, 1]
    words = commands["suite"][1]
    assert words[1:3] == ["-m", "eval"] and words[-1].startswith(str(tmp_path))
    assert words[words.index("--limit") + 1] == "100" and words.count("--task") == 2


def test_stages_of_rows_follow_those_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    given = toggle(
        Path("runs/x"),
        stages=["stage2", "sft"],
        parent={"stage": "stage1", "tokens": 8192},
        budget={"tokens": 20_480},
        shared={"sft": {"schedule.steps": 3}, "stage2": {"data.heldout": ["web_ko"]}},
    )
    given["arms"] = {"toggle": {}, "plain": {"sft": {"data.thinking_share": 0.0}}}
    run = planned(ExperimentConfig.model_validate(given))[0]
    text, rows = run.cells
    assert text.config.model.init_from == str(run.parent.directory / "final")
    assert rows.config.model.init_from == str(text.directory / "final")
    assert (text.tokens, rows.tokens, rows.steps, run.tokens) == (20_480, 0, 3, 20_480)
    assert not text.after and [*rows.after] == ["suite"]
    lines = cost_lines("tiny", [run], [], [])
    assert lines[1] == "tokens                28,672"
    assert lines[-2:] == [
        "sft                   3 steps in 1 runs, of 2,048 tokens at most",
        "time, with these      unknown until a run is finished; questions come on top",
    ]


def test_what_no_run_makes_is_told_before_the_first(tmp_path: Path, start: Start) -> None:
    path, data = tmp_path / "x.yaml", tmp_path / "data"
    given = yaml.safe_load((CONFIGS / "experiments/tiny/knowledge.yaml").read_text())
    given["shared"] |= {"data": str(data), "graph": str(tmp_path)}
    given["output_dir"] = str(tmp_path / "out")
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    told = f"data of 'none': {data} is not there; make it first (kormo data knowledge)"
    assert f"missing               {told}" in start(path, "--dry-run")
    with pytest.raises(RecipeError) as refused:
        start(path)
    assert told in str(refused.value) and not (tmp_path / "out").exists()


def test_what_a_stage_makes_itself_is_named_in_the_plan(tmp_path: Path) -> None:
    given = toggle(tmp_path / "out")
    parent, chats = str(tmp_path / "parent"), str(tmp_path / "chats.jsonl")
    given["shared"]["model.init_from"] = parent
    given["shared"]["data.sources"] = [{"path": chats, "language": "en", "licence": "CC0"}]
    experiment = ExperimentConfig.model_validate(given)
    assert missing(experiment, planned(experiment)) == ([parent, chats], [])
    # At a size that is not made here, somebody has to.
    runs = planned(experiment, "1b")
    made, first = missing(experiment, runs)
    assert not made and [line.partition(" of")[0] for line in first] == [
        "model.init_from",
        "data.sources",
    ]


def test_time_is_that_of_a_published_experiment_of_the_same_stages(tmp_path: Path) -> None:
    experiment = ExperimentConfig.model_validate(toggle(tmp_path))
    published = {"name": "older", "size": "tiny", "experiment": {"stages": ["sft"]}}
    published |= {"machine": {"processor": "abacus"}, "runs": [{"seconds": 1800}] * 3}
    runs = planned(experiment)
    time = cost_lines("tiny", runs, [], [published])[-1]
    hours = len(runs) / 2
    assert time.startswith(
        f"time                  {hours:.2f} hours of training, as older on abacus"
    )


def trained(run: Run, weights: str, parent: str = "a") -> PlannedStage:
    """Leave the only stage of a run, trained to some weights."""
    (cell,) = run.cells
    final = cell.directory / "final"
    final.mkdir(parents=True, exist_ok=True)
    write_recipe(cell.config, final)
    (final / "model.safetensors").write_text(weights)
    lineage = {"parent": cell.config.model.init_from, "weights_sha256": {"model": weights}}
    lineage |= {"parent_lineage": {"weights_sha256": {"model": parent}}}
    (final / "lineage.json").write_text(json.dumps(lineage))
    return cell


@pytest.mark.parametrize("noted", ["suite", "vision", "answers"])
def test_answers_of_older_weights_are_none(tmp_path: Path, noted: str) -> None:
    run = planned(ExperimentConfig.model_validate(toggle(tmp_path)))[0]
    cell = trained(run, "x")
    assert not cell.done
    (aside,) = cell.after.values()
    final = cell.directory / "final"
    identity = model_identity(str(final))
    settings = {
        "suite": {"model": str(final), "sha256 of model": "x"},
        "vision": {"model": str(final), "files": identity["files"]},
        "answers": {"model": identity},
    }
    aside.makes.parent.mkdir()
    aside.makes.write_text("{}")
    (aside.makes.parent / "settings.json").write_text(json.dumps(settings[noted]))
    assert cell.done and cell.commands(["python"]) == []
    trained(run, "other")
    for look in (lambda: cell.done, lambda: cell.commands(["python"])):
        with pytest.raises(RecipeError, match=f"{aside.makes.parent}: answers of other weights"):
            look()
    shutil.rmtree(final)
    with pytest.raises(RecipeError, match="answers of other weights .* delete it to ask again"):
        cell.commands(["python"])


def test_a_stage_whose_parent_was_trained_again_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base"
    given = toggle(tmp_path / "out", measures=["heldout"], decide={"heldout/loss": 0.1})
    given["shared"] |= {"model.init_from": str(base)}
    cell = trained(planned(ExperimentConfig.model_validate(given))[0], "x")
    assert cell.done  # nobody knows what the parent was
    base.mkdir()
    (base / "lineage.json").write_text(json.dumps({"weights_sha256": {"model": "a"}}))
    assert cell.done
    (base / "lineage.json").write_text(json.dumps({"weights_sha256": {"model": "b"}}))
    told = f"was made of {base} as it no longer is; .* delete {cell.directory} "
    with pytest.raises(RecipeError, match=told):
        cell.done  # noqa: B018


MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "a budget of rows": ({"budget": {"tokens": 9999}}, "budget: is of pretraining"),
    "a start of rows": (
        {
            "parent": {"stage": "stage1", "tokens": 8192},
            "arms": {"toggle": {}, "b": {"start": "mean"}},
        },
        "arms.b.start: is of pretraining, and sft is none",
    ),
    "another model in the middle": (
        {"stages": ["sft", "dpo"], "shared": {"dpo": {"model.init_from": "x"}}},
        "shared.dpo: starts from the stage before it",
    ),
    "nothing asked": ({"evaluate": {}}, "evaluate.suite: needed for the measure 'suite'"),
    "nothing to ask": ({"evaluate": {"suite": {"limit": 3}}}, "name suites or tasks"),
    "answers of no graph": (
        {"measures": ["answers"], "decide": {"answers/x": 0.1}},
        "'answers' is not to be had of sft, the last stage of arm 'plain', but of knowledge_vqa",
    ),
    "bytes of rows": (
        {"measures": ["suite", "compression"]},
        "measures: 'compression' is not to be had of sft",
    ),
    "rows held out of longer windows": (
        {
            "arms": {"toggle": {}, "plain": {"batch.sequence_length": 256}},
            "measures": ["heldout"],
            "decide": {"heldout/loss": 0.1},
        },
        "arms.plain: would be measured by another ruler.*batch.sequence_length: was 512, is 256",
    ),
    "rows held out of other data": (
        {"measures": ["heldout"], "decide": {"heldout/loss": 0.1}},
        "arms.plain: would be measured by another ruler.*data.thinking_share: was 0.5, is 0.0",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_compares_nothing_is_refused(tmp_path: Path, case: str) -> None:
    changes, message = MISTAKES[case]
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(toggle(tmp_path / "out", **changes)))
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        experiment = load_config(path, ExperimentConfig, [])
        check_ruler(experiment, planned(experiment))


def test_the_same_rows_are_a_ruler(tmp_path: Path) -> None:
    arms: dict[str, Callable | dict] = {"toggle": {}, "b": {"optimizer.learning_rate": 1e-4}}
    given = toggle(tmp_path, arms=arms, measures=["heldout"], decide={"heldout/loss": 0.1})
    experiment = ExperimentConfig.model_validate(given)
    check_ruler(experiment, planned(experiment))
