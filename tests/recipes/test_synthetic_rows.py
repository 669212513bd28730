"""Rows that language models wrote reach stage 2 with their synthesizers, which its guard names."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer

from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.synthesize.run import synthesize
from data_recipes.toy import documents
from recipes.engine.handover import read_lineage
from tests.conftest import SMALL, Stage
from tests.data_recipes.ask.model_server import ModelServer
from tests.data_recipes.hand_made import jsonl
from tests.data_recipes.synthesize.test_synthesize import load, write
from tests.random_model import random_model

_SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(write).running() as running:
        yield running


def test_stage2_trains_on_two_synthesizers_and_refuses_one(
    server: ModelServer, tmp_path: Path
) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    stream = documents("web", "ko", 2)
    (seeds / "0.jsonl").write_bytes(jsonl([next(stream) for _ in range(60)]))
    synthesize(load(server, seeds, tmp_path / "out"))
    recipe = {
        "output_dir": str(tmp_path / "data"),
        **yaml.safe_load((tmp_path / "out" / "sources.yaml").read_text()),
        "filter": {"profiles": {"ko": "ko_eojeol"}},
        "deduplicate": {"mode": "document", "threshold": 0.8},
        "tokenizer": {"bpe_entries": 600, "megabytes": 0.1, "weights": {"out_warm": 1}},
        "shards": {"heldout_fraction": 0.2},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    data = DataConfig.model_validate(recipe)
    prepare(data)
    tokenizer = AutoTokenizer.from_pretrained(data.tokenizer_dir)
    parent = random_model(tokenizer, 1280)
    parent.save_pretrained(tmp_path / "parent")
    tokenizer.save_pretrained(tmp_path / "parent")
    stage = Stage(
        "stage2",
        [
            *SMALL,
            *(f"model.shape.{name}={getattr(parent.config, name)}" for name in _SHAPE),
            f"model.init_from={tmp_path / 'parent'}",
            f"data.recipe={tmp_path / 'recipe.yaml'}",
            f"data.shards={data.shards_dir}",
            f"data.tokenizer={data.tokenizer_dir}",
            "data.heldout_tokens=128",
            "schedule.total_tokens=4096",
            "logging.eval_every_tokens=4096",
            f"logging.output_dir={tmp_path / 'run'}",
        ],
    )
    alone = stage.run("data.mixture={out_warm: 1}")
    assert alone.returncode != 0
    assert "all synthetic 'ko' text comes from 'warm'" in alone.stderr
    both = stage.run("data.mixture={out_warm: 0.6, out_cold: 0.4}")
    assert both.returncode == 0, both.stderr
    plan = [line.split() for line in both.stdout.splitlines() if line.startswith("out_")]
    assert [(line[0], line[-1]) for line in plan] == [("out_warm", "warm"), ("out_cold", "cold")]
    assert read_lineage(str(tmp_path / "run" / "final"))["tokens"] == 4096
