"""What a stage on rows is made of is noted when it begins, and looked at before it counts."""

import json
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from recipes.engine.checkpoints import begin_run
from recipes.engine.reproduce import write_recipe
from recipes.engine.resume import check_fingerprint
from recipes.experiments.config import ROW_STAGES, ExperimentConfig
from recipes.experiments.plan import seed_runs
from recipes.experiments.runs import PlannedStage
from recipes.inputs import digest_of
from recipes.knowledge_vqa import _read
from recipes.post.stage import chat_fingerprint

_SET = ("set/train.jsonl", "set/manifest.json")
READ = {
    "sft": ("chats.jsonl", "own.jinja"),
    "dpo": ("chats.jsonl", "own.jinja"),
    "vision_align": (*_SET, "tower", "own.jinja"),
    "vision_sft": (*_SET, "own.jinja"),
    "knowledge_vqa": (
        *(f"data/{name}" for name in ("train.jsonl", "names.jsonl", "manifest.json")),
        *(f"graph/{name}" for name in ("vectors.safetensors", "triples.jsonl")),
    ),
}


def planned(stage: str, root: Path) -> PlannedStage:
    """A stage that reads what lies below a folder."""
    source = {"path": f"{root}/chats.jsonl", "language": "en", "licence": "CC0"}
    if "vision" in stage:
        source = {"path": f"{root}/set/train.jsonl", "languages": ["en"], "licence": "CC0"}
    shared: dict[str, object] = {
        "data.sources": [source],
        "model.chat_template": f"{root}/own.jinja",
    }
    if stage == "vision_align":
        shared["model.tower"] = f"{root}/tower"
    if stage == "knowledge_vqa":
        shared = {"data": f"{root}/data", "graph": f"{root}/graph"}
    measure = "answers" if stage == "knowledge_vqa" else "heldout"
    given = {
        "question": "?", "stages": [stage], "output_dir": f"{root}/out", "baseline": "a",
        "arms": {"a": {}, "b": {}}, "seeds": [1, 2], "shared": shared,
        "measures": [measure], "decide": {f"{measure}/x": 0.1},
    }  # fmt: skip
    experiment = ExperimentConfig.model_validate(given)
    return seed_runs(experiment, "tiny", {"a": {}, "b": {}})[0].cells[0]


def write(path: Path, text: str) -> None:
    """Write a file, or the lineage of a model with these weights."""
    if path.suffix == "":
        path, text = path / "lineage.json", json.dumps({"weights_sha256": {"model": text}})
    elif path.suffix == ".json":
        text = json.dumps({"rows": text})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def trained(stage: str, root: Path) -> tuple[PlannedStage, dict]:
    """Leave what a stage leaves, trained on what is there now; and its fingerprint."""
    for name in READ[stage]:
        write(root / name, "old")
    cell = planned(stage, root)
    knows = stage == "knowledge_vqa"
    noted = _read(cell.config) if knows else chat_fingerprint(cell.config, "rows")
    final = cell.directory / "final"
    final.mkdir(parents=True)
    write_recipe(cell.config, final)
    (final / "lineage.json").write_text(json.dumps({"parent": None, "inputs": noted["inputs"]}))
    return cell, noted


CASES = [(stage, name) for stage, names in READ.items() for name in names]
# The last binds its directory otherwise: tests/recipes/test_knowledge_vqa.py.
RESUMED = [(stage, name) for stage, name in CASES if stage != "knowledge_vqa"]


def test_every_stage_on_rows_is_looked_at() -> None:
    assert READ.keys() == {*ROW_STAGES}


@pytest.mark.parametrize(("stage", "name"), CASES)
def test_what_a_run_read_and_is_another_now_is_named(tmp_path: Path, stage: str, name: str) -> None:
    cell, noted = trained(stage, tmp_path)
    assert noted["inputs"].keys() == {str(tmp_path / own) for own in READ[stage]}
    assert cell._trained
    write(tmp_path / name, "new")
    told = f"^{cell.directory}/final: was made of {tmp_path / name} as .*delete {cell.directory} "
    with pytest.raises(RecipeError, match=told) as refused:
        cell.done  # noqa: B018
    assert "\n" not in str(refused.value)
    write(tmp_path / name, "old")
    assert cell._trained


@pytest.mark.parametrize(("stage", "name"), RESUMED)
def test_a_run_goes_on_with_what_it_began_with(tmp_path: Path, stage: str, name: str) -> None:
    cell, noted = trained(stage, tmp_path)
    begin_run(cell.directory, noted)
    check_fingerprint(cell.directory, chat_fingerprint(cell.config, "rows"))
    write(tmp_path / name, "new")
    with pytest.raises(RecipeError, match=f"(?s)other data.*inputs.{tmp_path / name}"):
        check_fingerprint(cell.directory, chat_fingerprint(cell.config, "rows"))
    # One that began when nobody noted them goes on.
    begin_run(cell.directory, {key: noted[key] for key in noted if key != "inputs"})
    check_fingerprint(cell.directory, chat_fingerprint(cell.config, "rows"))


def test_a_model_without_a_lineage_is_told_by_its_weights(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_text("old")
    before = digest_of(tmp_path)
    weights.write_text("new")
    assert digest_of(tmp_path) != before


def test_a_set_made_again_of_another_commit_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    found = []
    for made in ({"seed": 1, "commit": "a"}, {"commit": "b", "seed": 1}, {"seed": 2}):
        path.write_text(json.dumps(made))
        found.append(digest_of(path))
    assert found[0] == found[1] != found[2]
