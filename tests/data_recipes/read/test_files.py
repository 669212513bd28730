"""Every kind of file gives the same texts; what is broken is set aside with its place."""

import gzip
import io
import json
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from warcio.warcwriter import WARCWriter

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import read_rows
from data_recipes.read.files import check_column, read_file, read_texts, resolve_files
from data_recipes.read.hub import read_hub
from data_recipes.read.rows import Row, SetAside
from tests.conftest import ROOT, environment

from ..hand_made import jsonl, some_texts

TEXTS = ["첫 문서입니다.\n둘째 줄.", "A second document — with a dash.", "3,000원 🙂"]
LIMIT = 1_000_000


def read(path: Path, limit: int = LIMIT) -> tuple[list[Row], list[SetAside]]:
    rows = list(read_file(path, "text", limit))
    return [r for r in rows if isinstance(r, Row)], [r for r in rows if isinstance(r, SetAside)]


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


BROKEN_LINES = {
    "broken_json": b"{oops",
    "not_an_object": b'["list"]',
    "no_text": b'{"body": "x"}',
    "not_text": b'{"text": 3}',
    "empty": b'{"text": " \\n"}',
    "invalid_utf8": b'{"text": "\xb0\xa1"}',
    "nul": b'{"text": "a\\u0000b"}',
    "lone_surrogate": b'{"text": "a\\ud800b"}',
    "too_long": b'{"text": "' + b"x" * 5000 + b'"}',
}


@pytest.mark.parametrize("reason", BROKEN_LINES)
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_broken_line_is_set_aside_and_reading_goes_on(
    tmp_path: Path, reason: str, suffix: str
) -> None:
    before, bad, after = jsonl(TEXTS[:2]), BROKEN_LINES[reason], jsonl(TEXTS[2:])
    content = before + bad + b"\n" + after
    packed = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix](content)
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(packed)
    rows, (aside,) = read(path, limit=1000)
    assert [row.text for row in rows] == TEXTS
    assert (aside.reason, aside.place, aside.length) == (reason, len(before), len(bad))
    assert aside.detail and len(aside.sample) <= 200
    assert content[rows[2].place :].startswith(after)


def test_null_text_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": null}\n' * 150 + jsonl(TEXTS))
    rows, aside = read(tmp_path / "a.jsonl")
    assert {a.reason for a in aside} == {"no_text"} and len(aside) == 150 and len(rows) == 3
    check_column([tmp_path / "a.jsonl"], "text", LIMIT)  # the column is there


