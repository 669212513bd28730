"""What the study measures, and that no variant saw what it is measured on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data_recipes.common.errors import RecipeError
from data_recipes.engine.documents import read_batches
from data_recipes.engine.steps import StepFolder
from data_recipes.tokenizer.measures import measure, renyi_efficiency
from data_recipes.tokenizer.shards import is_heldout
from data_recipes.tokenizer.study import StudyConfig, study, write_results
from data_recipes.tokenizer.train import spread_texts
from data_recipes.toy import CorpusConfig

from ..hand_made import jsonl, some_texts, write_shards_of


def word_level() -> PreTrainedTokenizerFast:
    """Another kind of tokenizer: whole words, lossy, no bytes in it."""
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "가": 3}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", bos_token="a")


def test_measures_by_hand() -> None:
    found = measure(word_level(), ["a a b", "가 가나다 a"])
    assert (found.documents, found.words, found.tokens, found.characters) == (2, 6, 6, 12)
    assert found.bytes == 5 + 3 + 1 + 9 + 2
    assert found.bytes_per_token == found.bytes / 6 and found.tokens_per_word == 1
    assert found.entries_used == 1  # 3 x a, 1 x b, 1 x 가, 1 x [UNK]
    shares = np.array([3, 1, 1, 1]) / 6
    by_hand = np.log((shares**2.5).sum()) / -1.5 / np.log(4)
    assert found.renyi_efficiency == pytest.approx(by_hand)
    with pytest.raises(ValueError):
        measure(word_level(), [])


def test_renyi_of_an_even_distribution_is_one() -> None:
    assert renyi_efficiency(np.ones(64), 64) == pytest.approx(1)
    assert renyi_efficiency(np.array([10]), 64) == pytest.approx(0)
    # Entries that are never used cost efficiency.
    assert renyi_efficiency(np.ones(64), 4096) == pytest.approx(0.5)


def test_long_documents_are_drawn_from_in_pieces(tmp_path: Path) -> None:
    long = "".join(f"줄 {n} " + "가" * 40 + "\n" for n in range(20_000))
    folder = write_shards_of(tmp_path / "s", [[long]])
    size = len(long.encode())
    texts = list(spread_texts(folder, size / 4, 1e-9))
    assert 0.1 * size < sum(len(t.encode()) for t in texts) < 0.3 * size
    assert len(texts) > 3 and all(t in long for t in texts)


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    (tmp_path / "a.jsonl").write_bytes(jsonl(some_texts(400, seed=1)))
    (tmp_path / "b.jsonl").write_bytes(jsonl(some_texts(400, seed=2)))
    source = {"licence": "none", "language": "ko"}
    return StudyConfig.model_validate(
        {
            "output_dir": tmp_path / "out",
            "sources": [
                {"name": "a", "path": str(tmp_path / "a.jsonl"), "kind": "web", **source},
                {"name": "b", "path": str(tmp_path / "b.jsonl"), "kind": "synthetic", **source},
            ],
            "corpora": {"A": {"a": 1}, "AB": {"a": 1, "b": 1}},
            "sizes": [300, 500],
            "megabytes": 0.1,
            "heldout_fraction": 0.2,
        }
    )


def test_every_variant_is_trained_measured_and_kept(config: StudyConfig) -> None:
    results = study(config)
    assert list(results) == ["A-300", "A-500", "AB-300", "AB-500"]
    for measures in results.values():
        assert measures["a"].documents == results["A-300"]["a"].documents > 20
    # More entries compress better, and so does text like that trained on.
    assert results["A-500"]["a"].bytes_per_token > results["A-300"]["a"].bytes_per_token
    write_results(config, results)
    assert {p.name for p in config.output_dir.glob("study.*")} == {
        "study.json",
        "study.csv",
        "study.html",
        "study.md",
        "study.png",
    }
    rows = json.loads((config.output_dir / "study.json").read_text())
    assert len(rows) == 8 and rows[0]["kind"] == "web"
    text = (config.output_dir / "study.md").read_text()
    assert text.count("\n| A") == 4 and "](study.png)" in text

    variants = config.output_dir / "variants"
    times = {p: p.stat().st_mtime_ns for p in variants.rglob("tokenizer.json")}
    victim = variants / "AB-500"
    shutil.rmtree(victim)
    (variants / "AB-500.tmp").mkdir()  # what a killed training leaves
    assert study(config) == results
    for path, time in times.items():
        assert (path.stat().st_mtime_ns == time) == (path.parent != victim)
    with pytest.raises(RecipeError, match="A-300: trained with other settings"):
        study(config.model_copy(update={"megabytes": 0.09}))


def test_another_corpus_is_not_passed_over(config: StudyConfig) -> None:
    """It was, and the study said that its numbers were of the corpus that was asked for."""
    source = config.sources[0].model_copy(update={"path": "{output_dir}/text/web_ko.jsonl"})
    small = {"sources": [source], "corpora": {"A": {"a": 1}}, "sizes": [300], "megabytes": 0.05}
    own = config.model_copy(update=small | {"corpus": CorpusConfig(megabytes=1)})
    study(own)
    assert study(own)  # the same is kept
    with pytest.raises(RecipeError, match="other settings .sources."):
        study(own.model_copy(update={"corpus": CorpusConfig(megabytes=1, seed=9)}))


def test_what_is_measured_on_was_never_trained_on(config: StudyConfig) -> None:
    study(config)
    folder = StepFolder(config.output_dir / "read" / "a")
    texts = [t for b in read_batches(folder.kept("00000-00000")) for t in b["text"].to_pylist()]
    heldout = {t for t in texts if is_heldout(t, 0.2)}
    assert len(heldout) > 20
    assert not heldout & set(spread_texts(folder, 1e9, 0.2))
    assert set(spread_texts(folder, 1e9, 0.2)) == set(texts) - heldout


def test_mistakes_are_named(config: StudyConfig, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="wants 5.0 MB of a, which has 0"):
        study(config.model_copy(update={"megabytes": 5.0}))
    with pytest.raises(RecipeError, match="references: .*nowhere"):
        study(config.model_copy(update={"references": [str(tmp_path / "nowhere")]}))
    with pytest.raises(ValueError, match="unknown sources: c"):
        StudyConfig.model_validate(config.model_dump() | {"corpora": {"C": {"c": 1}}})
