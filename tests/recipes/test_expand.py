"""New rows first, then both matrices, then all: bit for bit, after a resumption, and over ranks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from modeling_kormo.export import save_portable
from recipes.engine.metrics import read_metrics
from tests.conftest import Once, Stage
from tests.random_model import random_model

Make = Callable[..., Stage]
FIRST_NEW = 900
MATRICES = ("model.embed_tokens.weight", "lm_head.weight")
WORKER = Path(__file__).parent / "workers.py"
# Of twelve steps: four new rows, four matrices, four all.
TURNS = "unfreezing={new_rows_tokens: 4096, matrices_tokens: 4096}"
EVERY_STEP = ("logging.save_every_tokens=1024", "logging.keep_checkpoints=0")


@pytest.fixture(scope="session")
def start(data_dir: Path, once: Once) -> Path:
    """A model whose last tokens pass for new ones."""

    def save(directory: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
        save_portable(random_model(tokenizer, 1280, layers=2), directory)
        tokenizer.save_pretrained(directory)
        lineage = {"tokens_in_all": 0, "weights_sha256": {}, "vocabulary": {"first_new": FIRST_NEW}}
        (directory / "lineage.json").write_text(json.dumps(lineage))

    return once("start-of-expand", save)


@pytest.fixture(scope="module")
def make(small_stage: Make, start: Path) -> Make:
    def expand(output: Path, *extra: str) -> Stage:
        weights = [f"model.init_from={start}", "optimizer.weight_decay=0.1"]
        for name, size in (("hidden_size", 32), ("intermediate_size", 64), ("head_dim", 16)):
            weights.append(f"model.shape.{name}={size}")
        weights += ["data.mixture={web_en: 0.6, web_ko: 0.2, stories_ko: 0.2}", *extra]
        return small_stage(output, *weights, script="expand")

    return expand


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def test_new_rows_alone_leave_everything_old(make: Make, start: Path, tmp_path: Path) -> None:
    steps = ["batch.sequence_length=64", "batch.tokens_per_step=128", "schedule.total_tokens=6400"]
    steps += ["unfreezing={new_rows_tokens: 6400, matrices_tokens: 0}", "logging.log_every=50"]
    steps += ["logging.eval_every_tokens=6400", "logging.save_every_tokens=6400"]
    make(tmp_path / "run", *steps).main()
    before, after = weights(start), weights(tmp_path / "run" / "final")
    assert json.loads((tmp_path / "run" / "final" / "lineage.json").read_text())["tokens"] == 6400
    for name, tensor in before.items():
        if name in MATRICES:
            assert torch.equal(after[name][:FIRST_NEW], tensor[:FIRST_NEW]), name
            assert not torch.equal(after[name][FIRST_NEW:], tensor[FIRST_NEW:]), name
        else:
            assert torch.equal(after[name], tensor), name
    # Every row of a head that is no token's is pushed down.
    assert (after["lm_head.weight"] != before["lm_head.weight"])[FIRST_NEW:].any(dim=1).all()


@pytest.fixture(scope="module")
def turns(make: Make, once: Once) -> Path:
    """A run through all three turns, with a checkpoint after each step."""
    return once("turns", lambda run: make(run, TURNS, *EVERY_STEP).main())


def test_each_turn_moves_what_it_should(turns: Path, start: Path) -> None:
    at = {n: weights(turns / f"checkpoint-{n}") for n in (8, 12)}
    before = weights(start)
    for name, tensor in before.items():
        held = torch.equal(at[8][name], tensor)
        assert held != (name in MATRICES), name
        assert not torch.equal(at[12][name], at[8][name]), name
    assert not torch.equal(
        at[8]["lm_head.weight"][:FIRST_NEW], before["lm_head.weight"][:FIRST_NEW]
    )


def test_resumed_across_boundaries_equals_uninterrupted(
    make: Make, turns: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(turns, tmp_path / "run")
    stage = make(run, TURNS, *EVERY_STEP)
    whole, lines = weights(turns / "final"), read_metrics(turns)
    losses = [m["loss"] for m in lines if "loss" in m]
    for last in (9, 6, 3):  # within all, at new rows' end and within matrices, before both
        shutil.rmtree(run / "final")
        for path in run.glob("checkpoint-*"):
            if int(path.name.partition("-")[2]) > last:
                shutil.rmtree(path)
        stage.main()
        resumed = weights(run / "final")
        assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
        again = [m["loss"] for m in read_metrics(run) if "loss" in m]
        assert again == losses and len(losses) == 12
    shutil.rmtree(run / "final")
    changed = make(run, TURNS.replace("4096}", "2048}"), *EVERY_STEP)
    assert "matrices_tokens" in changed.refusal()


@pytest.mark.parametrize("sharded", [False, True])
def test_two_ranks_equal_one(
    make: Make, turns: Path, tmp_path: Path, sharded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_STAGE", "expand")
    two = make(tmp_path / "two", TURNS)
    result = two.run(ranks=2, worker=WORKER if sharded else None)
    assert result.returncode == 0, result.stderr
    assert ("sharded" in result.stdout) == sharded
    one, both = (weights(run / "final") for run in (turns, tmp_path / "two"))
    assert all(torch.allclose(both[name], tensor, atol=1e-5) for name, tensor in one.items())


def test_what_is_refused(make: Make, small_stage: Make, start: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "unfreezing: belongs to the stage expand" in small_stage(out, TURNS).refusal()
    assert (
        "exceed schedule.total_tokens"
        in make(out, "unfreezing={new_rows_tokens: 9000, matrices_tokens: 9000}").refusal()
    )
    short = make(out, "unfreezing={new_rows_tokens: 1, matrices_tokens: 0}").refusal()
    assert "unfreezing.new_rows_tokens: 1 tokens are less than a step" in short
    missing = make(out, f"model.init_from={tmp_path / 'nowhere'}", TURNS).refusal()
    assert "kormo expand-vocabulary MODEL" in missing and "nowhere" in missing
    plain = tmp_path / "plain"
    shutil.copytree(start, plain)
    (plain / "lineage.json").unlink()
    for how in ((), ("--dry-run",)):
        unknown = make(out, f"model.init_from={plain}", TURNS).refusal(*how)
        assert "knows of no new rows" in unknown
    assert not (out / "final").exists()
