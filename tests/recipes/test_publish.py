"""Checkpoints as revisions of a repository, against a Hub on this machine."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig
from recipes import publish
from recipes.engine.checkpoint_release import find_releases, short_count
from recipes.engine.growing import read_moments
from recipes.engine.metrics import read_metrics
from recipes.export import export_command
from recipes.opened_run import open_run
from tests.conftest import ROOT, Stage

from .fake_hub import FakeHub, fake_hub

Make = Callable[..., Stage]
WORKER = ROOT / "tests" / "recipes" / "workers.py"
# A measurement at each of two checkpoints.
TWO = ["logging.save_every_tokens=2048", "schedule.total_tokens=4096"]
TWO += ["logging.eval_every_tokens=2048"]
NAMES = ["stage1-step2-tokens2.05k", "stage1-step4-tokens4.1k"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_stage: Make) -> Path:
    output = tmp_path_factory.mktemp("publish") / "stage1"
    small_stage(output, *TWO).main()
    return output


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def start(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["publish", *map(str, arguments)])
        publish.main()


def files_of(hub: FakeHub, revision: str) -> dict[str, bytes]:
    return hub.branches["owner/name"][revision]


def table_of(hub: FakeHub) -> list[dict[str, str]]:
    text = files_of(hub, "main")["checkpoints.csv"].decode()
    return list(csv.DictReader(text.splitlines()))


def test_a_checkpoint_is_exported_in_half_precision(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is put together beside the result, and not where the system has little room.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no room"))
    export_command(["--as", "kormo", str(run / "checkpoint-2"), str(tmp_path / "out")])
    written = load_file(tmp_path / "out" / "model.safetensors")
    trained = load_file(run / "checkpoint-2" / "model.safetensors")
    assert written.keys() == trained.keys()
    assert all(torch.equal(trained[key].bfloat16(), value) for key, value in written.items())
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) > 1000
    assert all(path.is_file() for path in (tmp_path / "out").iterdir())


def test_every_checkpoint_is_a_revision_that_loads(run: Path, tmp_path: Path) -> None:
    with fake_hub() as hub:
        start(run, "owner/name")
    assert list(hub.branches["owner/name"]) == ["main", *NAMES]
    for name, step in zip(NAMES, (2, 4)):
        folder = tmp_path / name
        for path, data in files_of(hub, name).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        model = AutoModelForCausalLM.from_pretrained(folder)
        trained = load_file(run / f"checkpoint-{step}" / "model.safetensors")
        state = model.state_dict()
        assert all(torch.equal(state[key], value) for key, value in trained.items())
        assert model.generation_config.eos_token_id == model.config.eos_token_id
        assert len(AutoTokenizer.from_pretrained(folder)) > 1000
        assert not any(
            "optimizer" in path or "trainer_state" in path for path in files_of(hub, name)
        )
        assert (
            f'"owner/name", revision="{name}", trust' in files_of(hub, name)["README.md"].decode()
        )
    card = files_of(hub, "main")["README.md"].decode()
    assert 'from_pretrained("owner/name", trust' in card and '"."' not in card
    assert '"."' in (run / "final" / "README.md").read_text()
    assert load(files_of(hub, "main")["model.safetensors"]).keys() == trained.keys()
    # The table says what is there.
    rows = table_of(hub)
    assert [(r["step"], r["tokens"], r["revision"]) for r in rows] == [
        ("2", "2048", NAMES[0]),
        ("4", "4096", NAMES[1]),
    ]
    for row in rows:
        data = files_of(hub, row["revision"])["model.safetensors"]
        assert row["weights_sha256"] in hub.objects and hub.objects[row["weights_sha256"]] == data
        measured = next(
            m
            for m in read_metrics(run)
            if m["step"] == int(row["step"]) and "bits_per_byte/ko" in m
        )
        assert float(row["bits_per_byte_ko"]) == pytest.approx(
            measured["bits_per_byte/ko"], abs=1e-6
        )
    order = json.loads(files_of(hub, "main")["data_order.json"])
    opened = open_run(run)
    assert order["fingerprint"] == opened.mixture.fingerprint
    # Every number that the order follows from, as the recipe has it.
    data, batch = opened.config.data, opened.config.batch
    assert (order["seed"], order["packing"], order["steps"]) == (data.seed, data.packing, 4)
    assert order["tokens_of_a_window"] == batch.sequence_length
    assert order["windows_of_a_step"] == batch.tokens_per_step // batch.sequence_length
    cycle = {name: own["windows_of_a_cycle"] for name, own in order["sources"].items()}
    assert sum(cycle.values()) == order["windows_of_a_cycle"]
    for name, share in data.mixture.items():
        total = sum(data.mixture.values())
        # Whole windows: a share is rounded up or down.
        assert cycle[name] == pytest.approx(order["windows_of_a_cycle"] * share / total, abs=1)
    assert order["sources"]["web_ko"]["licence"] == "Apache-2.0"
    assert not (run / ".publish").exists()


def test_what_is_there_is_not_uploaded_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fake_hub() as hub:
        hub.fail_after = 1
        with pytest.raises(RecipeError, match="the Hub refused"):
            start(run, "owner/name")
        assert len(hub.uploaded) == 1 and "checkpoints.csv" not in files_of(hub, "main")
        hub.fail_after = None
        start(run, "owner/name")
        assert f"{NAMES[0]}: is there" in capsys.readouterr().out
        assert len(hub.uploaded) == len(set(hub.uploaded)) == 2
        # A run that ended between an upload and its row.
        (run / "checkpoints.csv").unlink()
        start(run, "owner/name")
        assert len(hub.uploaded) == 2 and [r["revision"] for r in table_of(hub)] == NAMES
        assert [name for name in hub.commits if name != "main"] == NAMES
        # A checkpoint that has since been removed stays in the table.
        shutil.rmtree(run / "checkpoint-2")
        start(run, "owner/name")
        assert len(hub.uploaded) == 2 and [r["revision"] for r in table_of(hub)] == NAMES


def test_a_dry_run_needs_no_network_and_writes_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    before = sorted(run.rglob("*"))
    start(run, "owner/name", "--dry-run")
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES) and "would go to owner/name" in out
    assert sorted(run.rglob("*")) == before


def test_what_cannot_be_published_is_named(run: Path) -> None:
    with pytest.raises(RecipeError, match="name the owner too"):
        start(run, "name", "--dry-run")
    damaged = run / "checkpoint-2" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(RecipeError, match=r"checkpoint-2 is damaged \(model.safetensors"):
        find_releases(open_run(run))
    for checkpoint in run.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    with pytest.raises(RecipeError, match="has no checkpoint-N"):
        find_releases(open_run(run))


def test_sharded_checkpoints_are_put_together(
    made: Path, small_stage: Make, tmp_path: Path
) -> None:
    done = small_stage(tmp_path / "run", *TWO).run(ranks=2, worker=WORKER)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "checkpoint-4" / "pytorch_model_fsdp_0").is_dir()
    with fake_hub() as hub:
        start(tmp_path / "run", "owner/name")
    published = load(files_of(hub, NAMES[1])["model.safetensors"])
    final = load_file(tmp_path / "run" / "final" / "model.safetensors")
    assert published.keys() == final.keys()
    assert all(torch.equal(published[key], value) for key, value in final.items())
    # The moments, too, which a growth takes along: those of one process, but for rounding.
    shape = KORMoConfig.from_pretrained(made / "final")
    sharded, whole = (
        read_moments(run / "checkpoint-4", shape, tmp_path) for run in (tmp_path / "run", made)
    )
    for name, state in whole.items():
        assert sharded[name]["step"] == state["step"] == 4
        for key in ("exp_avg", "exp_avg_sq"):
            apart = (sharded[name][key] - state[key]).norm() / state[key].norm()
            assert apart < 1e-3, (name, key)


def test_tokens_are_written_short() -> None:
    counts = (512, 2048, 512_000, 999_999, 8_388_608, 1_800_000_000_000)
    assert [short_count(n) for n in counts] == ["512", "2.05k", "512k", "1M", "8.39M", "1.8T"]
