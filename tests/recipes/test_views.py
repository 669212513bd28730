"""A stage that trains views of multi-token prediction: measured apart, resumed, left out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modeling_kormo import KORMoForCausalLM
from recipes.engine.checkpoint_weights import read_weights
from recipes.engine.handover import read_lineage
from recipes.engine.metrics import read_metrics
from recipes.engine.replayed_steps import document_losses
from recipes.opened_run import open_run
from tests.conftest import Stage

SHORT = ["schedule.total_tokens=2048", "logging.save_every_tokens=1024"]
SHORT += ["logging.eval_every_tokens=2048"]
Make = Callable[..., Stage]


def test_views_are_measured_apart_resumed_and_left_out(small_stage: Make, tmp_path: Path) -> None:
    views = "model.views={kind: sequential, weight: 0.5}"
    small_stage(tmp_path / "plain", *SHORT).main()
    small_stage(tmp_path / "run", *SHORT, views).main()
    plain, lines = (read_metrics(tmp_path / name) for name in ("plain", "run"))

    # The same weights at the start and the same windows: the next token's loss is the same.
    first, own = ([m for m in run if "loss" in m][0] for run in (plain, lines))
    assert own["loss"] == pytest.approx(first["loss"], abs=1e-5)
    assert "views_loss" not in first and own["views_loss"] > 5
    begun = [read_lineage(str(tmp_path / n / "final"))["initial_weights"] for n in ("plain", "run")]
    assert begun[0] == begun[1]
    before = [
        [m["bits_per_byte/ko"] for m in run if "bits_per_byte/ko" in m] for run in (plain, lines)
    ]
    assert before[0][0] == before[1][0] and before[0][-1] != before[1][-1]

    # Nothing of them is handed on but the word that they were there.
    final = tmp_path / "run" / "final"
    assert (
        load_file(final / "model.safetensors").keys()
        == load_file(tmp_path / "plain" / "final" / "model.safetensors").keys()
    )
    assert (
        json.loads((final / "config.json").read_text()).keys()
        == json.loads((tmp_path / "plain" / "final" / "config.json").read_text()).keys()
    )
    left_out = {"kind": "sequential", "count": 1, "weight": 0.5}
    assert read_lineage(str(final))["views_left_out"] == left_out
    assert KORMoForCausalLM.from_pretrained(final).views is None
    # Nor by what looks back at a checkpoint, or publishes it.
    opened = open_run(tmp_path / "run")
    losses, weights = document_losses(opened, opened.windows_of(2))
    assert weights.name == "checkpoint-1" and losses
    assert read_weights(weights).keys() == load_file(final / "model.safetensors").keys()

    # Killed after the checkpoint in the middle, it ends where it would have.
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "final")
    shutil.rmtree(tmp_path / "again" / "checkpoint-2")
    assert "views" in small_stage(tmp_path / "again", *SHORT).refusal()
    small_stage(tmp_path / "again", *SHORT, views).main()
    weights = [load_file(tmp_path / n / "final" / "model.safetensors") for n in ("run", "again")]
    assert all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())


def test_views_are_planned_and_paid_for(
    small_stage: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    figures = []
    for views in ("null", "{kind: parallel}"):
        small_stage(tmp_path, f"model.views={views}").main("--dry-run")
        lines = capsys.readouterr().out.splitlines()
        figures.append({line[:22].strip(): line[22:] for line in lines if line[:1] != " "})
    flops = [float(own["FLOPs per token"].split()[0]) for own in figures]
    assert "parameters of views" not in figures[0]
    assert figures[1]["parameters of views"] == "36,992, not in final/"
    assert figures[1]["parameters"] == figures[0]["parameters"]
    assert flops[1] > 1.5 * flops[0]
    refused = small_stage(tmp_path, script="grow").refusal("model.views={kind: same}")
    assert "set model.views to null" in refused
