"""Stages as a user starts them: end to end, killed, resumed, sharded, and given bad input."""

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling_kormo import modeling_kormo
from recipes.engine.checkpoints import list_checkpoints
from recipes.engine.metrics import read_metrics
from recipes.engine.resume import find_damage
from tests import processes
from tests.conftest import ROOT, Program, Stage, environment

WORKER = ROOT / "tests" / "recipes" / "workers.py"
SAME_DATA = "data.allow_single_synthesizer=true"
TIMINGS = {"tokens_per_second", "data_wait_percent", "cpu_percent"}
Make = Callable[..., Stage]


def log_of(output_dir: Path) -> list[dict[str, float]]:
    """`metrics.jsonl` without what a clock measured."""
    return [{k: v for k, v in m.items() if k not in TIMINGS} for m in read_metrics(output_dir)]


def losses(output_dir: Path) -> list[float]:
    return [m["loss"] for m in read_metrics(output_dir) if "loss" in m]


def weights(output_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(output_dir / "final" / "model.safetensors")


def run_and_kill(process: Program, output: Path, lines: int) -> None:
    """Wait for so many lines in the log, and kill every process of it at once."""
    deadline = time.monotonic() + 120
    while len(read_partial(output)) < lines and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert not (output / "final").exists(), "the run was over before it was killed"


def read_partial(output: Path) -> list[str]:
    path = output / "metrics.jsonl"
    return path.read_text().splitlines() if path.is_file() else []


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_stage1_learns_and_hands_over(uninterrupted: Path) -> None:
    log = read_metrics(uninterrupted)
    assert [m["step"] for m in log if "loss" in m] == list(range(1, 13))
    assert losses(uninterrupted)[-1] < losses(uninterrupted)[0] - 0.3
    held_out = [m for m in log if "bits_per_byte/ko" in m]
    assert [m["step"] for m in held_out] == [0, 6, 12]
    for language in ("ko", "en"):
        key = f"bits_per_byte/{language}"
        assert held_out[-1][key] < held_out[0][key]
        assert held_out[-1][f"source_bits/web_{language}"] == held_out[-1][key]  # its only source
    assert all(0 < m["masked_label_percent"] < 20 for m in log if "loss" in m)

    final = uninterrupted / "final"
    tokenizer = AutoTokenizer.from_pretrained(final)
    model = AutoModelForCausalLM.from_pretrained(final)
    assert model.config.use_cache
    for source in (model.config, model.generation_config):
        assert source.eos_token_id == tokenizer.eos_token_id
        assert source.bos_token_id == tokenizer.bos_token_id
    lineage = json.loads((final / "lineage.json").read_text())
    assert lineage["parent"] is None and lineage["tokens"] == 12 * 1024
    assert lineage["parameters"] == sum(p.numel() for p in model.parameters())
    named = json.loads((final / "tokenizer_config.json").read_text())
    assert named["tokenizer_class"] == "PreTrainedTokenizerFast"  # which transformers 4 knows
    card = (final / "README.md").read_text()
    before, after = (f"{held_out[n]['bits_per_byte/ko']:.4f}" for n in (0, -1))
    assert f"| bits per byte, ko | {before} | {after} |" in card and "web_ko" in card
    prompt = tokenizer("The", return_tensors="pt")
    assert model.generate(**prompt, max_new_tokens=4).shape[1] > prompt["input_ids"].shape[1]


def test_final_weights_are_the_trained_ones(uninterrupted: Path) -> None:
    checkpoint = load_file(uninterrupted / "checkpoint-12" / "model.safetensors")
    final = weights(uninterrupted)
    assert checkpoint.keys() == final.keys()
    assert all(torch.equal(checkpoint[k], final[k]) for k in final)
    assert all(t.dtype == torch.float32 for t in final.values())


def test_only_the_newest_checkpoints_are_kept(uninterrupted: Path) -> None:
    kept = sorted(p.name for p in uninterrupted.glob("checkpoint-*"))
    assert kept == ["checkpoint-12", "checkpoint-9"]
    assert not (uninterrupted / ".staging").exists() or not any(
        (uninterrupted / ".staging").iterdir()
    )


def test_stage2_goes_on_from_stage1(uninterrupted: Path, small_stage: Make, tmp_path: Path) -> None:
    parent = f"model.init_from={uninterrupted / 'final'}"
    stage = small_stage(tmp_path / "stage2", SAME_DATA, parent, script="stage2")
    result = stage.run()
    assert result.returncode == 0, result.stderr
    # It starts where stage 1 ended, not from random weights.
    before, end = read_metrics(tmp_path / "stage2")[0], read_metrics(uninterrupted)[-1]
    for key in ("bits_per_byte/ko", "bits_per_byte/en"):
        assert before[key] == end[key]
    lineage = json.loads((tmp_path / "stage2" / "final" / "lineage.json").read_text())
    assert lineage["parent_lineage"]["stage"] == "stage1"
    assert lineage["tokens_in_all"] == 2 * 12 * 1024


def test_killed_and_resumed_equals_uninterrupted(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    stage, rng = small_stage(tmp_path), random.Random(os.getpid())
    for lines in (rng.randint(2, 4), rng.randint(5, 7), 9):
        run_and_kill(stage.start(), tmp_path, lines)
    # The newest checkpoint is damaged: the one before is taken.
    *_, whole, newest = sorted(p.name for p in tmp_path.glob("checkpoint-*"))
    flip_a_bit(tmp_path / newest / "model.safetensors")
    result = stage.run()
    assert result.returncode == 0 and f"resuming from {tmp_path / whole}" in result.stdout
    assert f"{newest} is damaged (model.safetensors is not what was written)" in result.stdout
    assert log_of(tmp_path) == log_of(uninterrupted)
    assert all(
        torch.equal(a, b)
        for a, b in zip(weights(tmp_path).values(), weights(uninterrupted).values())
    )


def test_best_fit_windows_train_and_resume_like_any_other(
    uninterrupted: Path, small_stage: Make, data_dir: Path, tmp_path: Path
) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(data_dir / "shards", shards)
    packed = ["data.packing=best_fit", f"data.shards={shards}"]
    first = small_stage(tmp_path / "whole", *packed).run()
    assert first.returncode == 0, first.stderr
    assert "making the tiny packing plan now (python -m data_recipes packing" in first.stdout
    assert losses(tmp_path / "whole")[-1] < losses(tmp_path / "whole")[0] - 0.3
    # Held-out text is measured in the same windows, so before training the two runs agree.
    before, other = read_metrics(tmp_path / "whole")[0], read_metrics(uninterrupted)[0]
    assert before == other and losses(tmp_path / "whole") != losses(uninterrupted)

    stage = small_stage(tmp_path / "killed", *packed)
    run_and_kill(stage.start(), tmp_path / "killed", 6)
    result = stage.run()
    assert result.returncode == 0 and "resuming from" in result.stdout, result.stderr
    assert "making" not in result.stdout
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    for key, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(weights(tmp_path / "killed")[key], tensor)

    shutil.copytree(
        tmp_path / "whole", tmp_path / "changed", ignore=shutil.ignore_patterns("final")
    )
    changed = small_stage(tmp_path / "changed", f"data.shards={shards}").refusal()
    assert "data.packing: was 'best_fit', is 'concat'" in changed and "data.fingerprint" in changed
    # At real size the plan is made beforehand, by one process and not by all of a cluster.
    shutil.rmtree(shards / "web_ko" / "train" / "best_fit_128")
    message = small_stage(tmp_path / "large", *packed, "size=1b").refusal()
    assert f"packing {shards} --sequence-length 128" in message


def test_two_ranks_killed_and_resumed_on_one(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    """The first run begins as a user's does: a launcher that starts Python twice."""
    whole, stage = tmp_path / "whole", small_stage(tmp_path / "killed")
    command = small_stage(whole).command(ranks=2)
    result = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert result.returncode == 0, result.stderr
    assert str(whole / "final") in result.stdout and "loss_curve.png" in result.stdout
    assert losses(whole) == pytest.approx(losses(uninterrupted), abs=1e-5)

    run_and_kill(stage.start(ranks=2), tmp_path / "killed", 6)
    shutil.copytree(tmp_path / "killed", tmp_path / "elastic")
    result = stage.run(ranks=2)
    assert result.returncode == 0 and "resuming from" in result.stdout, result.stderr
    assert log_of(tmp_path / "killed") == log_of(whole)

    result = small_stage(tmp_path / "elastic").run()
    assert result.returncode == 0 and "resuming from" in result.stdout, result.stderr
    assert losses(tmp_path / "elastic") == pytest.approx(losses(whole), abs=1e-5)


def test_fsdp2_equals_one_process(uninterrupted: Path, small_stage: Make, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stage = small_stage(run)
    run_and_kill(stage.start(ranks=2, worker=WORKER), run, 9)
    shards = run / "checkpoint-3" / "pytorch_model_fsdp_0"
    assert len(list(shards.glob("*.distcp"))) == 2
    shutil.copytree(run, tmp_path / "elastic")
    # The file of one rank is lost: the checkpoint before is taken.
    *_, whole, newest = sorted(p.name for p in run.glob("checkpoint-*"))
    (run / newest / "optimizer_0" / "__1_0.distcp").unlink()
    result = stage.run(ranks=2, worker=WORKER)
    assert result.returncode == 0 and "sharded" in result.stdout, result.stderr
    assert f"resuming from {run / whole}" in result.stdout
    assert f"{newest} is damaged (optimizer_0/__1_0.distcp is missing)" in result.stdout
    assert losses(run) == pytest.approx(losses(uninterrupted), abs=1e-5)
    # The gathered weights are the trained ones: they agree with a merge of the sharded checkpoint.
    merged = tmp_path / "merged"
    command = ["-m", "accelerate.commands.accelerate_cli", "merge-weights"]
    command += [str(run / "checkpoint-12" / "pytorch_model_fsdp_0"), str(merged)]
    assert processes.run(command).returncode == 0
    checkpoint, final = load_file(merged / "model.safetensors"), weights(run)
    assert checkpoint.keys() == final.keys()
    assert all(torch.equal(checkpoint[k], final[k]) for k in final)
    for ours, theirs in zip(final.values(), weights(uninterrupted).values()):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    goes_on_over(1, small_stage(tmp_path / "elastic"), tmp_path / "elastic", uninterrupted)


def test_fsdp2_of_one_rank_resumes_on_two(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    stage = small_stage(tmp_path)
    run_and_kill(stage.start(worker=WORKER), tmp_path, 6)
    goes_on_over(2, stage, tmp_path, uninterrupted)


def goes_on_over(ranks: int, stage: Stage, run: Path, uninterrupted: Path) -> None:
    """Resume a sharded run on another number of ranks."""
    result = stage.run(ranks=ranks, worker=WORKER)
    assert result.returncode == 0 and "resuming from" in result.stdout, result.stderr
    assert f"sharded over ({ranks},)" in result.stdout
    assert losses(run) == pytest.approx(losses(uninterrupted), abs=1e-5)


def test_checkpoints_written_in_the_background_are_whole_or_absent(
    uninterrupted: Path, small_stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = small_stage(tmp_path, "logging.background_checkpoints=true")
    with monkeypatch.context() as patch:
        patch.setenv("TEST_WRITE_LATE", "1")
        process = stage.start(ranks=2, worker=WORKER)
    # Training goes on while a checkpoint is written, the first of them, too: after step 5.
    deadline = time.monotonic() + 120
    while not any(line["step"] == 8 for line in read_metrics(tmp_path)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]
    assert (tmp_path / ".staging" / "checkpoint-6").is_dir()

    result = stage.run(ranks=2, worker=WORKER)
    assert result.returncode == 0, result.stderr
    assert f"resuming from {tmp_path / 'checkpoint-3'}" in result.stdout
    assert losses(tmp_path) == pytest.approx(losses(uninterrupted), abs=1e-5)
    assert list_checkpoints(tmp_path)[-1].name == "checkpoint-12"
    assert find_damage(tmp_path / "checkpoint-12") is None
    assert not list((tmp_path / ".staging").iterdir())


def test_only_sharded_checkpoints_are_written_in_the_background(
    small_stage: Make, tmp_path: Path
) -> None:
    refused = small_stage(tmp_path).refusal("logging.background_checkpoints=true")
    assert "logging.background_checkpoints: only sharded checkpoints" in refused


def test_decay_branches_off_a_stable_checkpoint(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    decay = ["schedule.total_tokens=15_360", "schedule.decay_tokens=3072"]
    branch = f"schedule.branch_from={uninterrupted / 'checkpoint-12'}"
    # Warm-up is a share of the total, so it is restated to keep its length in tokens.
    result = small_stage(tmp_path, *decay, branch, "schedule.warmup_fraction=0.2").run()
    assert result.returncode == 0 and "branching from" in result.stdout, result.stderr
    rates = [m["learning_rate"] for m in read_metrics(tmp_path) if "loss" in m]
    assert [m["step"] for m in read_metrics(tmp_path) if "loss" in m] == [13, 14, 15]
    assert rates[0] > rates[1] > rates[2] and rates[2] < 0.5e-3
    assert losses(tmp_path)[0] < losses(uninterrupted)[0] - 0.3


@pytest.mark.parametrize(("ranks", "replicas"), [(2, 1), (4, 2)])
def test_fsdp2_computes_in_the_dtypes_of_one_gpu(
    small_stage: Make, tmp_path: Path, ranks: int, replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sharded over all ranks, or replicated between two nodes of two and sharded in each (HSDP)."""
    if replicas > 1:
        # What `accelerate launch` makes of many_nodes.yaml.
        monkeypatch.setenv("ACCELERATE_USE_PARALLELISM_CONFIG", "true")
        monkeypatch.setenv("PARALLELISM_CONFIG_DP_REPLICATE_SIZE", str(replicas))
        monkeypatch.setenv("PARALLELISM_CONFIG_DP_SHARD_SIZE", str(ranks // replicas))
    short = ["parallelism.precision=bf16", "schedule.total_tokens=2048"]
    short += ["logging.save_every_tokens=1_024_000", "logging.eval_every_tokens=1_024_000"]
    result = small_stage(tmp_path, *short).run(ranks=ranks, worker=WORKER)
    assert result.returncode == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("dtypes"))
    # As under autocast on one GPU. Rounded cosines would move every position but the first.
    assert line == "dtypes hidden bfloat16, queries bfloat16, cosines float32"
    mesh = (ranks,) if replicas == 1 else (replicas, ranks // replicas)
    assert f"sharded over {mesh}" in result.stdout


def test_one_process_computes_in_the_dtypes_of_fsdp2(
    small_stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autocast alone leaves the stream in fp32; the test above has what it must be."""
    seen = set()
    forward, rotate = modeling_kormo.KORMoDecoderLayer.forward, modeling_kormo.apply_rotary_pos_emb

    def layer(self, hidden, *args, **kwargs):
        output = forward(self, hidden, *args, **kwargs)
        seen.add(("hidden", hidden.dtype))
        seen.add(("output", output.dtype))
        return output

    def spied(q, k, cos, sin, *args):
        seen.add(("queries", q.dtype))
        seen.add(("cosines", cos.dtype))
        return rotate(q, k, cos, sin, *args)

    monkeypatch.setattr(modeling_kormo.KORMoDecoderLayer, "forward", layer)
    monkeypatch.setattr(modeling_kormo, "apply_rotary_pos_emb", spied)
    small_stage(tmp_path, "parallelism.precision=bf16", "schedule.total_tokens=1024").main()
    half, single = torch.bfloat16, torch.float32
    assert seen == {("hidden", half), ("output", half), ("queries", half), ("cosines", single)}


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_dry_run_of_the_10b(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Stage(stage, []).main("--config", f"10b/{stage}.yaml", "--dry-run")
    plan = capsys.readouterr().out
    assert "10,756,624,384" in plan
    assert "128 GPUs x 2 windows x 8 forward passes x 4,096" in plan
    assert not any(tmp_path.iterdir())
    # Every step counts: 69.5 GFLOP a token (6 N without the embedding, and attention).
    steps = {"stage1": 119_209, "stage2": 214_576}[stage]
    per_token = 6 * (10_756_624_384 - 125_184 * 4096) + 12 * 40 * 4096 * 4096
    assert f"tokens                {steps * 8_388_608:,}\n" in plan
    assert f"FLOPs                 {per_token * steps * 8_388_608:.4g}\n" in plan
