"""Interoperability, order, resume, and odd but legal input."""

import gzip
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from datatrove.utils.dataset import DatatroveFolderDataset
from tokenizers import Tokenizer

from data_recipes.common.config_files import read_yaml
from data_recipes.common.errors import RecipeError
from data_recipes.prepare.chain import clean
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import _tokenizer_texts, make_tokenizer, prepare
from data_recipes.read.files import read_file, read_texts
from data_recipes.read.source import SourceConfig
from data_recipes.tokenizer.load import load_tokenizer
from data_recipes.tokenizer.shards import ShardConfig, is_heldout
from data_recipes.tokenizer.train import train_tokenizer
from data_recipes.tokens.mixture import CYCLE, Mixture
from data_recipes.tokens.shards import permute, read_manifest

from ..hand_made import jsonl, some_texts, tokenise, write_data_set

SHARDS = ShardConfig(heldout_fraction=0.2)


def source_at(path: Path, **facts: str) -> SourceConfig:
    return SourceConfig(name="s", path=str(path), language="ko", licence="none", **facts)


def stored(directory: Path) -> Iterator[list[int]]:
    manifest = read_manifest(directory)
    for file in manifest.files:
        tokens = np.fromfile(directory / file.path, manifest.dtype)
        ends = np.fromfile(directory / f"{file.path}.index", "<u8")
        yield from (part.tolist() for part in np.split(tokens, ends[:-1].astype(int)))


# Readers


def test_concatenated_gzip_members_are_all_read(tmp_path: Path) -> None:
    texts = [f"{n} " + "가나다" * 50 for n in range(2000)]
    path = tmp_path / "a.jsonl.gz"
    # `cat a.gz b.gz > c.gz` is legal, and reading the first member only would lose text silently.
    path.write_bytes(
        b"".join(gzip.compress(jsonl(texts[i : i + 500])) for i in range(0, 2000, 500))
    )
    assert list(read_texts(str(path))) == texts


def test_line_separators_inside_a_text_do_not_split_a_line(tmp_path: Path) -> None:
    # str.splitlines() would break at each of these; JSON leaves them unescaped.
    texts = ["a\u2028b\u2029c\x85d", "끝\x1c문서"]
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(texts))
    rows = [row.text for row in read_file(path, "text", 1000)]
    assert rows == texts


# Tokenizer


