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
from tests.conftest import Stage
from tests.random_model import random_model

Make = Callable[..., Stage]
FIRST_NEW = 900
MATRICES = ("model.embed_tokens.weight", "lm_head.weight")
WORKER = Path(__file__).parent / "workers.py"
# Of twelve steps, with a checkpoint at 3, 6 and 9: four new rows, four matrices, four all.
TURNS = "unfreezing={new_rows_tokens: 4096, matrices_tokens: 4096}"


@pytest.fixture(scope="module")
def start(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose last tokens pass for new ones."""
    directory = tmp_path_factory.mktemp("start")
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    save_portable(random_model(tokenizer, 1280, layers=2), directory)
    tokenizer.save_pretrained(directory)
    lineage = {"tokens_in_all": 0, "weights_sha256": {}, "vocabulary": {"first_new": FIRST_NEW}}
    (directory / "lineage.json").write_text(json.dumps(lineage))
    return directory


@pytest.fixture
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


def test_each_turn_moves_what_it_should(make: Make, start: Path, tmp_path: Path) -> None:
    make(tmp_path / "run", TURNS, "logging.save_every_tokens=4096").main()
    at = {n: weights(tmp_path / "run" / f"checkpoint-{n}") for n in (8, 12)}
    before = weights(start)
    for name, tensor in before.items():
        held = torch.equal(at[8][name], tensor)
        assert held != (name in MATRICES), name
        assert not torch.equal(at[12][name], at[8][name]), name
    assert not torch.equal(
        at[8]["lm_head.weight"][:FIRST_NEW], before["lm_head.weight"][:FIRST_NEW]
    )


def test_resumed_across_boundaries_equals_uninterrupted(make: Make, tmp_path: Path) -> None:
    keep = ["logging.keep_checkpoints=0"]
    stage = make(tmp_path / "run", TURNS, *keep)
    stage.main()
    whole, lines = weights(tmp_path / "run" / "final"), read_metrics(tmp_path / "run")
    losses = [m["loss"] for m in lines if "loss" in m]
    for last in (9, 6, 3):  # within all, at new rows' end and within matrices, before both
        shutil.rmtree(tmp_path / "run" / "final")
        for path in (tmp_path / "run").glob("checkpoint-*"):
            if int(path.name.partition("-")[2]) > last:
                shutil.rmtree(path)
        stage.main()
        resumed = weights(tmp_path / "run" / "final")
        assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
        again = [m["loss"] for m in read_metrics(tmp_path / "run") if "loss" in m]
        assert again == losses and len(losses) == 12
    message = make(tmp_path / "run", TURNS.replace("4096}", "2048}"), *keep)
    shutil.rmtree(tmp_path / "run" / "final")
    assert "matrices_tokens" in message.refusal()


@pytest.mark.parametrize("sharded", [False, True])
def test_two_ranks_equal_one(
    make: Make, tmp_path: Path, start: Path, sharded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_STAGE", "expand")
    make(tmp_path / "one", TURNS).main()
    two = make(tmp_path / "two", TURNS)
    result = two.run(ranks=2, worker=WORKER if sharded else None)
    assert result.returncode == 0, result.stderr
    assert ("sharded" in result.stdout) == sharded
    one, both = (weights(tmp_path / name / "final") for name in ("one", "two"))
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
