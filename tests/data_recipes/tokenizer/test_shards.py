"""Shards hold every document once, whole, on one side."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datatrove.data import Document
from tokenizers import Tokenizer

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file
from data_recipes.read.source import SourceConfig
from data_recipes.tokenizer import shards
from data_recipes.tokenizer.load import load_tokenizer
from data_recipes.tokenizer.shards import ShardConfig
from data_recipes.tokens.shards import read_manifest
from data_recipes.toy import documents

from ..hand_made import jsonl, tokenise

CONFIG = ShardConfig(heldout_fraction=0.1, tasks=2)


def write_source(directory: Path) -> tuple[SourceConfig, list[str]]:
    stream = documents("web", "ko", 5)
    texts = [next(stream) for _ in range(120)]
    texts += texts[:20]  # copies must land on the side of their originals
    texts += ["It ends here. <|EOS|> Or does it? <|BOS|>"] * 3
    directory.mkdir(exist_ok=True)
    for number, part in enumerate((texts[::2], texts[1::2])):
        lines = [json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in part]
        (directory / f"{number}.jsonl").write_text("".join(lines), encoding="utf-8")
    source = SourceConfig(name="web", path=str(directory), language="ko", licence="none")
    return source, texts


def stored(directory: Path) -> list[tuple[int, ...]]:
    manifest = read_manifest(directory)
    found = []
    for file in manifest.files:
        tokens = np.fromfile(directory / file.path, manifest.dtype)
        ends = np.fromfile(directory / f"{file.path}.index", "<u8")
        found += [tuple(part.tolist()) for part in np.split(tokens, ends[:-1].astype(int))]
    return found


def test_documents_are_encoded_split_and_counted(data_dir: Path, tmp_path: Path) -> None:
    source, texts = write_source(tmp_path / "text")
    tokenizer_dir = data_dir / "tokenizer"
    manifests = tokenise(source, CONFIG, tokenizer_dir, tmp_path / "out")
    sides = {split: stored(tmp_path / "out" / split) for split in ("train", "heldout")}

    tokenizer = load_tokenizer(tokenizer_dir)
    backend = Tokenizer.from_file(str(tokenizer_dir / "tokenizer.json"))
    backend.encode_special_tokens = True
    expected = Counter((*backend.encode(t).ids, tokenizer.eos_token_id) for t in texts)
    assert Counter(sides["train"]) + Counter(sides["heldout"]) == expected
    assert not set(sides["train"]) & set(sides["heldout"])
    assert 2 < len(set(sides["heldout"])) < 40
    for document in expected:
        # Control tokens spelled in the text stay text.
        assert document.count(tokenizer.eos_token_id) == 1
        assert document.count(tokenizer.bos_token_id) == 1
    for split, manifest in manifests.items():
        assert manifest.documents == len(sides[split])
        assert manifest.tokens == sum(map(len, sides[split]))
        assert manifest.dtype == "<u2" and len(manifest.files) == 2
        file = manifest.files[0]
        assert file.sha256 == sha256_file(tmp_path / "out" / split / file.path)


def test_order_is_reproducible(data_dir: Path, tmp_path: Path) -> None:
    source, _ = write_source(tmp_path / "text")
    runs = [
        tokenise(source, CONFIG, data_dir / "tokenizer", tmp_path / name)["train"]
        for name in ("a", "b")
    ]
    assert runs[0].fingerprint == runs[1].fingerprint


def test_second_call_keeps_and_other_settings_refuse(data_dir: Path, tmp_path: Path) -> None:
    source, _ = write_source(tmp_path / "text")
    arguments = (data_dir / "tokenizer", tmp_path / "out")
    tokenise(source, CONFIG, *arguments)
    manifest = tmp_path / "out" / "train" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    tokenise(source, CONFIG, *arguments)
    assert manifest.stat().st_mtime_ns == before
    with pytest.raises(RecipeError, match="other settings"):
        tokenise(source, CONFIG.model_copy(update={"seed": 1}), *arguments)


def test_unfinished_shards_are_finished(data_dir: Path, tmp_path: Path) -> None:
    source, _ = write_source(tmp_path / "text")
    arguments = (data_dir / "tokenizer", tmp_path / "out")
    whole = tokenise(source, CONFIG, *arguments)["train"]
    # What a kill in the second task leaves: no manifests, one completion mark, a part file.
    for split in ("train", "heldout"):
        (tmp_path / "out" / split / "manifest.json").unlink()
    (tmp_path / "out" / "done" / "train-00001").unlink()
    (tmp_path / "out" / "train" / "00001_unshuffled.ds").write_bytes(b"\1\2")
    assert tokenise(source, CONFIG, *arguments)["train"].fingerprint == whole.fingerprint


def test_an_empty_source_is_refused(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text('{"text": " "}\n')
    source = SourceConfig(name="empty", path=str(path), language="ko", licence="none")
    with pytest.raises(RecipeError, match="no documents .* 'empty'"):
        tokenise(source, CONFIG, data_dir / "tokenizer", tmp_path / "out")


@pytest.mark.parametrize("template", [None, "{text}"])
def test_markup_is_tokens_only_where_a_template_declares_it(
    data_dir: Path, tmp_path: Path, template: str | None
) -> None:
    texts = ["A page about <think> and </think>, <tool_call> too."] * 1 + [
        f"Page {n}\n\nmore text\n" for n in range(60)
    ]
    (tmp_path / "t.jsonl").write_bytes(jsonl(texts))
    source = SourceConfig(
        name="web", path=str(tmp_path / "t.jsonl"), language="en", licence="none", template=template
    )
    config = ShardConfig(heldout_fraction=0.2)
    tokenise(source, config, data_dir / "tokenizer", tmp_path / "out")
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    markup = {tokenizer.get_added_vocab()[t] for t in ("<think>", "</think>", "<tool_call>")}
    split = [stored(tmp_path / "out" / name) for name in ("train", "heldout")]
    documents = [document for side in split for document in side]
    found = [d for d in documents if "tool_call" in tokenizer.decode(d)]
    assert len(documents) == 61 and len(found) == 1
    assert tokenizer.decode(found[0], skip_special_tokens=True) == texts[0]
    assert (markup <= set(found[0])) == (template is not None)
    assert template is not None or not markup & set(found[0])
    # Runs of newlines are one token either way.
    newlines = tokenizer.get_added_vocab()["\n\n"]
    assert sum(newlines in d for d in documents) == 60


def test_documents_are_encoded_by_size_not_by_number() -> None:
    def batch_sizes(texts: list[str]) -> list[int]:
        return [len(b) for b in shards._batches(Document(text=t, id="") for t in texts)]

    assert batch_sizes(["x" * 400_000] * 7) == [3, 3, 1]
    assert batch_sizes(["x"] * 5) == [5] and batch_sizes([]) == []
    assert batch_sizes(["x" * 3_000_000, "x"]) == [1, 1]
