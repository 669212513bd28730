"""A run that is replayed is the same to the bit, and what is not is named."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_recipes.common.errors import RecipeError
from recipes import verify
from recipes.engine.checkpoints import SHARDED
from recipes.engine.replayed_steps import find_windows
from recipes.engine.reproduce import EnergyMeter
from recipes.opened_run import REPRODUCE
from recipes.verify import Comparison, compare_steps, judge
from tests.conftest import Stage, other_modes

Make = Callable[..., Stage]
FAST = ["logging.eval_every_tokens=1_024_000", "logging.save_every_tokens=4096"]
FAST += ["schedule.total_tokens=8192"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_stage: Make, data_dir: Path) -> Path:
    """A run of eight steps on data of its own, with a checkpoint after four; and its data."""
    folder = tmp_path_factory.mktemp("verify")
    for name in ("shards", "tokenizer"):
        shutil.copytree(data_dir / name, folder / name)
    (folder / "recipe.yaml").write_text((data_dir / "recipe.yaml").read_text())
    yaml = folder / "own.yaml"
    base = Path(__file__).parents[2] / "recipes" / "configs" / "tiny" / "stage1.yaml"
    yaml.write_text(f"# ours\nbase: {base}\n")
    paths = [f"data.shards={folder / 'shards'}", f"data.tokenizer={folder / 'tokenizer'}"]
    done = small_stage(folder / "run", *FAST, *paths, "--config", str(yaml)).run()
    assert done.returncode == 0, done.stderr
    return folder


def verified(
    run: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[list[str], int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["verify", str(run), *arguments])
        try:
            verify.main()
            status = 0
        except SystemExit as end:
            status = int(end.code)
    return capsys.readouterr().out.splitlines(), status


def test_the_same_machine_gives_the_same_bits(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, status = verified(made / "run", capsys)
    assert lines[-1] == "bit-equal: 12 losses and 3 hashes of all weights are the same"
    assert status == 0
    assert any(line.startswith("steps 1 to 8: bit-equal") for line in lines)


def test_colleagues_can_read_a_run(made: Path) -> None:
    assert not other_modes(made)


def test_the_record_says_what_was_computed_and_with_what(made: Path) -> None:
    record = json.loads((made / "run" / "final" / REPRODUCE).read_text())
    steps = record["steps"]
    assert sorted(map(int, steps)) == list(range(1, 9))
    assert [s for s in steps if "weights" in steps[s]] == ["1", "8"]
    attempt = record["attempts"][0]
    assert attempt["machine"]["threads"] >= 1 and attempt["code"]["constraints_sha256"]
    assert record["seconds"] > 0 and (record["joules"] is None or record["joules"] > 0)


PLANTED = {
    "shard": ("shards/web_ko/train/*.ds", "source web_ko"),
    "index": ("shards/web_en/train/*.index", "source web_en"),
    "template": ("tokenizer/chat_template.jinja", "tokenizer chat_template.jinja"),
    "tokenizer": ("tokenizer/tokenizer.json", "tokenizer tokenizer.json"),
    "YAML": ("own.yaml", "config own.yaml"),
    "resolved YAML": ("run/recipe.yaml", "resolved recipe"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_one_changed_byte_is_named(
    made: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    pattern, name = PLANTED[case]
    victim = next(made.glob(pattern))
    before = victim.read_bytes()
    place = before.find(b"ours") if case == "YAML" else len(before) // 2
    if case == "resolved YAML":
        place = before.find(b"seed: 42") + 7
    changed = bytearray(before)
    changed[place] ^= 1
    victim.write_bytes(changed)
    try:
        lines, status = verified(made / "run", capsys, "--steps", "2")
    except RecipeError as error:  # it no longer is a tokenizer, or a recipe
        lines, status = [f"  changed: {error}"], 1
        pytest.fail(str(error))
    finally:
        victim.write_bytes(before)
    assert status == 1
    named = [line for line in lines if line.startswith("  changed: ")]
    assert len(named) == 1 and name in named[0] and victim.name in named[0], lines
    # Data in another order and another tokenizer give other steps; a template gives the same.
    verdict = lines[-1].partition(":")[0].partition(",")[0]
    assert verdict == ("bit-equal" if case in ("template", "YAML") else "different"), lines


def test_other_losses_are_told_from_rounding(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    record = json.loads((run / REPRODUCE).read_text())
    record["steps"]["5"]["loss"] += 1e-6
    (run / REPRODUCE).write_text(json.dumps(record))
    lines, status = verified(run, capsys)
    assert status == 0 and lines[-1].startswith(
        "equal to rounding: 12 losses differ by at most 1e-06"
    )
    assert lines[-1].endswith("differ from step 5 on")
    record["steps"]["6"]["loss"] += 0.01
    (run / REPRODUCE).write_text(json.dumps(record))
    lines, status = verified(run, capsys)
    assert status == 1 and lines[-1].startswith("different, first at step 5; beyond the bound")
    assert "at step 6" in lines[-1]


def test_a_window_that_cannot_be_replayed_is_no_success(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run, ignore=shutil.ignore_patterns("checkpoint-4"))
    lines, status = verified(run, capsys)
    assert status == 1 and "a later window: not replayed, no whole checkpoint" in lines[-2]
    assert lines[-1].startswith("incomplete: ") and "the other is bit-equal: 8 losses" in lines[-1]


@pytest.mark.parametrize("branched", [False, True])
def test_what_one_process_cannot_load_is_not_replayed(tmp_path: Path, branched: bool) -> None:
    for step, weights in ((4, "model.safetensors"), (8, SHARDED)):
        checkpoint = tmp_path / f"checkpoint-{step}"
        (checkpoint / weights).mkdir(parents=True)
        for name in ("scheduler.pt", "optimizer.pt"):
            (checkpoint / name).touch()
        (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    schedule = SimpleNamespace(branch_from=tmp_path / "checkpoint-8" if branched else None)
    run = SimpleNamespace(directory=tmp_path, config=SimpleNamespace(schedule=schedule))
    start = 8 if branched else 0
    steps = dict.fromkeys(map(str, range(start + 1, 13)))
    first, later = find_windows(run, {"attempts": [{"from_step": start}], "steps": steps}, 10)
    assert (first.start, first.end) == (start, 12 if branched else 10)
    assert first.missing.endswith("is sharded, and this is one process" if branched else "")
    found = (None, 0, 0) if branched else (tmp_path / "checkpoint-4", 4, 12)
    assert (later.checkpoint, later.start, later.end) == found


def test_another_machine_is_named(
    made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    record = json.loads((run / REPRODUCE).read_text())
    record["attempts"][0]["machine"]["features"] = ["avx512f"]
    record["attempts"][0]["code"]["packages"]["torch"] = "1.0"
    (run / REPRODUCE).write_text(json.dumps(record))
    lines, _ = verified(run, capsys, "--steps", "1")
    assert any("machine.features: was ['avx512f']" in line for line in lines)
    assert any("code.packages.torch: was '1.0'" in line for line in lines)


def test_a_loss_that_is_no_number_is_different() -> None:
    bad = Comparison(1, 0, float("nan"), 1, {1: (2.0, float("nan"))})
    assert judge([bad], 1e-4).startswith("different, first at step 1")
    # Nor is it hidden by good ones before it.
    recorded = {step: {"loss": 2.0} for step in ("1", "2")}
    found = compare_steps(recorded, recorded | {"2": {"loss": float("nan")}})
    assert judge([found], 1e-4).startswith("different, first at step 2")


def test_a_run_without_a_record_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made / "run", tmp_path / "run")
    for path in (tmp_path / "run").rglob(REPRODUCE):
        path.unlink()
    with pytest.raises(RecipeError, match="has no reproduce.json"):
        verified(tmp_path / "run", capsys)


def test_energy_is_summed_over_packages_and_comes_round(tmp_path: Path) -> None:
    assert EnergyMeter(tmp_path).read() is None
    for name, energy in (("intel-rapl:0", 900), ("intel-rapl:1", 100), ("intel-rapl:0:0", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(str(energy))
        (tmp_path / name / "max_energy_range_uj").write_text("1000")
    meter = EnergyMeter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("50")  # came round
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("150")
    assert meter.read() == pytest.approx((150 + 50) / 1e6)
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("250")
    assert meter.read() == pytest.approx((150 + 150) / 1e6)
