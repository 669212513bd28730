"""What an experiment refuses before any run: its settings, and arms under other rulers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file
from data_recipes.tokenizer.load import load_tokenizer, token_byte_lengths
from recipes.experiments.config import ExperimentConfig
from recipes.experiments.plan import refuse_alike
from recipes.experiments.ruler import _bytes_of, check_ruler

from .conftest import load, planned, small

CHANGES = {
    "runner's": ({"shared": {"data.seed": 3}}, "data.seed: is set for every run"),
    "parent of an arm": ({"arms": {"a": {}, "b": {"model.init_from": "x"}}}, "b: model.init_from"),
    "baseline": ({"baseline": "c"}, "baseline 'c' is none of the arms"),
    "lucky seed": (
        {"sweep": {"optimizer.learning_rate": [1e-3]}, "sweep_seed": 1},
        "sweep_seed 1 is one of",
    ),
    "a sweep that an arm sets aside": (
        {
            "sweep": {"optimizer.beta1": [0.8, 0.9]},
            "arms": {"a": {}, "b": {"stage1": {"optimizer.beta1": 0.7}}},
        },
        "arms.b: sets optimizer.beta1 itself, so that none of the values of `sweep` would count",
    ),
    "a section in place of the recipe's": (
        {"arms": {"a": {}, "b": {"optimizer": {"learning_rate": 1e-3}}}},
        "b.optimizer: is a whole section; name what it sets: optimizer.learning_rate: 0.001",
    ),
    "a section of one stage": (
        {"shared": {"stage1": {"logging": {"log_every": 2}}}},
        "shared.stage1.logging: is a whole section; .* logging.log_every: 2",
    ),
    "a seed that is none": ({"seeds": [-1, 1]}, "seeds.0: .*greater than or equal to 0"),
    "a seed of too many bits": ({"seeds": [1, 2**32]}, "seeds.1: .*less than 4294967296"),
    "budget": ({"budget": {"tokens": 1, "flops": 1}}, "one of the three"),
    "measure": ({"decide": {"quick/kmmlu_mini": 0.1}}, "belongs to none of `measures`"),
    "band": ({"decide": {"bits_per_byte/ko": 0}}, "above 0"),
    "a folder elsewhere": ({"arms": {"a": {}, "../b": {}}}, "'../b' names a folder"),
    "a stage that is a number": ({"arms": {"a": {"stage1": 3}, "b": {}}}, "a.stage1: expected"),
    "unknown key": ({"shared": {"schedule.tokens": 1}}, "schedule.tokens: unknown key"),
    "unknown key of an arm": (
        {"arms": {"a": {}, "b": {"optimizer.lr": 1}}},
        "what 'b' .or `shared`. sets, over .*stage1.yaml:.*optimizer.lr: unknown key",
    ),
    "nothing that differs": (
        {"arms": {"a": {}, "b": {"data.document_masking": True}}},
        "arms.b: has every setting as 'a' has it, so that there is nothing to compare",
    ),
    "a band without an end": ({"decide": {"bits_per_byte/ko": float("inf")}}, "is above 0"),
    "a measure of nobody": (
        {"measures": ["bits"]},
        "measures: 'bits' is none of bits_per_byte, av",
    ),
    "questions for no measure": (
        {"evaluate": {"suite": {"tasks": ["x"]}}},
        "evaluate.suite: is for the measures suite and mode; name one",
    ),
    "start of all arms": ({"shared": {"start": "scratch"}}, "start: unknown key"),
    "stages of a sweep": ({"sweep": {"stages": [["stage1"]]}}, "stages: unknown key"),
    "mixture beside bytes of each source": (
        {
            "arms": {"a": {}, "b": {"data.mixture": {"web_en": 1}}},
            "budget": {"tokens": 4096, "bytes": {"web_ko": 1000}},
        },
        "data.mixture: the bytes of each source in `budget` make the mixture of stage1; take",
    ),
    "ruler of questions": (
        {
            "arms": {"a": {}, "b": {"logging.quick_eval_items": 2}},
            "shared": {"logging.quick_eval_every_tokens": 2048},
            "measures": ["quick", "bits_per_byte"],
        },
        "arms.b: would be measured by another ruler.*\n.*logging.quick_eval_items: was 50, is 2",
    ),
    "ruler": (
        {"arms": {"a": {}, "b": {"data.heldout_tokens": 300}}},
        "arms.b: would be measured by another ruler.*\n.*data.heldout_tokens: was 512, is 300",
    ),
    "ruler of other shards": (
        {"arms": {"a": {}, "b": {"data.shards": "x"}}},
        "arms.b: would be measured by another ruler.*\n.*data.shards: was",
    ),
    "ruler of another tokenizer": (
        {"arms": {"a": {}, "b": {"data.tokenizer": "x"}}},
        "arms.b: would be measured by another ruler.*\n.*data.tokenizer: was",
    ),
    "ruler of the text, under any tokenizer": (
        {
            "arms": {"a": {}, "b": {"data.tokenizer": "x", "data.heldout": ["web_en"]}},
            "shared": {"data.heldout_tokens": None},
        },
        "arms.b: would be measured by another ruler.*\n.*data.heldout: was",
    ),
    "ruler of other windows": (
        {"arms": {"a": {}, "b": {"batch.sequence_length": 64}}},
        "arms.b: would be measured by another ruler.*\n.*batch.sequence_length: was 128, is 64",
    ),
    "ruler of the mixture": (
        {"arms": {"a": {}, "b": {"data.mixture": {"web_ko": 1}}}},
        "data.heldout: was",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_mistakes_are_refused_before_any_run(data_dir: Path, tmp_path: Path, case: str) -> None:
    changes, message = CHANGES[case]
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(small(data_dir, tmp_path / "out", **changes)))
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        experiment = load(path)
        refuse_alike(runs := planned(experiment))
        check_ruler(experiment, runs)


def test_a_sweep_counts_in_the_stages_that_an_arm_leaves_as_they_are(
    data_dir: Path, tmp_path: Path
) -> None:
    rate = "optimizer.learning_rate"
    changes = {"stages": ["stage1", "stage2"], "sweep": {rate: [1e-3, 1e-2]}, "sweep_seed": 9}
    own = {"arms": {"a": {}, "b": {"stage1": {rate: 2e-3}}}}
    (tmp_path / "x.yaml").write_text(
        yaml.safe_dump(small(data_dir, tmp_path / "out", **changes, **own))
    )
    assert load(tmp_path / "x.yaml").sweep == changes["sweep"]
    with pytest.raises(RecipeError, match="arms.b: sets optimizer.learning_rate itself"):
        load(tmp_path / "x.yaml", f"arms.b.stage2={{{rate}: 2.0e-3}}")


def test_an_arm_of_the_base_is_left_out_by_null(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(small(data_dir, tmp_path / "out")))
    (tmp_path / "x.yaml").write_text(
        "base: base.yaml\narms: {b: null, c: {data.shuffle_seed: 3}}\n"
    )
    assert load(tmp_path / "x.yaml").arms == {"a": {}, "c": {"data.shuffle_seed": 3}}
    with pytest.raises(RecipeError, match="arms: .*at least 2"):
        load(tmp_path / "x.yaml", "arms.c=null")
    with pytest.raises(RecipeError, match="baseline 'a' is none of the arms"):
        load(tmp_path / "x.yaml", "arms.d={}", "arms.a=null")


def test_tokenizers_are_measured_on_all_of_one_text(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "shards", tmp_path / "shards")
    own, other = data_dir / "tokenizer", tmp_path / "tokenizer"
    shutil.copytree(own, other)
    arms = {"a": {}, "b": {"data.tokenizer": str(other), "data.shards": str(tmp_path / "shards")}}
    given = small(data_dir, tmp_path, arms=arms, shared={"data.heldout_tokens": None})
    experiment = ExperimentConfig.model_validate(given)
    check_ruler(experiment, planned(experiment))
    # As many documents and tokens, and one of these says something else.
    folder = tmp_path / "shards" / "web_ko" / "heldout"
    manifest = json.loads((folder / "manifest.json").read_text())
    (first, *_) = manifest["files"]
    tokens = np.fromfile(folder / first["path"], manifest["dtype"])
    sizes = np.array(token_byte_lengths(load_tokenizer(own)))
    (place, *_) = np.flatnonzero(sizes[tokens] == 1)
    tokens[place] = np.flatnonzero(sizes == 3)[0]
    tokens.tofile(folder / first["path"])
    first["sha256"] = sha256_file(folder / first["path"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    _bytes_of.cache_clear()
    with pytest.raises(RecipeError, match=r"(?s)arms\.b: .*bytes\.web_ko: was \d+, is \d+"):
        check_ruler(experiment, planned(experiment))
