"""Mistakes that were made once: silent losses, wrong refusals, tracebacks."""

import json
import shutil
from pathlib import Path

import pytest

from data_recipes.common.config_files import load_config, read_yaml
from data_recipes.common.errors import RecipeError
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.read.files import read_texts
from data_recipes.read.source import SourceConfig
from data_recipes.tokenizer.shards import ShardConfig
from data_recipes.tokens.mixture import Mixture

from ..hand_made import jsonl, some_texts, write_data_set

SHARDS = ShardConfig(heldout_fraction=0.2)


def source_at(path: Path, **facts: str) -> SourceConfig:
    return SourceConfig(name="s", path=str(path), language="ko", licence="none", **facts)


def recipe_in(data_dir: Path, output: Path) -> dict:
    return read_yaml(data_dir / "recipe.yaml") | {"output_dir": str(output)}


def test_another_corpus_is_not_passed_over(data_dir: Path, tmp_path: Path) -> None:
    recipe = recipe_in(data_dir, tmp_path / "d") | {"corpus": {"megabytes": 1.0}}
    before = prepare(DataConfig.model_validate(recipe))
    recipe["corpus"] = {"megabytes": 1.0, "seed": 99}
    try:
        after = prepare(DataConfig.model_validate(recipe))
    except RecipeError:
        return
    assert after["web_ko"]["train"].fingerprint != before["web_ko"]["train"].fingerprint


def test_a_file_added_before_a_resume_is_not_lost(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "0.jsonl").write_bytes(jsonl(some_texts(50)))
    recipe = recipe_in(data_dir, tmp_path / "d") | {"corpus": None}
    source = {"name": "s", "path": str(tmp_path / "t"), "language": "ko", "licence": "none"}
    recipe["sources"], recipe["tokenizer"] = [source], {"path": str(data_dir / "tokenizer")}
    recipe["shards"] = {"heldout_fraction": 0.2}
    config = DataConfig.model_validate(recipe)
    assert sum(m.documents for m in prepare(config)["s"].values()) == 50
    (tmp_path / "t" / "1.jsonl").write_bytes(jsonl(some_texts(50, seed=2)))
    with pytest.raises(RecipeError, match="other settings .sources."):
        prepare(config)


def test_a_mended_text_column_is_not_refused(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(some_texts(50)))
    recipe = recipe_in(data_dir, tmp_path / "d") | {"corpus": None}
    source = {"name": "s", "language": "ko", "licence": "none"}
    source |= {"path": str(tmp_path / "a.jsonl"), "text_column": "body"}
    recipe["sources"], recipe["tokenizer"] = [source], {"path": str(data_dir / "tokenizer")}
    recipe["shards"] = {"heldout_fraction": 0.2}
    with pytest.raises(RecipeError, match="Name the text column with text_column"):
        prepare(DataConfig.model_validate(recipe))
    source["text_column"] = "text"
    assert prepare(DataConfig.model_validate(recipe))


def test_a_source_cannot_leave_its_folder() -> None:
    with pytest.raises(ValueError):
        SourceConfig(name="..", path="x", language="ko", licence="none")


def test_a_base_that_names_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: a.yaml\n")
    with pytest.raises(RecipeError, match="a.yaml"):
        read_yaml(tmp_path / "a.yaml")


def test_a_yaml_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("이름: 값\n".encode("euc-kr"))
    with pytest.raises(RecipeError, match="a.yaml"):
        read_yaml(tmp_path / "a.yaml")


def test_a_key_given_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("output_dir: a\noutput_dir: b\n")
    with pytest.raises(RecipeError, match="output_dir"):
        read_yaml(tmp_path / "a.yaml")


def test_a_file_with_brackets_in_its_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "a[1].jsonl").write_bytes(jsonl(["x"]))
    assert list(read_texts(str(tmp_path / "a[1].jsonl"))) == ["x"]


def test_a_folder_named_like_a_file_is_entered(tmp_path: Path) -> None:
    # Spark writes `out.parquet/part-0.parquet`.
    (tmp_path / "out.jsonl").mkdir()
    (tmp_path / "out.jsonl" / "part-0.jsonl").write_bytes(jsonl(["x"]))
    assert list(read_texts(str(tmp_path))) == ["x"]


def test_verify_does_not_pass_over_unfinished_data(data_dir: Path, tmp_path: Path) -> None:
    import argparse

    from data_recipes.prepare.prepare import verify

    shutil.copytree(data_dir / "shards", tmp_path / "shards")
    (tmp_path / "shards" / "web_ko" / "train" / "manifest.json").unlink()
    with pytest.raises(RecipeError, match="web_ko"):
        verify(argparse.Namespace(shards=tmp_path / "shards"))


def test_infinite_weight_is_an_error(tmp_path: Path) -> None:
    write_data_set(tmp_path / "a" / "train", [[[1] * 100]])
    with pytest.raises(RecipeError):
        Mixture(tmp_path, {"a": float("inf")}, 1, seed=3)


def test_the_same_folder_by_another_path_is_the_same(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_in(data_dir, Path("d")) | {"corpus": {"megabytes": 1.0}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    monkeypatch.chdir(tmp_path)
    prepare(load_config(tmp_path / "recipe.yaml", DataConfig, []))
    prepare(load_config(tmp_path / "recipe.yaml", DataConfig, [f"output_dir={tmp_path / 'd'}"]))
