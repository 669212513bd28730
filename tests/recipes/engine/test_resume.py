"""What a run may not change when it goes on, and what it may branch off from."""

import json
from pathlib import Path
from typing import Any

import pytest
from accelerate import PartialState

from data_recipes.common.errors import RecipeError
from data_recipes.tokens.best_fit import make_plan
from data_recipes.tokens.shards import TokenSource
from recipes.config import StageConfig
from recipes.engine.checkpoints import begin_run, run_fingerprint, write_file_list
from recipes.engine.metrics import append_metrics, read_metrics
from recipes.engine.resume import check_fingerprint, find_checkpoint
from recipes.opened_run import FINGERPRINT, LINEAGE
from tests.conftest import SMALL, Stage
from tests.data_recipes.hand_made import write_data_set

from ..test_arguments import CASES, ELSEWHERE, PLANNED, leaves

# How it is computed, measured and kept: the same run in another way.
MAY_CHANGE = {f"data.heldout_{key}" for key in ("tokens", "shards", "positions")}
MAY_CHANGE |= {"data.heldout", "data.workers"}
MAY_CHANGE |= {"data.short_document_tokens", "data.min_short_share"}
MAY_CHANGE |= {"data.allow_single_synthesizer", "batch.micro_batch", "size"}
MAY_CHANGE |= {f"model.{key}" for key in ("attention", "flash_kernel", "compile", "liger")}
MAY_CHANGE |= {"model.activation_checkpointing", "model.selective_checkpointing"}
# The tokenizer must be the one that made the shards; these say where they are.
MAY_CHANGE |= {"data.recipe", "data.shards", "data.tokenizer"}
# Values of keys that have a test of their own there.
CHANGED = {
    "model.embedding_std": "0.5",
    "model.init_from": "nowhere/final",
    "model.mix_ln_alpha": "0.5",
    "optimizer.z_loss_weight": "1e-4",
    "schedule.branch_from": "nowhere/checkpoint-3",
    "growth": "{how: zeros, optimizer: fresh, steps: [{layers_every: 1}]}",
    "unfreezing": "{new_rows_tokens: 1024, matrices_tokens: 1024}",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards = tmp_path_factory.mktemp("shards")
    for source in ("web_en", "web_ko"):
        write_data_set(shards / source / "train", [[[1] * 100] * 50])
        make_plan(TokenSource(shards / source / "train"), 128)
    return shards


def fingerprint(data: Path, *overrides: str) -> tuple[StageConfig, dict[str, Any]]:
    config = Stage("stage1", [*SMALL, f"data.shards={data}", *overrides]).config()
    return config, run_fingerprint(config, config.data.open(config.batch.sequence_length, 0))


def bound() -> set[str]:
    free = MAY_CHANGE | PLANNED.keys() | {"stage"}
    kept = {k for k in leaves(StageConfig) if k.startswith(("logging.", "parallelism."))}
    return set(leaves(StageConfig)) - free - kept | {"parallelism.precision"}


@pytest.mark.parametrize("key", sorted(bound()))
def test_what_a_run_computes_cannot_change(data: Path, key: str) -> None:
    value = CHANGED.get(key) or CASES[key][0]
    others = ["model.norm_placement=mix"] if key == "model.mix_ln_alpha" else []
    _, before = fingerprint(data, *others)
    _, after = fingerprint(data, *others, f"{key}={value}")
    assert before != after


def test_keys_that_may_change_are_no_others(data: Path) -> None:
    assert set(leaves(StageConfig)) >= MAY_CHANGE and MAY_CHANGE <= CASES.keys() | ELSEWHERE
    _, before = fingerprint(data)
    for key in sorted(MAY_CHANGE & CASES.keys() - {"model.selective_checkpointing"}):
        assert fingerprint(data, f"{key}={CASES[key][0]}")[1] == before, key


def test_other_weights_under_the_parents_name_are_another_run(data: Path, tmp_path: Path) -> None:
    found = []
    for sha256 in ("a", "b"):
        (tmp_path / LINEAGE).write_text(json.dumps({"weights_sha256": {"model": sha256}}))
        found.append(fingerprint(data, f"model.init_from={tmp_path}")[1])
    assert found[0]["model"].pop("init_weights") != found[1]["model"].pop("init_weights")
    assert found[0] == found[1]


@pytest.fixture
def stable(data: Path, tmp_path: Path) -> Path:
    """A checkpoint of a run of these settings."""
    PartialState(cpu=True)
    checkpoint = tmp_path / "stable" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    for name in ("scheduler.pt", "optimizer.pt", "model.safetensors"):
        (checkpoint / name).write_bytes(name.encode() * 100)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 3}))
    write_file_list(checkpoint)
    begin_run(checkpoint.parent, fingerprint(data)[1])
    return checkpoint


