"""Pairs of texts, from rows to a trained stage."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.tokenizer.load import load_tokenizer
from data_recipes.tokens.shards import TokenSource
from tests.conftest import Stage


@pytest.fixture(scope="module")
def pairs_dir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the embedded corpus's parallel rows, by the tokenizer of the shared data."""
    output = tmp_path_factory.mktemp("pairs")
    facts = {"path": "{output_dir}/text/parallel.jsonl", "language": "en-ko", "licence": "none"}
    recipe = {
        "output_dir": str(output),
        "corpus": {"megabytes": 0.1, "parallel": 300},
        "tokenizer": {"path": str(data_dir / "tokenizer")},
        "shards": {"heldout_fraction": 0.1},
        "sources": [
            {"name": "translated", "pair": ["en", "ko"], **facts},
            {"name": "mixed", "pair": ["en", "other_ko"], **facts},
        ],
    }
    (output / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    prepare(DataConfig.model_validate(recipe))
    return output


def segments(directory: Path, tokenizer_dir: Path) -> list[tuple[str, str]]:
    """The two texts of each segment of a split."""
    tokenizer = load_tokenizer(tokenizer_dir)
    source = TokenSource(directory)
    found = []
    for starts, lengths in source.document_blocks(10_000):
        for start, length in zip(starts.tolist(), lengths.tolist()):
            ids = source.tokens_at(start, length)
            begins = np.flatnonzero(ids == tokenizer.bos_token_id)
            ends = np.flatnonzero(ids == tokenizer.eos_token_id)
            # BOS a EOS BOS b EOS
            assert [*begins, *ends] == [0, begins[1], begins[1] - 1, length - 1]
            found.append(tuple(tokenizer.decode(ids[b + 1 : e]) for b, e in zip(begins, ends)))
    return found


def test_rows_become_segments_of_two_documents(pairs_dir: Path) -> None:
    lines = (pairs_dir / "text" / "parallel.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    first: dict[str, dict[str, set[str]]] = {}
    for name, column in (("translated", "ko"), ("mixed", "other_ko")):
        wanted = {row["en"]: row[column] for row in rows}
        first[name] = {}
        for split in ("train", "heldout"):
            found = segments(pairs_dir / "shards" / name / split, pairs_dir / "tokenizer")
            forward = {a for a, b in found if wanted.get(a) == b}
            back = {b for a, b in found if wanted.get(b) == a}
            assert len(forward) + len(back) == len(found) and not forward & back
            first[name] |= {f"{split} forward": forward, f"{split} back": back}
        sizes = [len(texts) for texts in first[name].values()]
        assert sum(sizes) == len(rows) == 300 and 100 < sizes[0] < 170 and min(sizes) > 3
    # What is held out, and which language stands first, is the same with any second column.
    assert first["translated"] == first["mixed"]
    manifest = TokenSource(pairs_dir / "shards" / "translated" / "train").manifest
    assert manifest.pipeline["pair"] == ["en", "ko"] and manifest.documents > 200


def test_a_stage_trains_on_pairs(
    pairs_dir: Path, small_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    data = [
        f"data.recipe={pairs_dir / 'recipe.yaml'}",
        f"data.shards={pairs_dir / 'shards'}",
        "data.mixture={translated: 1}",
        "schedule.total_tokens=4096",
        "logging.eval_every_tokens=4096",
    ]
    losses = {}
    for arm in ("apart", "together"):
        small_stage(tmp_path / arm, *data, f"data.pairs={arm}").main()
        lines = (tmp_path / arm / "metrics.jsonl").read_text().splitlines()
        losses[arm] = [row["loss"] for row in map(json.loads, lines) if "loss" in row]
        assert len(losses[arm]) == 4
    assert losses["apart"] != losses["together"]
    stage = small_stage(tmp_path / "unsaid", *data)
    assert "set data.pairs" in stage.refusal()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deduplicate": {}}, "two languages"),
        ({"tokenizer": {"bpe_entries": 300, "megabytes": 1, "weights": {"p": 1}}}, "has pairs"),
    ],
)
def test_steps_that_see_one_text_refuse_pairs(change: dict[str, object], message: str) -> None:
    source = {"name": "p", "path": "p.jsonl", "pair": ["a", "b"], "language": "x", "licence": "n"}
    shards = {"heldout_fraction": 0.1}
    recipe = {"output_dir": "o", "sources": [source], "tokenizer": {"path": "t"}, "shards": shards}
    with pytest.raises((RecipeError, ValueError), match=message):
        DataConfig.model_validate(recipe | change)