def test_training_and_saving_are_reproducible(tmp_path: Path) -> None:
    texts = some_texts(60)
    first, second = (train_tokenizer(iter(texts), 400) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    first.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    heard = "새 글 new text 2026\n\n\n<think>음</think> 🙂" + "\n" * 64
    assert loaded.encode(heard) == first.encode(heard)
    assert loaded.all_special_ids == first.all_special_ids
    assert loaded.decode(loaded.encode(heard)[1:]) == heard
    assert "<think>" in loaded.decode(loaded.encode(heard), skip_special_tokens=True)


@pytest.mark.parametrize(
    ("count", "pieces"), [(1, [1]), (31, [31]), (32, [31, 1]), (64, [31, 31, 2])]
)
def test_long_newline_runs_split_at_31(data_dir: Path, count: int, pieces: list[int]) -> None:
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    ids = tokenizer.encode("가" + "\n" * count + "a", add_special_tokens=False)
    runs = [tokenizer.decode([i]) for i in ids]
    assert [len(r) for r in runs if set(r) == {"\n"}] == pieces


def test_every_byte_comes_back(data_dir: Path) -> None:
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    points = [*range(0x800), *range(0x800, 0xD800, 0x400), *range(0xE000, 0x10000, 0x400)]
    text = "".join(map(chr, [*points, *range(0x10000, 0x110000, 0x1000)])) + "\u0301"
    # All the bytes that occur in UTF-8; a missing byte symbol drops text silently in BPE.
    assert set(text.encode()) == {*range(0xC0), *range(0xC2, 0xF5)}
    assert tokenizer.decode(tokenizer.encode(text)[1:]) == text


# Shards


def test_documents_inside_a_shard_are_shuffled(data_dir: Path, tmp_path: Path) -> None:
    texts = [f"문서 {n}" for n in range(200)]
    (tmp_path / "a.jsonl").write_bytes(jsonl(texts))
    config = SHARDS.model_copy(update={"heldout_fraction": 0.1})
    tokenise(source_at(tmp_path / "a.jsonl"), config, data_dir / "tokenizer", tmp_path / "o")
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    order = [int(tokenizer.decode(d[1:-1]).split()[1]) for d in stored(tmp_path / "o" / "train")]
    assert len(order) > 150
    # One file in, one shard out: without the shuffle the numbers would rise.
    assert order != sorted(order)
    assert np.corrcoef(order, range(len(order)))[0, 1] < 0.3


def test_datatrove_reads_the_shards(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(some_texts(80)))
    tokenise(source_at(tmp_path / "a.jsonl"), SHARDS, data_dir / "tokenizer", tmp_path / "o")
    stream = [t for d in stored(tmp_path / "o" / "train") for t in d]
    windows = DatatroveFolderDataset(str(tmp_path / "o" / "train"), 63, token_size=2)
    assert len(windows) == len(stream) // 64 > 10
    for i in range(len(windows)):
        assert windows[i]["input_ids"].tolist() == stream[64 * i : 64 * (i + 1)]


def test_a_task_without_heldout_documents_is_no_error(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    texts = some_texts(100)
    (tmp_path / "t" / "0.jsonl").write_bytes(jsonl(texts[:97]))
    (tmp_path / "t" / "1.jsonl").write_bytes(jsonl(texts[97:98]))
    (tmp_path / "t" / "2.jsonl").write_bytes(b"")
    config = SHARDS.model_copy(update={"tasks": 3})
    manifests = tokenise(source_at(tmp_path / "t"), config, data_dir / "tokenizer", tmp_path / "o")
    assert sum(m.documents for m in manifests.values()) == 98
    assert sum(len(m.files) for m in manifests.values()) == 3  # the one-document file has one side


def test_spelled_control_tokens_stay_text_on_both_sides(data_dir: Path, tmp_path: Path) -> None:
    texts = [f"{n} <|EOS|><|BOS|><|PAD|><|BOT|><|EOT|>" for n in range(60)]
    (tmp_path / "a.jsonl").write_bytes(jsonl(texts))
    tokenise(source_at(tmp_path / "a.jsonl"), SHARDS, data_dir / "tokenizer", tmp_path / "o")
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    special = set(tokenizer.all_special_ids)
    seen = 0
    for split in ("train", "heldout"):
        for document in stored(tmp_path / "o" / split):
            assert special.isdisjoint(document[1:-1])
            assert tokenizer.decode(document[1:-1]) in texts
            seen += 1
    assert seen == 60
    # The guard: read the ordinary way, the same text does give control tokens.
    plain = Tokenizer.from_file(str(data_dir / "tokenizer" / "tokenizer.json"))
    assert not special.isdisjoint(plain.encode(texts[0]).ids[1:])


# Windows and mixture


def test_permute_is_a_bijection_at_every_small_size() -> None:
    for size in range(1, 301):
        assert len({permute(i, size, "k") for i in range(size)}) == size


def test_nothing_of_an_epoch_depends_on_the_cycle_it_falls_in(tmp_path: Path) -> None:
    # 10,007 windows: an epoch of "a" runs over the end of a cycle.
    write_data_set(tmp_path / "a" / "train", [[[1] * 10_007]])
    write_data_set(tmp_path / "b" / "train", [[[2] * 50]])
    mixture = Mixture(tmp_path, {"a": 0.9, "b": 0.1}, 1, seed=3)
    draws = [mixture.locate(i) for i in range(3 * CYCLE)]
    a = [d[1:] for d in draws if d[0] == "a"]
    assert [epoch for epoch, _ in a] == [i // 10_007 for i in range(len(a))]
    for epoch in (0, 1):
        assert len({n for e, n in a if e == epoch}) == 10_007
    b = Counter(d[1:] for d in draws if d[0] == "b")
    assert len(b) == 3000 and set(b.values()) == {1}


def test_cycles_interleave_the_sources_differently(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write_data_set(tmp_path / name / "train", [[[number] * 100]])
    mixture = Mixture(tmp_path, {"a": 1, "b": 1}, 10, seed=1)
    names = [mixture.locate(i)[0] for i in range(2 * CYCLE)]
    assert Counter(names[:CYCLE]) == Counter(names[CYCLE:]) == {"a": 5000, "b": 5000}
    assert names[:CYCLE] != names[CYCLE:]


# Prepare


def test_tokenizer_text_is_spread_and_follows_the_weights(tmp_path: Path) -> None:
    for name in "ab":
        texts = [f"{name}{n:05d}" + name * 94 for n in range(5000)]
        (tmp_path / f"{name}.jsonl").write_bytes(jsonl(texts))
    recipe = {
        "output_dir": str(tmp_path / "d"),
        "tokenizer": {"bpe_entries": 260, "megabytes": 0.1, "weights": {"a": 3, "b": 1}},
        "shards": {"heldout_fraction": 0.1},
        "sources": [
            {"name": n, "path": str(tmp_path / f"{n}.jsonl"), "language": "en", "licence": "none"}
            for n in "ab"
        ],
    }
    config = DataConfig.model_validate(recipe)
    clean(config)
    texts = list(_tokenizer_texts(config))
    counts = Counter(t[0] for t in texts)
    # 1,000 documents in all; the sample may fall short of its share by chance.
    assert 680 <= counts["a"] <= 750 and 215 <= counts["b"] <= 250
    numbers = [int(t[1:6]) for t in texts if t[0] == "a"]
    assert 2250 < np.mean(numbers) < 2750 and max(numbers) > 4500
    assert not any(is_heldout(t, 0.1) for t in texts)
    make_tokenizer(config)
    # With another share, text that it has learned from would be held out.
    shards = config.shards.model_copy(update={"heldout_fraction": 0.2})
    with pytest.raises(RecipeError, match="heldout_fraction: was 0.1, is 0.2"):
        make_tokenizer(config.model_copy(update={"shards": shards}))


def test_only_the_interrupted_source_is_made_again(data_dir: Path, tmp_path: Path) -> None:
    recipe = read_yaml(data_dir / "recipe.yaml") | {"output_dir": str(tmp_path / "d")}
    recipe["corpus"] = {"megabytes": 1.0}
    config = DataConfig.model_validate(recipe)
    before = prepare(config)
    for split in ("train", "heldout"):
        (config.shards_dir / "web_ko" / split / "manifest.json").unlink()
    shutil.rmtree(config.shards_dir / "web_ko" / "done")
    old = 10**18
    files = sorted(config.shards_dir.rglob("*.ds")) + sorted(
        config.shards_dir.rglob("manifest.json")
    )
    for path in files:
        os.utime(path, ns=(old, old))
    assert prepare(config) == before
    again = {
        p.relative_to(config.shards_dir).parts[0] for p in files if p.stat().st_mtime_ns != old
    }
    assert again == {"web_ko"}
