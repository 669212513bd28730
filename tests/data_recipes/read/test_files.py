"""Every kind of file gives the same texts; what is broken is set aside with its place."""

import gzip
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from warcio.warcwriter import WARCWriter

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import read_rows
from data_recipes.read.files import read_file, read_texts, resolve_files
from data_recipes.read.hub import read_hub
from data_recipes.read.rows import Row, SetAside

from ..hand_made import jsonl, some_texts
from .reading import LIMIT, TEXTS, read


def wet(texts: list[bytes], packed: bool = False) -> bytes:
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=packed)
    writer.write_record(writer.create_warcinfo_record("a.warc.wet", {"software": "test"}))
    for number, text in enumerate(texts):
        writer.write_record(
            writer.create_warc_record(
                f"https://example.org/{number}",
                "conversion",
                payload=io.BytesIO(text),
                warc_content_type="text/plain",
            )
        )
    return stream.getvalue()


def write_all_kinds(directory: Path) -> list[Path]:
    kinds = {
        "a.jsonl": jsonl(TEXTS),
        "a.jsonl.gz": gzip.compress(jsonl(TEXTS)),
        "a.jsonl.zst": zstandard.compress(jsonl(TEXTS)),
        "a.warc.wet": wet([t.encode() for t in TEXTS]),
        "a.warc.wet.gz": wet([t.encode() for t in TEXTS], packed=True),
    }
    for name, content in kinds.items():
        (directory / name).write_bytes(content)
    pq.write_table(pa.table({"text": TEXTS, "other": [1, 2, 3]}), directory / "a.parquet")
    return sorted(directory.iterdir())


def test_all_kinds_give_the_same_texts(tmp_path: Path) -> None:
    paths = write_all_kinds(tmp_path)
    assert len(paths) == 6
    for path in paths:
        rows, aside = read(path)
        assert [row.text for row in rows] == TEXTS, path
        assert aside == [] and len({row.place for row in rows}) == len(TEXTS)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_bytes((TEXTS[0] + "\r\n").encode())
    assert list(read_texts(str(tmp_path / "sub"))) == [TEXTS[0] + "\n"]
    assert len(list(read_texts(str(tmp_path)))) == 6 * len(TEXTS) + 1
    assert len(list(read_texts(str(tmp_path / "*.jsonl*")))) == 3 * len(TEXTS)


def test_other_fields_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    fields = {"url": "x", "n": 2**63, "list": [1, {"k": None}]}
    path.write_text(json.dumps({"text": "a", **fields}) + "\n")
    (row,), _ = read(path)
    assert json.loads(row.metadata) == fields
    pq.write_table(pa.table({"text": ["a"], "other": [7]}), tmp_path / "a.parquet")
    (row,), _ = read(tmp_path / "a.parquet")
    assert json.loads(row.metadata) == {"other": 7}
    (tmp_path / "a.warc.wet").write_bytes(wet([b"page"]))
    (row,), _ = read(tmp_path / "a.warc.wet")
    assert json.loads(row.metadata) == {"url": "https://example.org/0"}


def test_broken_records_of_an_archive_of_web_text(tmp_path: Path) -> None:
    content = wet([b"fine", b"\xb0\xa1", b"x" * 2000, b" ", b"good"])
    (tmp_path / "a.warc.wet").write_bytes(content)
    rows, aside = read(tmp_path / "a.warc.wet", limit=1000)
    assert [row.text for row in rows] == ["fine", "good"]
    assert [a.reason for a in aside] == ["invalid_utf8", "too_long", "empty"]
    assert content[aside[0].place :].startswith(b"WARC/")
    (tmp_path / "b.warc.wet").write_bytes(content[: content.rindex(b"good") + 2])
    rows, aside = read(tmp_path / "b.warc.wet", limit=1000)
    assert [row.text for row in rows] == ["fine"] and aside[-1].reason == "truncated"


def test_every_cut_of_web_text_is_noticed(tmp_path: Path) -> None:
    texts = [b"one", b"two", b"three"]
    whole = wet(texts, packed=True)
    path = tmp_path / "a.warc.wet.gz"
    members = [i for i in range(len(whole)) if whole[i:].startswith(b"\x1f\x8b\x08")]
    assert len(members) == 4
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        rows, aside = read(path)
        # A cut between two members leaves a whole archive.
        assert [a.reason for a in aside] == ["truncated"] * (size not in members[1:]), size
        assert [row.text.encode() for row in rows] == texts[: len(rows)]
    assert len(rows) == 3  # only the checksum of the last was cut


def test_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "줄\r\n둘".encode())
    assert read(path)[0] == [Row(0, "줄\r\n둘")]
    path.write_bytes("줄".encode("euc-kr"))
    assert [a.reason for a in read(path)[1]] == ["invalid_utf8"]
    path.write_bytes(b"x" * 2000)
    assert [a.reason for a in read(path, limit=1000)[1]] == ["too_long"]


def test_named_column(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(["one", "  \n", "two"], column="content"))
    assert list(read_texts(str(path), "content")) == ["one", "two"]


