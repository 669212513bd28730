"""Every kind of file gives the same texts; what is broken is set aside with its place."""

import gzip
import io
import json
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from warcio.warcwriter import WARCWriter

from data_recipes.errors import RecipeError
from data_recipes.readers import Row, SetAside, read_file, read_texts, resolve_files

from .hand_made import jsonl

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
    assert list(read_texts(str(tmp_path / "sub"))) == [TEXTS[0] + "\r\n"]
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
    (tmp_path / "a.jsonl").write_bytes(jsonl(TEXTS) + b'{"text": null}\n')
    assert [a.reason for a in read(tmp_path / "a.jsonl")[1]] == ["no_text"]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_truncated_archive_keeps_what_came_before(tmp_path: Path, suffix: str) -> None:
    texts = [f"{n} " + str(hash(str(n)) % 10**12) * 40 for n in range(20_000)]
    whole = (gzip.compress if suffix == "gz" else zstandard.compress)(jsonl(texts))
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    rows, (aside,) = read(path)
    assert aside.reason == "truncated" and "ends early" in aside.detail
    assert [row.text for row in rows] == texts[: len(rows)]
    assert len(rows) > 1000
    path.write_bytes(whole)
    assert len(read(path)[0]) == len(texts)


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


def test_a_long_line_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(jsonl(TEXTS[:1]))
        file.write(b'{"text": "')
        for _ in range(300):
            file.write(b"x" * 2**20)
        file.write(b'"}\n' + jsonl(TEXTS[1:]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows, (aside,) = read(path)
    assert [row.text for row in rows] == TEXTS
    assert (aside.reason, aside.length) == ("too_long", 300 * 2**20 + 12)
    # In kB: a sixth of the line at most.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 2**10


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
    rows, (aside,) = read(path)
    assert (aside.reason, aside.place, aside.length) == ("corrupt_file", 100, 100)
    assert [row.text for row in rows] == texts[:100] + texts[200:]
    assert [row.place for row in rows] == [*range(100), *range(200, 300)]


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


def test_a_wrong_column_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(TEXTS * 50, "body"))
    with pytest.raises(RecipeError, match=r"a\.jsonl: no column 'text'; columns are 'body'"):
        read(tmp_path / "a.jsonl")
    pq.write_table(pa.table({"body": TEXTS, "other": [1, 2, 3]}), tmp_path / "a.parquet")
    with pytest.raises(RecipeError, match="no column 'text'; columns are 'body', 'other'"):
        read(tmp_path / "a.parquet")


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
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RecipeError, match="cannot be read from the Hub.*hf auth login"):
        list(read_texts("hub://nobody/nothing"))