@pytest.mark.parametrize(
    "value",
    [b"9" * 5000, b"[" * 10**4 + b"]" * 10**4, b"[" * 10**5 + b"]" * 10**5, b'{"a":' * 999 + b"1"],
    ids=["digits", "deep", "deeper", "open"],
)
def test_json_that_python_refuses_is_set_aside(tmp_path: Path, value: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a", "x": ' + value + b"}\n" + jsonl(TEXTS))
    rows, (aside,) = read(path)
    assert [row.text for row in rows] == TEXTS and aside.reason == "broken_json"


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_truncated_archive_keeps_what_came_before(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(3)
    texts = [f"{n} {noise.randbytes(300).hex()}" for n in range(3000)]
    body = jsonl(texts)
    whole = (gzip.compress if suffix == "gz" else zstandard.compress)(body)
    path = tmp_path / f"a.jsonl.{suffix}"
    for size in (500, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        rows, (aside,) = read(path)
        assert aside.reason == "truncated" and "ends early" in aside.detail
        # What another implementation gets out of it; zstd gives whole blocks of 128 kB.
        if suffix == "gz":
            expected = zlib.decompressobj(31).decompress(whole[:size])
        else:
            expected = zstandard.ZstdDecompressor().decompressobj().decompress(whole[:size])
        assert [row.text for row in rows] == texts[: expected.count(b"\n")]
        assert aside.place == expected.rfind(b"\n") + 1
    assert len(rows) > 2500
    path.write_bytes(whole)
    assert len(read(path)[0]) == len(texts)


def test_what_follows_an_archive_does_not_take_it_along(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(TEXTS)) + b"\0" * 512)  # as tapes leave it
    rows, (aside,) = read(path)
    assert [row.text for row in rows] == TEXTS
    assert (aside.reason, aside.place) == ("truncated", len(jsonl(TEXTS)))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_every_cut_of_an_archive_is_noticed(tmp_path: Path, suffix: str) -> None:
    body = jsonl([f"{n}" for n in range(40)])
    whole = gzip.compress(body) if suffix == "gz" else zstandard.compress(body)
    path = tmp_path / f"a.jsonl.{suffix}"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert [a.reason for a in read(path)[1]][-1:] == ["truncated"], size


@pytest.mark.parametrize("name", ["g.jsonl.gz", "h.jsonl.zst"])
def test_an_archive_of_another_type_is_set_aside(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(jsonl(TEXTS))
    rows, aside = read(tmp_path / name)
    assert not rows and [a.reason for a in aside] == ["truncated"]


MEMORY = """
import re, sys
from pathlib import Path
from data_recipes.read.files import read_file
from data_recipes.read.rows import Row
def peak():
    # Not ru_maxrss, which begins with that of the process we were forked from.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
small, large = (Path(p) for p in sys.argv[1:])
list(read_file(small, "text", 10**6))
before = peak()
rows = sum(isinstance(row, Row) for row in read_file(large, "text", 10**6))
print(rows, peak() - before)
"""


def memory(small: Path, large: Path) -> tuple[int, int]:
    """Rows of `large`, and by how many MiB reading it raised what `small` needed."""
    command = [sys.executable, "-c", MEMORY, str(small), str(large)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True
    )
    rows, growth = map(int, done.stdout.split())
    return rows, growth


def test_a_long_line_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    small, large = tmp_path / "s.jsonl", tmp_path / "a.jsonl"
    small.write_bytes(jsonl(TEXTS))
    with large.open("wb") as file:
        file.write(jsonl(TEXTS[:1]))
        file.write(b'{"text": "')
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b'"}\n' + jsonl(TEXTS[1:]))
    rows, growth = memory(small, large)
    assert rows == 3 and growth < 20
    rows, (aside,) = read(large)
    assert [row.text for row in rows] == TEXTS
    assert (aside.reason, aside.length) == ("too_long", 200 * 2**20 + 12)


def test_a_large_row_group_is_read_in_little_memory(tmp_path: Path) -> None:
    small, large = tmp_path / "s.parquet", tmp_path / "a.parquet"
    noise = np.random.default_rng(1).integers(32, 127, (5000, 20_000), np.uint8)
    texts = pa.array([row.tobytes().decode() for row in noise])
    for path, count in ((small, 2000), (large, 5000)):
        table = pa.table({"text": texts[:count]})
        # One group: pages of 1,024 rows, 20 MB, are what a reader cannot do without.
        pq.write_table(table, path, compression="none", use_dictionary=False)
    assert pq.read_metadata(large).num_row_groups == 1
    rows, growth = memory(small, large)
    assert rows == 5000 and growth < 30  # of 60 MB more


def test_damaged_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(jsonl(TEXTS))
    rows, (aside,) = read(tmp_path / "a.parquet")
    assert not rows and aside.reason == "corrupt_file"
    path = tmp_path / "b.parquet"
    texts = [f"{n} " * 200 for n in range(300)]
    pq.write_table(
        pa.table({"text": texts}),
        path,
        row_group_size=100,
        compression="none",
        use_dictionary=False,
    )
    data = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    rows, aside = read(path)
    # Each row of the group, so that sums are right to the document.
    assert [(a.reason, a.place) for a in aside] == [("corrupt_file", n) for n in range(100, 200)]
    assert [row.text for row in rows] == texts[:100] + texts[200:]
    assert [row.place for row in rows] == [*range(100), *range(200, 300)]


def test_a_bad_value_in_parquet_costs_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    bad = pa.array([b"ok", b"\xb0\xa1", b"fine", b"x"], pa.binary()).view(pa.string())
    dates = pa.array([0, 0, 2**50, 0], pa.timestamp("ms"))  # the year 37,648
    pq.write_table(pa.table({"text": bad, "date": dates}), path)
    rows, aside = read(path)
    assert [(row.place, row.text) for row in rows] == [(0, "ok"), (3, "x")]
    assert [(a.place, a.reason) for a in aside] == [(1, "invalid_utf8"), (2, "corrupt_file")]


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


def test_an_array_of_rows_is_read_and_what_is_broken_has_its_place(tmp_path: Path) -> None:
    rows = [{"text": text, "id": n} for n, text in enumerate(TEXTS)]
    path = tmp_path / "alpaca.json"
    for indent in (None, 2):
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=indent), encoding="utf-8")
        found, aside = read(path)
        assert [row.text for row in found] == TEXTS and not aside
        data = path.read_bytes()
        assert [data[row.place : row.place + 1] for row in found] == [b"{"] * 3
        assert json.loads(found[2].metadata) == {"id": 2}
        assert [row for _, row in read_rows(str(path))] == rows
    path.write_text('[{"text": "가"}, 7, {"text": "나"}, {"te')
    found, aside = read(path)
    assert [row.text for row in found] == ["가", "나"]
    assert [(a.reason, a.place) for a in aside] == [("not_an_object", 18), ("broken_json", 38)]
    path.write_text('[{"text": "가"}')
    assert [a.reason for a in read(path)[1]] == ["truncated"]
    with pytest.raises(RecipeError, match="alpaca.json, row 1, byte 16: the array ends early"):
        list(read_rows(str(path)))
    # JSON lines go by the same name on the Hub; in a directory it is about the data.
    path.write_text('{"text": "가"}\n{"text": "나"}\n')
    assert [row.text for row in read(path)[0]] == ["가", "나"]
    with pytest.raises(RecipeError, match="no .jsonl"):
        resolve_files(str(tmp_path))


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        resolve_files(str(tmp_path / "nowhere.jsonl"))
    (tmp_path / "a.docx").touch()
    with pytest.raises(RecipeError, match="unknown file type"):
        resolve_files(str(tmp_path / "a.docx"))
    (tmp_path / "a.warc.gz").touch()
    with pytest.raises(RecipeError, match="take the .warc.wet files"):
        resolve_files(str(tmp_path / "a.warc.gz"))


def test_the_hub_out_of_reach_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RecipeError, match="cannot be read from the Hub.*hf auth login"):
        list(read_texts("hub://nobody/nothing"))


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