def test_a_wrong_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(TEXTS * 50, "body"))
    with pytest.raises(RecipeError, match=r"a\.jsonl: no column 'text'; columns are 'body'"):
        list(read_texts(str(tmp_path / "a.jsonl")))
    pq.write_table(pa.table({"body": TEXTS, "other": [1, 2, 3]}), tmp_path / "a.parquet")
    with pytest.raises(RecipeError, match="no column 'text'; columns are 'body', 'other'"):
        list(read_texts(str(tmp_path / "a.parquet")))


def test_a_file_without_the_column_among_others_is_set_aside(tmp_path: Path) -> None:
    for number, column in enumerate(["body", "text", "text"]):
        (tmp_path / f"{number}.jsonl").write_bytes(jsonl(TEXTS, column))
    assert list(read_texts(str(tmp_path))) == TEXTS * 2
    assert [a.reason for a in read(tmp_path / "0.jsonl")[1]] == ["no_text"] * 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, 4000])
def test_shares_of_a_file_give_each_row_once(tmp_path: Path, count: int) -> None:
    texts = some_texts(30)
    lines = jsonl(texts) + b"{oops\n\n" + b'{"text": "' + b"x" * 3000 + b'"}\n' + jsonl(["end"])
    (tmp_path / "a.jsonl").write_bytes(lines)
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=4)
    for path, bad in ((tmp_path / "a.jsonl", 2), (tmp_path / "a.parquet", 0)):
        whole = list(read_file(path, "text", 2000))
        assert sum(isinstance(row, SetAside) for row in whole) == bad and len(whole) >= 30
        shares = [list(read_file(path, "text", 2000, share=(i, count))) for i in range(count)]
        assert [row for share in shares for row in share] == whole
        assert count == 1 or max(map(len, shares)) < len(whole)


def test_a_share_that_begins_where_a_line_does_gives_it_once(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"{n:04d}"}) + "\n" for n in range(60)]  # all of one length
    (tmp_path / "a.jsonl").write_text("".join(rows))
    for count in (2, 3, 60, 120):
        shares = (
            read_file(tmp_path / "a.jsonl", "text", 99, share=(i, count)) for i in range(count)
        )
        texts = [row.text for share in shares for row in share]
        assert texts == [f"{n:04d}" for n in range(60)], count


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "a.jsonl": bytes,
    "a.jsonl.gz": gzip.compress,
    "a.jsonl.zst": zstandard.compress,
}


@pytest.mark.parametrize("name", [*PACKED, "a.parquet", "a.warc.wet", "a.warc.wet.gz"])
def test_no_damage_stops_reading_or_loses_rows_unseen(tmp_path: Path, name: str) -> None:
    texts, noise, path = some_texts(30), random.Random(name), tmp_path / name
    if name in PACKED:
        path.write_bytes(PACKED[name](jsonl(texts)))
    elif name == "a.parquet":
        pq.write_table(pa.table({"text": texts, "n": [[1]] * 30}), path, row_group_size=10)
    else:
        path.write_bytes(wet([t.encode() for t in texts], packed=name.endswith("gz")))
    content, hurt = path.read_bytes(), 0
    for _ in range(60):
        data = bytearray(content)
        for _ in range(noise.choice([1, 3, 20])):
            data[noise.randrange(len(data))] = noise.randrange(256)
        if noise.random() < 0.3:
            data = data[: noise.randrange(1, len(data))]
        path.write_bytes(data)
        rows, aside = read(path)
        places = [row.place for row in (*rows, *aside)]
        assert len(set(places)) == len(places)
        # A cut on a border between rows of a file without an end of its own cannot be noticed.
        borders = name in ("a.jsonl", "a.warc.wet") and len(data) < len(content)
        assert len(rows) >= 30 or aside or borders
        hurt += bool(aside)
    assert hurt > 5


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        resolve_files(str(tmp_path / "nowhere.jsonl"))
    (tmp_path / "a.docx").touch()
    with pytest.raises(RecipeError, match="unknown file type"):
        resolve_files(str(tmp_path / "a.docx"))
    (tmp_path / "a.warc.gz").touch()
    with pytest.raises(RecipeError, match="take the .warc.wet files"):
        resolve_files(str(tmp_path / "a.warc.gz"))


@pytest.mark.parametrize("read_all", [read_texts, read_rows])
def test_the_hub_out_of_reach_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, read_all: Callable[[str], Iterator[Any]]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RecipeError, match="cannot be read from the Hub.*hf auth login"):
        list(read_all("hub://nobody/nothing"))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_parts_of_a_streamed_data_set_give_each_row_once(tmp_path: Path, count: int) -> None:
    """A directory is streamed as a data set of the Hub is."""
    for number in range(3):
        texts = [f"{number}-{n}" for n in range(5)]
        (tmp_path / f"{number}.jsonl").write_bytes(jsonl([*texts, " "]))
    parts = [list(read_hub(f"hub://{tmp_path}", "text", LIMIT, i, count)) for i in range(count)]
    assert all(parts)
    rows = [row for part in parts for row in part]
    assert sorted(r.text for r in rows if isinstance(r, Row)) == [
        f"{number}-{n}" for number in range(3) for n in range(5)
    ]
    assert [r.reason for r in rows if isinstance(r, SetAside)] == ["empty"] * 3
