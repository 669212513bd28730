"""Under FSDP2 a parent's weights are on the first rank alone, and reach the others as shards."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from modeling_kormo import KORMoForCausalLM
from modeling_kormo.export import save_portable
from recipes.build import build_tokenizer, model_config
from recipes.engine.metrics import read_metrics
from tests import processes
from tests.conftest import ROOT, Stage

WORKER = ROOT / "tests" / "recipes" / "workers.py"


def test_memory_of_a_parent_on_two_ranks(small_stage: Callable[..., Stage], tmp_path: Path) -> None:
    wide = ["model.shape.hidden_size=512", "model.shape.intermediate_size=4096"]
    wide += ["model.shape.num_hidden_layers=4"]  # 110 MB
    parent = tmp_path / "parent"
    config = small_stage(tmp_path / "run", *wide).config()
    model = KORMoForCausalLM(model_config(config, build_tokenizer(config)))
    # As those on the Hub. Of fp32 weights only those that are read would ever be resident.
    save_portable(model.bfloat16(), parent)
    stage = small_stage(tmp_path / "run", *wide, f"model.init_from={parent}")
    result = processes.run([WORKER, "load-parents", *stage.overrides], ranks=2)
    assert result.returncode == 0, result.stderr[-3000:]
    said = re.findall(r"(stage|chat) rank (\d): (-?[\d.]+)", result.stdout)
    grown = {(name, int(rank)): float(share) for name, rank, share in said}
    assert len(grown) == 4
    for name in ("stage", "chat"):
        assert grown[name, 0] > 0.9 and grown[name, 1] < 0.3, grown


def test_a_stage_from_weights_under_fsdp2_equals_one_process(
    small_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    parent = tmp_path / "parent"
    config = small_stage(tmp_path).config()
    save_portable(KORMoForCausalLM(model_config(config, build_tokenizer(config))), parent)
    losses = {}
    for ranks in (1, 2):
        run = tmp_path / str(ranks)
        short = [f"model.init_from={parent}", "schedule.total_tokens=3072"]
        worker = {"worker": WORKER, "ranks": ranks} if ranks > 1 else {}
        result = small_stage(run, *short).run(**worker)
        assert result.returncode == 0, result.stderr[-3000:]
        lines = read_metrics(run)
        losses[ranks] = [line["loss"] for line in lines if "loss" in line]
        losses[ranks] += [line["bits_per_byte/en"] for line in lines if "bits_per_byte/en" in line]
    assert len(losses[1]) >= 5
    assert losses[2] == pytest.approx(losses[1], abs=1e-5)
