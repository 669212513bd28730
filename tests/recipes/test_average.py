"""`kormo average`: the mean by hand, in any order, of a run or of several, whole or not at all."""

import itertools
import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.train import train_tokenizer
from data_recipes.toy import documents
from recipes import average as module
from recipes.average import average_command
from tests.conftest import Stage
from tests.random_model import random_model

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a`, `b`, `c` alike; `wide` of another shape, `other` tokenizer, `half` as precise."""
    directory = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer(islice(documents("web", "en", 1), 60), 400)
    other = train_tokenizer(islice(documents("web", "ko", 1), 60), 400)
    for seed, name in enumerate(("a", "b", "c", "wide", "other")):
        model = random_model(tokenizer, 512, seed=seed, layers=2 if name == "wide" else 1)
        model.save_pretrained(directory / name)
        (other if name == "other" else tokenizer).save_pretrained(directory / name)
    half = AutoModelForCausalLM.from_pretrained(directory / "b", dtype=torch.bfloat16)
    half.save_pretrained(directory / "half")
    tokenizer.save_pretrained(directory / "half")
    return directory


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / WEIGHTS)


def same(first: Path, second: Path) -> bool:
    return (first / WEIGHTS).read_bytes() == (second / WEIGHTS).read_bytes()


def test_the_mean_by_hand_in_any_order(models: Path, tmp_path: Path) -> None:
    names = [str(models / name) for name in "abc"]
    average_command(["--out", str(tmp_path / "soup"), *names])
    parts = [weights(models / name) for name in "abc"]
    for name, mean in weights(tmp_path / "soup").items():
        expected = sum(part[name].double() * (1 / 3) for part in parts)
        torch.testing.assert_close(mean, expected.float(), rtol=1e-7, atol=1e-9)
        assert not torch.equal(mean, parts[0][name]) or "norm" in name
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "soup")
    assert all(
        torch.equal(t, loaded.state_dict()[n]) for n, t in weights(tmp_path / "soup").items()
    )
    assert len(AutoTokenizer.from_pretrained(tmp_path / "soup")) == 441
    average_command(["--out", str(tmp_path / "again"), *reversed(names)])
    assert same(tmp_path / "soup", tmp_path / "again")
    lineage = json.loads((tmp_path / "soup" / "lineage.json").read_text())
    assert {parent["model"] for parent in lineage["parents"]} == set(names)
    assert lineage["weights_sha256"].keys() == {WEIGHTS}


def test_bits_do_not_depend_on_the_order(models: Path, tmp_path: Path) -> None:
    # Not even in float64: 1e30 + 1 - 1e30 is 0, and 1e30 - 1e30 + 1 is 1.
    names = []
    for name, value in (("x", 1e30), ("y", 1.0), ("z", -1e30)):
        shutil.copytree(models / "a", tmp_path / name)
        model = AutoModelForCausalLM.from_pretrained(models / "a")
        model.model.norm.weight.data.fill_(value)
        model.save_pretrained(tmp_path / name)
        names.append(str(tmp_path / name))
    for number, order in enumerate(itertools.permutations(names)):
        average_command(["--out", str(tmp_path / f"mean{number}"), *order])
        assert same(tmp_path / "mean0", tmp_path / f"mean{number}")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "wide"), "num_hidden_layers is"),
        (("a", "other"), "another tokenizer"),
        (("a", "a"), "the same weights"),
        (("a", "half"), r"weight is \[.*\] in torch.(float32|bfloat16), and .* in torch."),
        (("a",), "name two or more"),
        (("a", "nowhere"), "no model directory"),
    ],
)
def test_what_has_no_mean_is_refused(
    models: Path, tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        average_command(["--out", str(tmp_path / "out"), *(str(models / name) for name in names)])
    assert not (tmp_path / "out").exists()


def test_a_mean_has_the_licences_of_all(models: Path, tmp_path: Path) -> None:
    for name, licence, tokens in (("a", "MIT", 5), ("b", "Apache-2.0", 9), ("c", "MIT", 7)):
        shutil.copytree(models / name, tmp_path / name)
        history = {"licences": [licence], "tokens_in_all": tokens}
        (tmp_path / name / "lineage.json").write_text(json.dumps(history))
    average_command(["--out", str(tmp_path / "soup"), *(str(tmp_path / name) for name in "abc")])
    lineage = json.loads((tmp_path / "soup" / "lineage.json").read_text())
    assert lineage["licences"] == ["Apache-2.0", "MIT"] and lineage["tokens_in_all"] == 9


def test_what_is_cut_short_leaves_nothing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(parents: list, out: Path) -> int:
        (out / WEIGHTS).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "average_files", cut)
        with pytest.raises(KeyboardInterrupt):
            average_command(["--out", str(tmp_path / "o"), str(models / "a"), str(models / "b")])
    assert not [p for p in tmp_path.iterdir() if not p.name.endswith(".lock")]
    average_command(["--out", str(tmp_path / "o"), str(models / "a"), str(models / "b")])
    assert (tmp_path / "o" / WEIGHTS).is_file()


def test_a_run(small_stage: Callable[..., Stage], tmp_path: Path) -> None:
    views = "model.views={kind: parallel}"  # their weights are in the checkpoints alone
    # Less than a step of 1,024 tokens: every step is saved, and kept for good.
    short = ["schedule.total_tokens=3072", "logging.save_every_tokens=512", views]
    short += ["logging.eval_every_tokens=1_024_000", "logging.keep_checkpoints=1"]
    short += ["logging.keep_every_tokens=512"]
    small_stage(tmp_path / "run", *short).main()
    run = tmp_path / "run"
    average_command([str(run), "--last", "2"])
    parts = [weights(run / f"checkpoint-{n}") for n in (2, 3)]
    mean = weights(run / "averaged")
    assert mean.keys() == weights(run / "final").keys() and mean.keys() < parts[0].keys()
    for name, tensor in mean.items():
        expected = (0.5 * parts[0][name].double() + 0.5 * parts[1][name].double()).float()
        assert torch.equal(tensor, expected), name
    lineage = json.loads((run / "averaged" / "lineage.json").read_text())
    assert [p["lineage"]["tokens"] for p in lineage["parents"]] in ([2048, 3072], [3072, 2048])
    assert lineage["tokens_in_all"] == 3072 and len(lineage["tokenizer_sha256"]) == 64
    # So of what goes on from a checkpoint.
    begun = [f"model.init_from={run / 'checkpoint-2'}", "schedule.total_tokens=1024"]
    begun += ["data.allow_single_synthesizer=true"]
    small_stage(tmp_path / "next", *short, *begun, script="stage2").main()
    lineage = json.loads((tmp_path / "next" / "final" / "lineage.json").read_text())
    assert lineage["tokens"] == 1024 and lineage["tokens_in_all"] == 3072
    assert AutoTokenizer.from_pretrained(run / "averaged").eos_token == "<|EOS|>"

    # A share halves every 1,024 tokens: 1, 2 and 4 sevenths.
    average_command([str(run), "--ema", "1024", "--out", str(tmp_path / "ema")])
    shares = json.loads((tmp_path / "ema" / "lineage.json").read_text())["parents"]
    assert sorted(p["share"] * 7 for p in shares) == pytest.approx([1, 2, 4])
    with pytest.raises(RecipeError, match="--ema 0: too few; a share halves in tokens"):
        average_command([str(run), "--ema", "0"])
    with pytest.raises(RecipeError, match="has 3 checkpoints, 8 are needed"):
        average_command([str(run), "--last", "8", "--out", str(tmp_path / "none")])
    (run / "checkpoint-3" / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(RecipeError, match="checkpoint-3: is damaged"):
        average_command([str(run), "--last", "2", "--out", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()
