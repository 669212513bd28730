"""Throughput, the log file, and the curve."""

import json
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig
from recipes.engine import metrics
from recipes.engine.metrics import (
    LossCurve,
    Throughput,
    append_metrics,
    count_parameters,
    flops_per_token,
    peak_flops,
    plot_curve,
    read_metrics,
    truncate_metrics,
)

SHAPE_1B = KORMoConfig(
    hidden_size=2048,
    intermediate_size=6144,
    num_hidden_layers=16,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
)


def test_throughput_counts_running_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(metrics.time, "perf_counter", lambda: now[0])
    meter = Throughput(flops_per_token=6.0, peak_flops=1200.0, attended_flops=3.0)
    for _ in range(4):  # `resume` at every step must not forget the time before it
        meter.resume()
        now[0] += 2.0
        meter.tokens += 100
    meter.waiting = 1.0
    meter.pause()
    now[0] += 1000.0  # evaluation
    meter.resume()
    assert meter.drain() == {
        "tokens_per_second": 50.0,
        "data_wait_percent": 12.5,
        "mfu_percent": 25.0,
        "mfu_attended_percent": 12.5,
    }
    meter.tokens = 10
    now[0] += 1.0
    assert meter.drain()["tokens_per_second"] == 10.0


def test_unknown_gpu_has_no_mfu() -> None:
    assert "mfu_percent" not in Throughput(6.0, None).drain()


def test_a_thread_that_gets_half_a_cpu_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    now, cpu = [100.0], [5.0]
    monkeypatch.setattr(metrics.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(metrics.time, "thread_time", lambda: cpu[0])
    meter = Throughput(6.0, None, on_cpu=True)
    for got, waiting, percent in ((10.0, 0.0, 100), (5.0, 0.0, 50), (5.0, 5.0, 100)):
        meter.resume()
        now[0] += 10.0
        cpu[0] += got
        meter.waiting = waiting  # for data: not for a CPU
        assert meter.drain()["cpu_percent"] == pytest.approx(percent)


def test_a_run_whose_directory_was_deleted_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="was deleted while the run was writing there"):
        append_metrics(tmp_path / "gone", {"step": 1})


def test_truncation_drops_later_lines_and_a_broken_end(tmp_path: Path) -> None:
    for step in (0, 1, 2, 3):
        append_metrics(tmp_path, {"step": step, "loss": step / 3})
    with (tmp_path / "metrics.jsonl").open("a") as handle:
        handle.write('{"step": 4, "lo')
    truncate_metrics(tmp_path, 2)
    assert [m["step"] for m in read_metrics(tmp_path)] == [0, 1, 2]
    assert read_metrics(tmp_path)[1]["loss"] == 1 / 3


def test_a_line_that_was_cut_off_is_left_out_and_another_damaged_one_named(tmp_path: Path) -> None:
    append_metrics(tmp_path, {"step": 1})
    with (tmp_path / "metrics.jsonl").open("ab") as handle:
        handle.write('{"step": 2, "한'.encode()[:-1])
    assert read_metrics(tmp_path) == [{"step": 1}]
    with (tmp_path / "metrics.jsonl").open("a") as handle:
        handle.write("\n")
    append_metrics(tmp_path, {"step": 3})
    with pytest.raises(RecipeError, match="metrics.jsonl: line 2 is damaged"):
        read_metrics(tmp_path)


def test_curve_is_drawn(tmp_path: Path) -> None:
    for step in range(3):
        append_metrics(tmp_path, {"step": step, "tokens": step, "loss": 3.0 - step})
        append_metrics(tmp_path, {"step": step, "tokens": step, "bits_per_byte/ko": 2.0})
    path = plot_curve(tmp_path, "title")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["loss"] == 3.0


def test_a_curve_is_drawn_at_the_end_and_before_only_if_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("recipes.engine.metrics.plot_curve", lambda *given: drawn.append(given))
    curve = LossCurve(tmp_path, "title")
    curve.refresh(ended=False)
    assert not drawn
    curve._drawn -= 61
    curve.refresh(ended=False)
    curve.refresh(ended=False)
    assert drawn == [(tmp_path, "title")]
    curve.refresh(ended=True)
    assert len(drawn) == 2


def test_flops_per_token_by_hand() -> None:
    # 10b at 4,096: 6 x (10,756,624,384 - 512,753,664) + 12 x 40 x 4,096 x 4,096
    assert flops_per_token(KORMoConfig(), 4096) == 61_463_224_320 + 8_053_063_680
    assert flops_per_token(SHAPE_1B, 4096) == pytest.approx(7.98e9, rel=1e-3)


def test_tied_head_multiplies_once() -> None:
    untied = KORMoConfig()
    tied = KORMoConfig(tie_word_embeddings=True)
    assert count_parameters(untied) - count_parameters(tied) == 125_184 * 4096
    assert flops_per_token(tied, 4096) == flops_per_token(untied, 4096)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA GB200", 2.5e15),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA A10G", None),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("Some Future GPU", None),
    ],
)
def test_peak_of_a_gpu_is_known_or_nothing(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak
