"""The training benchmark: a smoke run against the peer, and the arithmetic of its results."""

from __future__ import annotations

import json
import multiprocessing
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_recipes.common.errors import RecipeError
from data_recipes.tokens.shards import TokenSource
from recipes.config import StageConfig
from scripts import benchmark_training as script
from scripts.benchmark_training import OUT_OF_MEMORY, PEER, measure, summarise, write_tokens
from tests import processes


def _requests(work: Path, *options: str) -> list[script.BenchmarkRun]:
    args = script.parse_command_line(["--device", "cpu", *options])
    return script.resolve(args, work)


@pytest.fixture(scope="module", autouse=True)
def _runs_are_forks() -> Iterator[None]:
    """Fork them from a process that has loaded the libraries, which takes one six seconds."""
    original = multiprocessing.get_context
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            multiprocessing,
            "get_context",
            lambda method=None: processes.forks() if method == "spawn" else original(method),
        )
        yield


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("benchmark") / "new" / "results.json"
    size = "model.shape.num_hidden_layers=1 batch.sequence_length=64 batch.micro_batch=2"
    length = "--accumulation 2 --steps 2 --warmup 1 --rounds 1 --attention varlen --device cpu"
    script.main([*size.split(), *length.split(), "--out", str(out)])
    return json.loads(out.read_text(encoding="utf-8"))


def test_results_say_what_was_measured_where_and_with_what(results: dict[str, Any]) -> None:
    assert {"cpu", "cores", "threads", "gpu"} == set(results["machine"])
    assert results["machine"]["threads"] == 1  # those of the runs, not of this process
    assert {"python", "torch", "transformers", "accelerate"} == set(results["versions"])
    assert {"commit", "date", "arguments", "parameters", "flops_per_token"} <= set(results)
    config = StageConfig.model_validate(results["config"])
    assert results["arguments"]["accumulation"] == 2
    assert config.model.shape.num_hidden_layers == 1
    assert (config.batch.sequence_length, config.batch.micro_batch) == (64, 2)
    assert config.batch.tokens_per_step == 256
    assert [r["name"] for r in results["runs"]] == ["kormo varlen", PEER]


def test_rates_and_ratios_follow_from_the_runs(results: dict[str, Any]) -> None:
    rates: dict[str, float] = {}
    for run in results["runs"]:
        assert run["tokens"] == 2 * 256
        assert run["seconds"] > 0
        assert run["peak_bytes"] > 2**20
        assert run["tokens_per_second"] == pytest.approx(run["tokens"] / run["seconds"])
        rates[run["name"]] = run["tokens_per_second"]
    summary = results["summary"]
    for name, rate in rates.items():
        assert summary[name]["tokens_per_second"] == {"median": rate, "min": rate, "max": rate}
        assert summary[name]["mfu_percent"] is None  # no peak is known for a CPU
    ratio = rates["kormo varlen"] / rates[PEER]
    assert summary["kormo varlen"]["ratio_to_peer"]["median"] == pytest.approx(ratio)
    assert summary[PEER]["ratio_to_peer"] is None


def test_the_ratio_is_the_median_of_ratios_within_rounds() -> None:
    ours, peers = [100.0, 300.0, 200.0], [200.0, 100.0, 160.0]
    runs = [
        {"round": n, "name": name, "tokens_per_second": rate, "peak_bytes": n}
        for name, rates in (("ours", ours), (PEER, peers))
        for n, rate in enumerate(rates)
    ]
    summary = summarise(runs, flops=2e6, peak=1e9)
    ratios = [a / b for a, b in zip(ours, peers)]
    assert summary["ours"]["ratio_to_peer"] == {
        "rounds": ratios,
        "median": statistics.median(ratios),
    }
    assert summary["ours"]["tokens_per_second"] == {"median": 200.0, "min": 100.0, "max": 300.0}
    assert summary["ours"]["mfu_percent"] == pytest.approx(100 * 200.0 * 2e6 / 1e9)
    assert summary["ours"]["peak_bytes"] == 2


