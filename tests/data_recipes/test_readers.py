"""Every source kind gives the same texts; what is broken is named."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data_recipes.errors import RecipeError
from data_recipes.readers import read_texts

from .hand_made import jsonl

TEXTS = ["첫 문서입니다.\n둘째 줄.", "A second document — with a dash.", "3,000원 🙂"]


def write_all_kinds(directory: Path) -> list[Path]:
    plain, packed, frozen = (directory / f"a.jsonl{s}" for s in ("", ".gz", ".zst"))
    plain.write_bytes(jsonl(TEXTS))
    packed.write_bytes(gzip.compress(jsonl(TEXTS)))
    frozen.write_bytes(zstandard.compress(jsonl(TEXTS)))
    table = directory / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS, "other": [1, 2, 3]}), table)
    return [plain, packed, frozen, table]


def test_all_kinds_give_the_same_texts(tmp_path: Path) -> None:
    for path in write_all_kinds(tmp_path):
        assert list(read_texts(str(path))) == TEXTS, path
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text(TEXTS[0], encoding="utf-8")
    assert list(read_texts(str(tmp_path / "sub"))) == TEXTS[:1]
    assert len(list(read_texts(str(tmp_path)))) == 4 * len(TEXTS) + 1
    assert len(list(read_texts(str(tmp_path / "*.jsonl*")))) == 3 * len(TEXTS)


def test_ranks_share_the_files_without_overlap(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(jsonl([f"document {number}"]))
    parts = [list(read_texts(str(tmp_path), rank=r, world_size=3)) for r in range(3)]
    assert sorted(t for part in parts for t in part) == [f"document {n}" for n in range(5)]
    assert all(parts)


def test_named_column_and_empty_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(["one", "  \n", "two"], column="content"))
    assert list(read_texts(str(path), "content")) == ["one", "two"]


BROKEN = {
    "a.jsonl": (jsonl(TEXTS, "body"), r"a\.jsonl, line 1: no column 'text'; columns are 'body'"),
    "b.jsonl": (jsonl(TEXTS) + b"{oops\n", r"b\.jsonl, line 4: not valid JSON"),
    "c.jsonl": (jsonl(TEXTS) + b'["list"]\n', r"c\.jsonl, line 4: expected a JSON object"),
    "d.jsonl": (b'{"text": 3}\n', r"d\.jsonl, line 1: column 'text' holds int"),
    "e.jsonl": (b'{"text": "\xb0\xa1"}\n', r"e\.jsonl: not UTF-8"),
    "f.jsonl.gz": (gzip.compress(jsonl(TEXTS * 99))[:-20], r"f\.jsonl\.gz: truncated"),
    "g.jsonl.gz": (jsonl(TEXTS), r"g\.jsonl\.gz: truncated or not of the type"),
    "h.jsonl.zst": (jsonl(TEXTS), r"h\.jsonl\.zst: truncated or not of the type"),
    "i.parquet": (jsonl(TEXTS), r"i\.parquet: truncated or not of the type"),
    "j.docx": (b"", "unknown file type"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_named(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        list(read_texts(str(tmp_path / name)))


def test_truncated_zst_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstandard.compress(jsonl(TEXTS * 999))[:-30])
    with pytest.raises(RecipeError, match="truncated"):
        list(read_texts(str(path)))


def test_missing_source_and_wrong_parquet_column(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        list(read_texts(str(tmp_path / "nowhere.jsonl")))
    write_all_kinds(tmp_path)
    with pytest.raises(RecipeError, match="no column 'body'; columns are 'text', 'other'"):
        list(read_texts(str(tmp_path / "a.parquet"), "body"))
