"""The contamination report finds planted items at every stage of a lineage, and no others."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.tokenizer.shards import is_heldout
from data_recipes.tokens.mixture import Mixture
from data_recipes.tokens.shards import TokenSource, read_manifest
from eval.contamination.__main__ import main
from eval.contamination.items import from_data_dir, sets_of_suite
from eval.contamination.lineage import history
from eval.local_model import load_tokenizer

# Words in a row that no document has: "item3word0 item3word1 …".
ITEMS = [" ".join(f"item{item}word{n}" for n in range(20)) for item in range(6)]
IN_STAGE1, IN_STAGE2, IN_BOTH, IN_CHAT, NOWHERE, IN_HALF = range(6)


def document(source: str, number: int, planted: str = "") -> str:
    own = " ".join(f"{source} tells{number} many{n} stories about{number % 7}" for n in range(12))
    return f"{own}. {planted.upper()}! {own}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two stages on shards and a chat stage were trained, the last from the one before it."""
    root = tmp_path_factory.mktemp("trained")
    planted = {
        "one": {3: ITEMS[IN_STAGE1], 8: ITEMS[IN_BOTH], 10: ITEMS[IN_BOTH]},
        # Ten words of the item only: less than an n-gram.
        "two": {5: ITEMS[IN_STAGE2], 11: " ".join(ITEMS[IN_HALF].split()[:10])},
    }
    recipe: dict[str, Any] = {
        "output_dir": str(root / "data"),
        "tokenizer": {"bpe_entries": 280, "megabytes": 0.02, "weights": {"one": 1, "two": 1}},
        "shards": {"heldout_fraction": 0.1},
        "sources": [],
    }
    for source, items in planted.items():
        path = root / f"{source}.jsonl"
        rows = [{"text": document(source, n, items.get(n, ""))} for n in range(40)]
        assert not any(is_heldout(rows[n]["text"], 0.1) for n in items)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        facts = {"language": "en", "licence": "Apache-2.0", "synthesizer": "test"}
        recipe["sources"].append({"name": source, "path": str(path), **facts})
    prepare(DataConfig.model_validate(recipe))
    for source in planted:
        manifest = read_manifest(root / "data" / "shards" / source / "train")
        assert manifest.documents > 30
    chats = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}]}
        for text in ("Hello.", f"Well, {ITEMS[IN_CHAT]}.", ITEMS[IN_BOTH])
    ]
    (root / "chats.jsonl").write_text("".join(json.dumps(c) + "\n" for c in chats), "utf-8")
    shards = {"shards": "data/shards", "seed": 1, "packing": "concat"}
    source = {"path": "chats.jsonl", "max_rows": None}
    parent = None
    for stage, data in (
        ("stage1", {**shards, "mixture": {"one": 1.0}}),
        ("stage2", {**shards, "mixture": {"one": 0.5, "two": 0.5}}),
        ("sft", {"sources": [source]}),
    ):
        parent = write_stage(root, stage, data, parent)
    return root


