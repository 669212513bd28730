"""The stage that grows a model, and `kormo grow`, which does it on disk."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoForCausalLM
from modeling_kormo.export import export, save_llama
from recipes.engine.metrics import read_metrics
from recipes.grow_files import grow_command
from recipes.growth_config import GrowthConfig
from tests.conftest import Once, Stage
from tests.random_model import random_model

from .test_stages import WORKER, log_of, losses, run_and_kill

Make = Callable[..., Stage]
WIDER = "hidden_size: 96, intermediate_size: 192, num_attention_heads: 3"
ALL_AT_ONCE = [
    "growth.optimizer=carried",
    f"growth.steps=[{{layers_every: 2}}, {{{WIDER}, ramp_tokens: 8192}}]",
]


@pytest.fixture
def parent(uninterrupted: Path) -> Path:
    """A stage that ended, with its checkpoints."""
    return uninterrupted


@pytest.fixture(scope="session")
def make(small_stage: Make, uninterrupted: Path) -> Make:
    def stage(output_dir: Path, *extra: str) -> Stage:
        start = f"model.init_from={uninterrupted / 'final'}"
        return small_stage(output_dir, start, *(extra or ALL_AT_ONCE), script="grow")

    return stage


@pytest.fixture(scope="session")
def grown(make: Make, once: Once) -> Path:
    """A run that grew all at once, with all its checkpoints, and what it said."""

    def grow(directory: Path) -> None:
        done = make(directory / "run", *ALL_AT_ONCE, "logging.keep_checkpoints=0").run()
        assert done.returncode == 0, done.stderr
        (directory / "run" / "said").write_text(done.stdout)

    return once("grown", grow) / "run"


def test_a_grown_model_begins_where_its_parent_ended_and_is_a_plain_one_at_the_end(
    grown: Path, parent: Path, tmp_path: Path
) -> None:
    before, end = read_metrics(grown)[0], read_metrics(parent)[-1]
    for key in ("bits_per_byte/ko", "bits_per_byte/en"):
        assert before[key] == pytest.approx(end[key], abs=1e-6)
    final = grown / "final"
    lineage = json.loads((final / "lineage.json").read_text())
    assert lineage["growth"]["new_layers"] == [2] and lineage["growth"]["new_query_heads"] == [2]
    assert lineage["parent_lineage"]["stage"] == "stage1"
    model = KORMoForCausalLM.from_pretrained(final)
    kept = KORMoForCausalLM.from_pretrained(parent / "final").config.to_dict()
    differing = {k for k, v in model.config.to_dict().items() if kept.get(k) != v}
    assert differing - {"_name_or_path"} == {
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
    }
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (96, 3)
    # In mid-ramp nothing can take the weights up but the run itself.
    with pytest.raises(ValueError, match="middle of a growth"):
        KORMoForCausalLM.from_pretrained(grown / "checkpoint-6")
    assert KORMoForCausalLM.from_pretrained(grown / "checkpoint-9")

    # The ways out: Llama's layout computes the same, and the model generates.
    ids = torch.arange(40)[None]
    with torch.no_grad():
        export(str(final), tmp_path / "llama", "llama", torch.float32)
        llama = LlamaForCausalLM.from_pretrained(tmp_path / "llama")
        torch.testing.assert_close(llama(ids).logits, model(ids).logits, atol=1e-5, rtol=0)
        assert model.generate(ids, max_new_tokens=3, eos_token_id=None).shape == (1, 43)


def test_killed_in_mid_ramp_and_resumed_equals_uninterrupted(
    make: Make, grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "moments taken along from" in (grown / "said").read_text()
    stage = make(tmp_path / "killed")
    run_and_kill(stage.start(), tmp_path / "killed", 6)
    resumed = stage.run()
    assert resumed.returncode == 0 and "resuming from" in resumed.stdout, resumed.stderr
    assert "moments taken along" not in resumed.stdout  # they are its own by now
    assert log_of(tmp_path / "killed") == log_of(grown)
    # Two ranks, sharded by FSDP2, moments and all.
    monkeypatch.setenv("TEST_STAGE", "grow")
    sharded = make(tmp_path / "sharded").run(ranks=2, worker=WORKER)
    assert sharded.returncode == 0 and "sharded" in sharded.stdout, sharded.stderr
    assert losses(tmp_path / "sharded") == pytest.approx(losses(grown), abs=1e-5)
    with torch.no_grad():
        models = [
            KORMoForCausalLM.from_pretrained(run / "final") for run in (tmp_path / "sharded", grown)
        ]
        one, other = (model(torch.arange(40)[None]).logits for model in models)
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_new_layers_alone_are_trained(make: Make, parent: Path, tmp_path: Path) -> None:
    only_new = ["growth.train=new", "growth.optimizer=fresh", "growth.steps=[{layers_after: [0]}]"]
    make(tmp_path, *only_new).main()
    old = load_file(parent / "final" / "model.safetensors")
    new = load_file(tmp_path / "final" / "model.safetensors")
    for name, tensor in new.items():
        if ".layers.1." in name:
            assert not torch.equal(tensor, old[name.replace(".layers.1.", ".layers.0.")]), name
        else:
            assert torch.equal(tensor, old[name.replace(".layers.2.", ".layers.1.")]), name


def test_a_llama_checkpoint_grows_as_a_kormo_one(make: Make, parent: Path, tmp_path: Path) -> None:
    export(str(parent / "final"), tmp_path / "llama", "llama", torch.float32)
    fresh = ["growth.optimizer=fresh", ALL_AT_ONCE[1], "schedule.total_tokens=8192"]
    make(tmp_path / "a", *fresh, f"model.init_from={tmp_path / 'llama'}").main()
    make(tmp_path / "b", *fresh).main()
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert KORMoForCausalLM.from_pretrained(tmp_path / "a" / "final").config.model_type == "kormo"
    config = tmp_path / "llama" / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"qwen2"'))
    message = make(tmp_path / "c", *fresh, f"model.init_from={tmp_path / 'llama'}").refusal()
    assert "model_type 'qwen2': only KORMo's and Llama's layouts" in message


def test_masks_follow_the_tokens() -> None:
    growth = GrowthConfig.model_validate(
        {
            "optimizer": "fresh",
            "steps": [
                {"layers_every": 2},
                {"hidden_size": 96, "ramp_tokens": 100},
                {"intermediate_size": 192, "ramp_tokens": 50},
                {"num_attention_heads": 8, "num_key_value_heads": 2},
            ],
        }
    )
    at = {tokens: growth.mask_values(tokens) for tokens in (0, 25, 100, 125, 150, 151)}
    assert [v["hidden"] for v in at.values()] == [0, 0.25, 1, 1, 1, 1]
    assert [v["ffn"] for v in at.values()] == [0, 0, 0, 0.5, 1, 1]
    assert [v["heads"] for v in at.values()] == [0, 0, 0, 0, 0, 1]  # without a ramp, in its turn
    assert [growth.is_over(tokens) for tokens in at] == [False] * 5 + [True]
    deeper = GrowthConfig.model_validate({"optimizer": "fresh", "steps": [{"layers_every": 2}]})
    assert deeper.is_over(0)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["growth.steps=[{hidden_size: 96, ramp_tokens: 20_000}]"], "final/ would be half-grown"),
        # What comes after the last step of a ramp that ends with the stage would never be seen.
        (
            [
                "growth.steps=[{hidden_size: 96, ramp_tokens: 12_288}, {intermediate_size: 192}]",
            ],
            "final/ would be half-grown",
        ),
        (["growth.steps=[{hidden_size: 48}]"], "hidden_size: 48 is less than the model's 64"),
        (["growth.steps=[{layers_every: 3}]"], "does not divide the model's 2 layers"),
        (["growth.steps=[{head_dim: 64}]"], "head_dim"),
        (["growth.steps=[{hidden_size: 96}, {hidden_size: 128}]"], "hidden_size in more than one"),
        (
            ["growth.steps=[{num_attention_heads: 4}, {num_key_value_heads: 2}]"],
            "share a mask; put them in one step",
        ),
        (["growth.steps=[{layers_every: 2, ramp_tokens: 1024}]"], "ramp_tokens is for width"),
        (["growth.train=new", "growth.steps=[{hidden_size: 96}]"], "train: new is for layers"),
        (["model.liger=true"], "its norm knows no masks"),
        (["model.init_from=null"], "growth needs a model to start from"),
        (["growth=null"], "belongs to the stage grow, which needs it"),
    ],
)
def test_what_cannot_grow_is_refused_before_anything_starts(
    make: Make, tmp_path: Path, extra: list[str], said: str
) -> None:
    message = make(tmp_path / "run", *ALL_AT_ONCE, *extra).refusal("--dry-run")
    assert said in message
    assert not (tmp_path / "run").exists()


def test_a_plan_looks_at_the_model_that_it_starts_from(
    make: Make, parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path / "run", *ALL_AT_ONCE)
    run.main("--dry-run")
    assert f"starts from           {parent / 'final'}: there\n" in capsys.readouterr().out
    run.main("--dry-run", f"model.init_from={tmp_path / 'nowhere'}")
    assert re.search(
        r"starts from +\S+/nowhere: NOT there: .*correct the path", capsys.readouterr().out
    )
    wrong = run.refusal("--dry-run", "model.shape.intermediate_size=96")
    assert "its shape differs from the recipe's: intermediate_size: 128 instead of 96" in wrong
    (tmp_path / "empty").mkdir()
    empty = run.refusal("--dry-run", f"model.init_from={tmp_path / 'empty'}")
    assert "empty: model_type None: only KORMo" in empty


def test_a_parent_without_an_optimizer_is_named(make: Make, parent: Path, tmp_path: Path) -> None:
    shutil.copytree(parent / "final", tmp_path / "alone" / "final")
    start = f"model.init_from={tmp_path / 'alone' / 'final'}"
    message = make(tmp_path / "run", *ALL_AT_ONCE, start).refusal()
    assert "has no checkpoint-N" in message and "growth.optimizer=fresh" in message


def test_an_optimizer_in_another_order_is_refused(make: Make, parent: Path, tmp_path: Path) -> None:
    shutil.copytree(parent, tmp_path / "other")
    (tmp_path / "other" / "checkpoint-9").rename(tmp_path / "checkpoint-9")
    path = tmp_path / "other" / "checkpoint-12" / "optimizer.pt"
    state = torch.load(path)
    state["param_groups"].reverse()
    torch.save(state, path)
    (path.parent / "files.json").unlink()  # as in older runs
    start = f"model.init_from={tmp_path / 'other' / 'final'}"
    message = make(tmp_path / "run", *ALL_AT_ONCE, start).refusal()
    assert "not of a run that trained the whole model" in message


# On disk


@pytest.fixture
def model_dir(data_dir: Path, tmp_path: Path) -> Path:
    """Two layers in several files."""
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    model = random_model(tokenizer, 1280, layers=2)
    model.generation_config.max_new_tokens = 17
    model.save_pretrained(tmp_path / "in", max_shard_size="100KB")
    tokenizer.save_pretrained(tmp_path / "in")
    (tmp_path / "in" / "modeling_kormo.py").touch()
    return tmp_path / "in"


GROWN = ["--layers-every", "1", "--hidden", "48", "--ffn", "96", "--heads", "4"]


def test_on_disk_as_in_memory(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    grow_command([str(model_dir), str(out), *GROWN, "--shard-gb", "1e-4"])
    assert "differ by up to" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}  # no lock
    assert len(list(model_dir.glob("*.safetensors"))) > 2 < len(list(out.glob("*.safetensors")))
    ids = torch.arange(30)[None]
    with torch.no_grad():
        old = AutoModelForCausalLM.from_pretrained(model_dir)(ids).logits
        grown, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
        torch.testing.assert_close(grown(ids).logits, old, atol=1e-4, rtol=0)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    lineage = json.loads((out / "lineage.json").read_text())
    assert lineage["growth"]["new_layers"] == [1, 3] and lineage["parent"] == str(model_dir)
    assert lineage["parameters"] == grown.num_parameters()
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * grown.num_parameters()
    # What goes along.
    templates = [AutoTokenizer.from_pretrained(path).chat_template for path in (model_dir, out)]
    assert templates[0] and templates[0] == templates[1]
    assert grown.generation_config.max_new_tokens == 17 and (out / "modeling_kormo.py").is_file()


@torch.no_grad()
def test_deeper_alone_on_disk_is_equal_to_the_bit(model_dir: Path, tmp_path: Path) -> None:
    grow_command([str(model_dir), str(tmp_path / "out"), "--layers-every", "1", "--how", "masks"])
    old, deep = (AutoModelForCausalLM.from_pretrained(p) for p in (model_dir, tmp_path / "out"))
    ids = torch.arange(30)[None]
    assert len(deep.model.layers) == 4 and torch.equal(deep(ids).logits, old(ids).logits)


def test_a_growth_that_does_not_keep_the_function_leaves_nothing(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeling_kormo.growth._OUTPUTS", ())  # nothing of a new layer is zero
    with pytest.raises(RecipeError, match="did not keep the function; nothing was written"):
        grow_command([str(model_dir), str(tmp_path / "out"), "--layers-every", "1"])
    assert not (tmp_path / "out").exists()


def test_llama_in_bf16(model_dir: Path, tmp_path: Path) -> None:
    save_llama(KORMoForCausalLM.from_pretrained(model_dir).bfloat16(), tmp_path / "llama")
    grow_command([str(tmp_path / "llama"), str(tmp_path / "out"), *GROWN])
    grown = LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert grown.dtype == torch.bfloat16 and grown.config.num_attention_heads == 4
    with pytest.raises(RecipeError, match="anything would load it without; use --how zeros"):
        grow_command([str(tmp_path / "llama"), str(tmp_path / "m"), *GROWN, "--how", "masks"])
    assert not (tmp_path / "m").exists()


def test_what_was_grown_under_masks_is_taken_up_by_the_stage_alone(
    make: Make, grown: Path, parent: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sizes = ["--layers-every", "2", "--hidden", "96", "--ffn", "192", "--heads", "3"]
    grow_command([str(parent / "final"), str(out), *sizes, "--how", "masks"])
    with pytest.raises(ValueError, match="middle of a growth"):
        AutoModelForCausalLM.from_pretrained(out)
    start = f"model.init_from={out}"
    other = f"growth.steps=[{{layers_every: 1}}, {{{WIDER}}}]"
    message = make(tmp_path / "no", *ALL_AT_ONCE, start, other).refusal()
    assert "another growth than growth.steps say" in message and "new_layers" in message
    make(tmp_path / "a", *ALL_AT_ONCE, start).main()
    assert losses(tmp_path / "a") == losses(grown)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{model}", "{out}", "--heads", "3", "--kv-heads", "2"], "must be a multiple of"),
        (["{model}", "{out}", "--hidden", "16"], "hidden_size: 16 is less than the model's 32"),
        (["{model}", "{out}", "--layers-every", "3"], "does not divide the model's 2 layers"),
        (["{model}", "{out}"], "nothing would grow"),
        (["{model}", "{model}", "--hidden", "64"], "is not empty"),
        (["./nowhere", "{out}", "--hidden", "64"], "no model directory"),
        (["{adapter}", "{out}", "--hidden", "64"], "is an adapter; merge it first"),
    ],
)
def test_bad_input_on_disk(
    model_dir: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    names = {"model": model_dir, "out": tmp_path / "out", "adapter": adapter}
    with pytest.raises(RecipeError, match=said):
        grow_command([a.format(**names) for a in arguments])
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_named_and_a_shard_has_a_size(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        grow_command([str(model_dir), str(tmp_path / "out"), *GROWN, "--shard-gb", "0"])
    last = max(model_dir.glob("*.safetensors"))
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(RecipeError, match=f"{last.name} is missing or damaged") as error:
        grow_command([str(model_dir), str(tmp_path / "out"), *GROWN])
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_a_tensor_that_is_missing_leaves_nothing(model_dir: Path, tmp_path: Path) -> None:
    index = model_dir / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    del content["weight_map"]["model.layers.1.mlp.up_proj.weight"]
    index.write_text(json.dumps(content))
    with pytest.raises(RecipeError, match=r"no model.layers.1.mlp.up_proj.weight"):
        grow_command([str(model_dir), str(tmp_path / "out"), *GROWN])
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.tmp"))


def test_a_plan_writes_nothing(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in model_dir.glob("*.safetensors"):
        path.unlink()  # a plan needs the config alone
    grow_command([str(model_dir), str(tmp_path / "out"), *GROWN, "--dry-run"])
    assert "num_hidden_layers 2 -> 4" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_the_plan_of_motif(capsys: pytest.CaptureFixture[str]) -> None:
    Stage("grow", ["--config", "motif/grow.yaml"]).main("--dry-run")
    out = capsys.readouterr().out
    assert "102,022,456,320" in out and "GPU-hours" in out
