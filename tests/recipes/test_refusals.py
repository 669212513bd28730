"""What a stage of pretraining refuses, and in which words."""

import copy
import json
import shutil
import socket
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from data_recipes.common.errors import RecipeError
from recipes.engine.resume import check_fingerprint
from recipes.opened_run import FINGERPRINT
from tests import processes
from tests.conftest import Stage

from .test_stages import SAME_DATA, WORKER, Make, read_partial, run_and_kill

BAD_INPUT = {
    "unknown key": (["batch.micro_bach=3"], "did you mean 'micro_batch'"),
    "missing config": (["--config", "nowhere.yaml"], "nowhere.yaml: no such config file"),
    "no GPU": (["parallelism.require_gpu=true"], "needs a CUDA GPU"),
    "Liger without GPU": (["model.liger=true"], "model.liger=false"),
    "Liger's norms": (["model.liger=true", "model.norm_placement=mix"], "set liger to false"),
    "vocabulary": (["model.shape.vocab_size=1024"], "1,041 entries but the embedding only 1,024"),
    "schedule": (["schedule.decay_tokens=12_288"], "exceed the stage"),
    "unknown source": (["data.mixture={nothing: 1}"], "nothing"),
    "output below a file": (["logging.output_dir=/dev/null/run"], "cannot be written"),
    "output too long": (["logging.output_dir=/tmp/" + "x" * 300], "cannot be written"),
    "missing parent": (
        ["model.init_from=runs/1b/stage1/final", "size=1b"],
        "kormo train stage1 --config 1b/stage1.yaml",
    ),
    "missing parent of nobody's": (
        ["model.init_from=/nowhere/final", "size=1b"],
        "/nowhere/final: parent model missing; train it first, or correct the path",
    ),
    "missing data": (["data.shards=/nowhere", "size=1b"], "python -m data_recipes prepare"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(small_stage: Make, tmp_path: Path, case: str) -> None:
    arguments, message = BAD_INPUT[case]
    assert message in small_stage(tmp_path).refusal(*arguments)


def test_bad_input_ends_in_one_message(small_stage: Make, tmp_path: Path) -> None:
    result = small_stage(tmp_path).run("model.shape.vocab_size=1024")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.count("error:") == 1, result.stderr


def test_finished_and_changed_runs_are_refused(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    assert "already finished" in small_stage(uninterrupted).refusal()
    shutil.copytree(uninterrupted, tmp_path / "run", ignore=shutil.ignore_patterns("final"))
    stage = small_stage(tmp_path / "run")
    changed = stage.refusal("data.mixture={web_en: 0.5, web_ko: 0.5}")
    assert "data.fingerprint" in changed and "other data" in changed
    assert "optimizer.learning_rate: was 0.001, is 0.01" in stage.refusal(
        "optimizer.learning_rate=0.01"
    )
    assert "norm_placement: was 'pre', is 'mix'" in stage.refusal("model.norm_placement=mix")
    changed = stage.refusal("parallelism.precision=bf16")
    assert "model.stream: was 'float32', is 'bfloat16'" in changed


def test_weights_with_other_norms_are_refused(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    parent = f"model.init_from={uninterrupted / 'final'}"
    refused = small_stage(tmp_path).refusal(parent, "model.norm_placement=post")
    assert "norm_placement: pre instead of post" in refused


def test_what_a_run_did_before_there_was_a_key_for_it(uninterrupted: Path, tmp_path: Path) -> None:
    now = json.loads((uninterrupted / FINGERPRINT).read_text())
    before = copy.deepcopy(now)
    before["model"].pop("embedding_std")
    before["model"].pop("norm_placement")
    assert before["model"].pop("stream") == "float32"
    (tmp_path / FINGERPRINT).write_text(json.dumps(before))
    check_fingerprint(tmp_path, now | {"model": now["model"] | {"embedding_std": 0.02}})
    with pytest.raises(RecipeError, match=r"model\.embedding_std: was 0\.02, is 0\.5"):
        check_fingerprint(tmp_path, now | {"model": now["model"] | {"embedding_std": 0.5}})
    check_fingerprint(tmp_path, before)  # a stage that starts from weights has no such key
    told = r"(?s)add \"stream\": \"bfloat16\" to.*model\.stream: was 'float32', is 'bfloat16'"
    with pytest.raises(RecipeError, match=told):
        check_fingerprint(tmp_path, {"model": {"stream": "bfloat16"}})


def test_a_branch_from_the_very_end_is_refused(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    branch = f"schedule.branch_from={uninterrupted / 'checkpoint-12'}"
    message = small_stage(tmp_path, branch).refusal()
    assert "is at step 12, this run ends at 12" in message


def test_a_mistyped_parent_is_refused_before_anything_is_trained(
    small_stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.parent.run_stage", lambda *_: pytest.fail("a stage was started"))
    stage = small_stage(tmp_path, SAME_DATA, "model.init_from=runs/tiny/satge1/final")
    message = Stage("stage2", stage.overrides).refusal()
    assert "runs/tiny/satge1/final: no such directory" in message
    assert "writes to runs/tiny/stage1/final" in message


def test_corrupt_shards_are_refused(small_stage: Make, data_dir: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(data_dir / "shards", shards)
    victim = next((shards / "web_ko" / "train").glob("*.ds"))
    content = bytearray(victim.read_bytes())
    content[1000] ^= 1
    victim.write_bytes(content)
    message = small_stage(tmp_path / "run", f"data.shards={shards}").refusal()
    assert str(victim) in message and "checksum differs" in message


def test_full_disk_keeps_earlier_checkpoints(small_stage: Make, tmp_path: Path) -> None:
    # A file-size limit stands in for the full disk: the write fails at the same place.
    stage = small_stage(tmp_path)
    run_and_kill(stage.start(), tmp_path, 6)
    assert (tmp_path / "checkpoint-3").is_dir()
    result = processes.run([str(WORKER), "full-disk", *stage.overrides])
    assert result.returncode == 1, result.stderr
    assert "could not be written" in result.stderr and "Traceback" not in result.stderr
    assert (tmp_path / "checkpoint-3").is_dir() and not (tmp_path / ".staging").exists()


def test_two_runs_in_one_directory_are_refused(small_stage: Make, tmp_path: Path) -> None:
    stage = small_stage(tmp_path, "schedule.total_tokens=1_024_000")
    first = stage.start()
    try:
        while len(read_partial(tmp_path)) < 2 and first.poll() is None:
            time.sleep(0.05)
        # Who it is stands in the message: after a kill of the launcher alone, the ranks live on.
        message = stage.refusal()
        assert f"in use by process {first.pid} on {socket.gethostname()}" in message
        assert "another run is writing there" in message
    finally:
        first.kill()


def test_non_finite_step_names_its_documents(
    uninterrupted: Path, small_stage: Make, tmp_path: Path
) -> None:
    broken = tmp_path / "parent"
    shutil.copytree(uninterrupted / "final", broken)
    from safetensors.torch import save_file

    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    message = small_stage(tmp_path / "run", f"model.init_from={broken}").refusal()
    assert "step 1: loss nan" in message and "documents" in message and "web_" in message
    assert len((tmp_path / "run" / "nonfinite_step_1.txt").read_text().splitlines()) == 8