def test_sides_take_turns_and_out_of_memory_is_a_row(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_run(request: script.BenchmarkRun, device: str) -> dict[str, Any]:
        if request.name == "kormo sdpa":
            return {"error": OUT_OF_MEMORY}
        return {"tokens_per_second": 1.0, "peak_bytes": 1, "gpu": None}

    monkeypatch.setattr(script, "run_alone", fake_run)
    requests = _requests(tmp_path, "--attention", "varlen,sdpa")
    runs = script.run_rounds(requests, 2, "cpu")
    assert [r["name"] for r in runs] == ["kormo varlen", "kormo sdpa", PEER, PEER, "kormo varlen"]
    summary = summarise(runs, flops=1.0, peak=None)
    assert summary["kormo sdpa"] == {"error": OUT_OF_MEMORY}
    table = script.format_table(results | {"summary": summary})
    assert ["kormo", "sdpa", "out", "of", "memory"] in [row.split() for row in table.splitlines()]
    assert table.endswith("try fewer layers or a smaller batch.micro_batch")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 4 bytes"),
    ],
)
def test_only_want_of_memory_is_forgiven(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _requests(tmp_path)[0]

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(script, "_train_ours", fail)
    assert measure(request) == {"error": OUT_OF_MEMORY}
    error = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        measure(request)


def test_a_config_for_many_gpus_is_cut_to_the_share_of_one(tmp_path: Path) -> None:
    given = ["model.shape.num_hidden_layers=2", "model.compile=false"]
    ours, peer = _requests(tmp_path, "--config", "10b/stage2.yaml", *given)
    assert ours.config.model.shape.num_hidden_layers == 2
    assert ours.config.batch.tokens_per_step == 2 * 8 * 4096  # not 128 times that
    assert ours.config.model.init_from is None and not ours.config.model.compile
    assert peer.config == ours.config and peer.name == PEER


def test_the_peer_recomputes_as_many_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every second layer it is not asked for each: that would be half of our ratio to it."""
    given = ["model.shape.num_hidden_layers=4", "model.activation_checkpointing=2"]
    size = ["batch.sequence_length=64", "batch.micro_batch=1", "--accumulation", "1"]
    run = _requests(tmp_path, *given, *size, "--steps", "1", "--warmup", "1")[-1]
    config = run.config
    write_tokens(config.data.shards, config.schedule.total_tokens, config.model.shape.vocab_size)
    seen = []
    monkeypatch.setattr(script.Trainer, "train", lambda trainer: seen.append(trainer.model.model))
    script._train_peer(config, script.MeasuredBlock(1, 1))
    assert run.name == PEER
    assert [layer.gradient_checkpointing for layer in seen[0].layers] == [True, False, True, False]


def test_synthetic_tokens_open_as_prepared_shards(tmp_path: Path) -> None:
    write_tokens(tmp_path, tokens=60_000, vocab_size=70_000)
    source = TokenSource(tmp_path / script.SOURCE / "train")
    assert source.windows(600) == 100
    windows = [source.window(i, 600) for i in range(100)]
    assert all(w.tokens.max() < 70_000 for w in windows)
    assert max(w.tokens.max() for w in windows) > 2**16
    assert np.mean([len(w.document_ends) for w in windows]) > 1.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attention", "varlen,nonsense"], "model.attention: Input should be 'varlen'"),
        (["model.liger=true"], "set model.liger=false"),
        (["--config", "nowhere.yaml"], "no such config file"),
    ],
)
def test_bad_options_end_in_one_message(options: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        _requests(tmp_path, *options)


def test_a_gpu_is_asked_for_what_it_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _requests(tmp_path, "parallelism.precision=fp32")[0].config
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RecipeError, match="sees no CUDA GPU"):
        script.check_device(config, "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(RecipeError, match="needs parallelism.precision=bf16"):
        script.check_device(config, "cuda")


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    request = _requests(tmp_path)[0]  # no tokens were written for it
    with pytest.raises(RecipeError, match="kormo varlen: the run failed\n"):
        script.run_alone(request, "cpu")
