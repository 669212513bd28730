"""Lines and arrays of JSON, packed or not: a broken row, and a cut, costs no other row."""

import gzip
import json
import random
import zlib
from pathlib import Path

import pytest
import zstandard

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import read_rows
from data_recipes.read.files import check_column, resolve_files

from ..hand_made import jsonl
from .reading import LIMIT, TEXTS, memory, read

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