def branch(data: Path, stable: Path, *overrides: str) -> tuple[Path | None, int]:
    out = stable.parents[1] / "branch"
    out.mkdir(exist_ok=True)
    own = [f"schedule.branch_from={stable}", f"logging.output_dir={out}", *overrides]
    config, now = fingerprint(data, *own)
    return find_checkpoint(config, now, 12)


def test_a_branch_has_another_schedule_and_nothing_else(data: Path, stable: Path) -> None:
    out = stable.parents[1] / "branch"
    with pytest.raises(RecipeError, match=r"optimizer\.beta1: was 0\.9, is 0\.8"):
        branch(data, stable, "optimizer.beta1=0.8")
    assert not (out / FINGERPRINT).exists()
    append_metrics(out, {"step": 4})  # of an attempt that did not reach a checkpoint
    assert branch(data, stable, "schedule.decay_tokens=2048") == (stable, 3)
    assert read_metrics(out) == []
    recorded = json.loads((out / FINGERPRINT).read_text())
    assert recorded["schedule"]["branch_from"] == str(stable)


def test_a_damaged_branching_point_is_refused(data: Path, stable: Path) -> None:
    (stable / "optimizer.pt").write_bytes(b"optimizer.px" * 100)
    with pytest.raises(RecipeError, match=r"checkpoint-3 is damaged \(optimizer.pt is not"):
        branch(data, stable)


def test_a_run_goes_on_only_with_its_own_settings(data: Path, stable: Path) -> None:
    run = f"logging.output_dir={stable.parent}"
    append_metrics(stable.parent, {"step": 3})
    append_metrics(stable.parent, {"step": 4})
    config, now = fingerprint(data, run, "batch.tokens_per_step=2048")
    with pytest.raises(RecipeError, match=r"batch\.tokens_per_step: was 1024, is 2048"):
        find_checkpoint(config, now, 12)
    assert find_checkpoint(*fingerprint(data, run), 12) == (stable, 3)
    assert read_metrics(stable.parent) == [{"step": 3}]


def test_what_an_older_run_did_not_record_is_what_it_did(data: Path, stable: Path) -> None:
    run, path = f"logging.output_dir={stable.parent}", stable.parent / FINGERPRINT
    recorded = json.loads(path.read_text())
    for key in ("stream", "views", "norm_placement", "embedding_std"):
        recorded["model"].pop(key, None)
    path.write_text(json.dumps(recorded))
    assert find_checkpoint(*fingerprint(data, run), 12) == (stable, 3)
    for other, said in (
        ("parallelism.precision=bf16", 'if it ran under FSDP2, add "stream": "bfloat16"'),
        ("model.norm_placement=post", r"model\.norm_placement: was 'pre', is 'post'"),
        ("model.embedding_std=0.5", r"model\.embedding_std: was 0\.02, is 0\.5"),
    ):
        with pytest.raises(RecipeError, match=said):
            find_checkpoint(*fingerprint(data, run, other), 12)
    # What it did record holds.
    recorded["model"]["norm_placement"] = "post"
    path.write_text(json.dumps(recorded))
    with pytest.raises(RecipeError, match="was 'post', is 'pre'"):
        find_checkpoint(*fingerprint(data, run), 12)


def test_a_branch_from_its_own_end_is_refused(data: Path, stable: Path) -> None:
    own = [f"schedule.branch_from={stable}", f"logging.output_dir={stable.parents[1] / 'branch'}"]
    with pytest.raises(RecipeError, match="is at step 3, this run ends at 3"):
        find_checkpoint(*fingerprint(data, *own), 3)


def test_other_inputs_are_another_run_if_the_run_noted_its_own(tmp_path: Path) -> None:
    PartialState(cpu=True)
    for noted in ({}, {"inputs": {"chats.jsonl": "a"}}):
        begin_run(tmp_path, {"batch": {"tokens": 1}, **noted})
        check_fingerprint(tmp_path, {"batch": {"tokens": 1}, "inputs": {"chats.jsonl": "a"}})
    with pytest.raises(RecipeError, match="inputs"):
        check_fingerprint(tmp_path, {"batch": {"tokens": 1}, "inputs": {"chats.jsonl": "b"}})