def write_stage(root: Path, stage: str, data: dict[str, Any], parent: str | None) -> str:
    final = root / "runs" / stage / "final"
    final.mkdir(parents=True)
    for file in (root / "data" / "tokenizer").iterdir():
        (final / file.name).write_bytes(file.read_bytes())
    fingerprint = "rows"
    if "mixture" in data:
        fingerprint = Mixture(root / data["shards"], data["mixture"], 32, 1).fingerprint
    recipe = {"data": data, "batch": {"sequence_length": 32}}
    (final / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    above = json.loads((root / parent / "lineage.json").read_text("utf-8")) if parent else None
    lineage = {
        "stage": stage,
        "parent": parent,
        "parent_lineage": above,
        "data_fingerprint": fingerprint,
    }
    (final / "lineage.json").write_text(json.dumps(lineage), encoding="utf-8")
    return str(final.relative_to(root))


def report(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> dict[str, Any]:
    items = out.parent / "quiz.jsonl"
    items.write_text("".join(json.dumps({"question": i}) + "\n" for i in ITEMS), "utf-8")
    command = ["x", "--model", str(root / "runs/sft/final"), "--root", str(root), "--out", str(out)]
    monkeypatch.setattr("sys.argv", [*command, "--items", str(items), *arguments])
    main()
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_planted_items_are_found_where_they_stand(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = report(root, tmp_path / "out", monkeypatch)
    quiz = found["tasks"]["quiz"]
    assert quiz["items"] == quiz["items_searchable"] == 6
    assert {item: entry["stages"] for item, entry in quiz["overlapping"].items()} == {
        str(IN_STAGE1): ["stage1", "stage2"],
        str(IN_STAGE2): ["stage2"],
        str(IN_BOTH): ["stage1", "stage2", "sft"],
        str(IN_CHAT): ["sft"],
    }
    assert quiz["by_stage"] == {"stage1": 2, "stage2": 3, "sft": 2}
    both = quiz["overlapping"][str(IN_BOTH)]["where"]
    one, chats = str(root / "data/shards/one/train"), str(root / "chats.jsonl")
    assert both[one]["documents"] == 2 and both[chats]["documents"] == 1
    assert both[chats]["named"][0]["document"] == "chats.jsonl:3"
    assert both[chats]["named"][0]["text"] == " ".join(ITEMS[IN_BOTH].split()[:13])
    # The number leads to the document: `inspect --shards` counts the same way.
    source = TokenSource(root / "data/shards/one/train")
    number = int(both[one]["named"][0]["document"].removeprefix("document "))
    starts, lengths = next(source.document_blocks(100))
    ids = source.tokens_at(int(starts[number]), int(lengths[number]))
    text = load_tokenizer(str(root / "data/tokenizer")).decode(ids)
    assert "ITEM2WORD0 ITEM2WORD1" in text
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| quiz | 6 | 6 | 4 | 66.67% | 2 | 3 | 2 |" in page and "chats.jsonl:2" in page


def test_what_was_read_is_not_read_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = report(root, out, monkeypatch)
    read = sorted((out / "corpora").iterdir())
    assert len(read) == 3
    read[0].unlink()
    times = [path.stat().st_mtime_ns for path in read[1:]]
    assert report(root, out, monkeypatch) == first
    assert [path.stat().st_mtime_ns for path in read[1:]] == times and read[0].is_file()


def test_rows_that_have_changed_are_read_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = root / "chats.jsonl"
    before = chats.read_bytes()
    assert (
        str(NOWHERE)
        not in report(root, tmp_path / "out", monkeypatch)["tasks"]["quiz"]["overlapping"]
    )
    try:
        row = {"prompt": "What?", "completion": ITEMS[NOWHERE]}
        chats.write_bytes(before + json.dumps(row).encode())
        found = report(root, tmp_path / "out", monkeypatch)["tasks"]["quiz"]["overlapping"]
    finally:
        chats.write_bytes(before)
    assert found[str(NOWHERE)]["stages"] == ["sft"]


def test_what_cannot_be_searched_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="--root"):
        history(root / "runs/sft/final", tmp_path)
    with pytest.raises(RecipeError, match="final/"):
        history(tmp_path, root)
    with pytest.raises(RecipeError, match="no column 'choices'"):
        report(root, tmp_path / "out", monkeypatch, "--columns", "choices")
    # Other shards than those of the lineage.
    final = root / "runs/stage2/final"
    lineage = (final / "lineage.json").read_text(encoding="utf-8")
    try:
        other = json.loads(lineage) | {"data_fingerprint": "other"}
        (final / "lineage.json").write_text(json.dumps(other), encoding="utf-8")
        with pytest.raises(RecipeError, match="made again since"):
            report(root, tmp_path / "out2", monkeypatch)
    finally:
        (final / "lineage.json").write_text(lineage, encoding="utf-8")


def test_a_parent_from_elsewhere_is_named(root: Path, tmp_path: Path) -> None:
    final = tmp_path / "final"
    final.mkdir()
    lineage = {"stage": "sft", "parent": "Qwen/Qwen3-8B", "parent_lineage": None}
    text = json.dumps({**lineage, "data_fingerprint": "rows"})
    (final / "lineage.json").write_text(text, encoding="utf-8")
    (final / "recipe.yaml").write_text("data: {sources: []}", encoding="utf-8")
    stages, unknown = history(final, tmp_path)
    assert [stage.name for stage in stages] == ["sft"] and unknown == "Qwen/Qwen3-8B"


def test_the_suites_of_the_card_have_their_texts_listed(tmp_path: Path) -> None:
    korean = sets_of_suite("ko")
    assert {own.task for own in korean} >= {"kmmlu", "kobest", "haerae", "click"}
    assert len(sets_of_suite("en")) >= 14
    with pytest.raises(RecipeError, match="eval.local_data"):
        from_data_dir(korean, tmp_path)
    for own in korean:
        for path in own.paths:
            name, _, options = path.removeprefix("hub://").partition(":")
            config, _, split = options.partition(":")
            folder = tmp_path / name / (config or "default")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{split}.jsonl").touch()
    assert all(Path(p).is_file() for own in from_data_dir(korean, tmp_path) for p in own.paths)
