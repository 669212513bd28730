"""The reading step: sums, ids, resuming, the bound on what is set aside, a full disk."""

import json
import os
import resource
import signal
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.engine.executor_config import ExecutorConfig
from data_recipes.engine.executors import execute
from data_recipes.engine.steps import StepFolder
from data_recipes.read import step as reading
from data_recipes.read.source import ReadConfig, SourceConfig
from data_recipes.read.step import ReadStep, source_bytes, source_facts
from tests.conftest import ROOT, environment

from ..hand_made import hashes_of, jsonl, read_source, rows_of, some_texts


def source_at(path: Path, name: str = "web") -> SourceConfig:
    return SourceConfig(name=name, path=str(path), language="ko", licence="none")


def write_files(directory: Path, files: int = 5) -> tuple[SourceConfig, list[str]]:
    directory.mkdir()
    texts = some_texts(40 * files)
    for number in range(files):
        content = jsonl(texts[40 * number : 40 * (number + 1)])
        (directory / f"{number}.jsonl").write_bytes(content + b"{oops\n")
    return source_at(directory), texts


def test_rows_and_set_aside_add_up_and_name_their_place(tmp_path: Path) -> None:
    source, texts = write_files(tmp_path / "t")
    folder = read_source(source, tmp_path / "read")
    kept, aside = rows_of(folder.root / "kept"), rows_of(folder.root / "rejected")
    assert [r["text"] for r in kept] == texts
    assert len({r["id"] for r in kept}) == len(texts)
    assert {(r["source"], r["language"], r["metadata"]) for r in kept} == {("web", "ko", "{}")}
    for row in (*kept, *aside):
        file, _, offset = row["id"].removeprefix("web/").rpartition(":")
        line = (tmp_path / "t" / file).read_bytes()[int(offset) :].split(b"\n")[0]
        if "text" in row:
            assert json.loads(line)["text"] == row["text"]
        else:
            assert line == b"{oops" and row["reason"] == "broken_json"
            assert (row["offset"], row["length"]) == (int(offset), 5)
    tally = folder.tally()
    assert (tally.documents_in, tally.documents_kept, tally.documents_rejected) == (205, 200, 5)
    assert tally.bytes_kept == sum(len(t.encode()) for t in texts)
    assert tally.reasons == {"broken_json": {"documents": 5, "bytes": 25}}


def test_shards_are_bounded(tmp_path: Path) -> None:
    source, texts = write_files(tmp_path / "t", files=1)
    folder = read_source(source, tmp_path / "read", shard_megabytes=0.01)
    assert len(folder.shards()) > 3
    assert [r["text"] for r in rows_of(folder.root / "kept")] == texts
    longest = max(len(t.encode()) for t in texts)
    for shard in folder.shards():
        stats = json.loads(folder.stats(shard).read_text())
        assert stats["bytes_in"] <= 10_000 + longest


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_and_workers_do_not_show(tmp_path: Path, workers: int) -> None:
    source, _ = write_files(tmp_path / "t")
    one = read_source(source, tmp_path / "one")
    step = ReadStep([source], tmp_path / "many", ReadConfig())
    execute(step, 3, ExecutorConfig(workers=workers), tmp_path / "logs")
    assert hashes_of(tmp_path / "many") == hashes_of(tmp_path / "one") != {}
    assert one.tally().documents_in == StepFolder(tmp_path / "many" / "web").tally().documents_in


KILL = """
import os, sys
from pathlib import Path
from data_recipes.read import step
from data_recipes.engine import steps
from data_recipes.engine.documents import ShardWriter
from tests.data_recipes.read.test_read import SMALL_SHARDS, read_source, source_at

place, count = sys.argv[2], int(sys.argv[3])
module, name = {
    "row": (step.ReadShard, "add"),
    "shard": (ShardWriter, "close"),
    "counts": (steps, "write_json_atomically"),
    "marker": (step, "write_json_atomically"),
}[place]
function, calls = getattr(module, name), []

def killed(*arguments):
    calls.append(place)
    if len(calls) == count:
        os.kill(os.getpid(), 9)
    return function(*arguments)

setattr(module, name, killed)
read_source(source_at(Path(sys.argv[1]) / "t"), Path(sys.argv[1]) / "read", **SMALL_SHARDS)
"""
SMALL_SHARDS = {"shard_megabytes": 0.01}


# In the middle of a shard, between kept and set-aside rows, before the counts, before the marker.
@pytest.mark.parametrize(
    ("place", "count", "parts"),
    [("row", 100, 2), ("shard", 2, 0), ("counts", 5, 1), ("marker", 3, 2)],
)
def test_killed_and_resumed(tmp_path: Path, place: str, count: int, parts: int) -> None:
    """SIGKILL; the rest is dealt into two tasks."""
    source, texts = write_files(tmp_path / "t")
    killed = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path), place, str(count)], cwd=ROOT, env=environment()
    )
    assert killed.returncode == -signal.SIGKILL
    root = tmp_path / "read" / "web"
    assert len(list((root / "parts").glob("*"))) == parts
    done = sorted((root / "kept").glob("0000[01]-*")) if parts == 2 else []
    before = [path.stat().st_mtime_ns for path in done]
    step = ReadStep([source], tmp_path / "read", ReadConfig(**SMALL_SHARDS))
    assert len(step.pending()) == 5 - parts
    execute(step, 2, ExecutorConfig(workers=1), tmp_path / "logs")
    assert [path.stat().st_mtime_ns for path in done] == before
    assert step.pending() == []
    whole = read_source(source, tmp_path / "whole", **SMALL_SHARDS)
    assert hashes_of(tmp_path / "read") == hashes_of(tmp_path / "whole")
    resumed, uninterrupted = StepFolder(root).tally(), whole.tally()
    assert replace(resumed, seconds=0) == replace(uninterrupted, seconds=0)
    assert [r["text"] for r in rows_of(root / "kept")] == texts
    assert not list((tmp_path / "read").rglob("*.tmp"))


def test_a_large_file_is_dealt_out_in_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, texts = write_files(tmp_path / "t", files=2)
    whole = read_source(source, tmp_path / "whole")
    facts = source_facts(source, ReadConfig())
    monkeypatch.setattr(reading, "_SHARE_BYTES", 10_000)
    step = ReadStep([source], tmp_path / "shares", ReadConfig())
    assert len(step.pending()) > 6 and source_facts(source, ReadConfig()) != facts
    assert sum(part.size for part in step.pending()) == source_bytes(source, ReadConfig())
    execute(step, 3, ExecutorConfig(workers=1), tmp_path / "logs")
    shares = StepFolder(tmp_path / "shares" / "web")
    assert len(shares.shards()) > 6
    for folder in ("kept", "rejected"):
        assert rows_of(shares.root / folder) == rows_of(whole.root / folder) != []
    assert shares.tally().reasons == whole.tally().reasons


def test_too_much_set_aside_stops(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(some_texts(40)) * 30 + b'{"text": 3}\n' * 200)
    with pytest.raises(RecipeError, match=r"200 of 1,400 rows .*not_text 200.*max_set_aside=0.05"):
        read_source(source_at(path), tmp_path / "read")
    folder = read_source(source_at(path), tmp_path / "loose", max_set_aside=0.2)
    assert folder.tally().documents_rejected == 200
    # Empty documents are no sign of a wrong setting.
    path.write_bytes(jsonl(some_texts(40)) * 30 + b'{"text": " "}\n' * 2000)
    assert read_source(source_at(path), tmp_path / "empty").tally().documents_rejected == 2000


def test_one_bad_file_among_many_does_not_stop(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    good, bad = jsonl(some_texts(40)) * 30, b'{"text": "\xb0\xa1"}\n' * 1500
    (tmp_path / "t" / "0.jsonl").write_bytes(bad)
    for number in range(1, 30):
        (tmp_path / "t" / f"{number:02d}.jsonl").write_bytes(good)
    source = source_at(tmp_path / "t")
    folder = read_source(source, tmp_path / "read")
    tally = folder.tally()
    assert tally.reasons == {"invalid_utf8": {"documents": 1500, "bytes": len(bad) - 1500}}
    assert tally.documents_in == 1500 + 29 * 1200
    # As many bad files as make up the bound stop it, long before the end.
    for number in range(1, 30):
        (tmp_path / "t" / f"{number:02d}.jsonl").write_bytes(bad)
    with pytest.raises(RecipeError, match=r"3,000 of 3,000 rows .* in 6.7% of the source"):
        read_source(source, tmp_path / "bad")


def test_a_wrong_column_stops_before_anything_is_written(tmp_path: Path) -> None:
    source, _ = write_files(tmp_path / "t")
    source = source.model_copy(update={"text_column": "body"})
    with pytest.raises(RecipeError, match="no column 'body'; columns are 'text'"):
        read_source(source, tmp_path / "read")
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_damaged_row_group_counts_by_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": some_texts(300)})
    pq.write_table(table, path, row_group_size=10, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    folder = read_source(source_at(path), tmp_path / "read")
    tally = folder.tally()
    assert (tally.documents_in, tally.documents_rejected) == (300, 10)
    assert len(rows_of(folder.root / "rejected")) == 10


def test_a_full_disk_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the same error reaches the writer."""
    source, texts = write_files(tmp_path / "t", files=2)
    big = tmp_path / "t" / "1.jsonl"
    noise = [os.urandom(30_000).hex() for _ in range(60)]
    content = big.read_bytes() + jsonl(noise)
    big.write_bytes(content)
    code = (
        "import errno, resource, signal, sys; from pathlib import Path\n"
        "from tests.data_recipes.read.test_read import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))\n"
        "root = Path(sys.argv[1])\n"
        "try: read_source(source_at(root / 't'), root / 'read')\n"
        "except RecipeError as error: sys.exit(f'error: {error}')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "the disk is full" in result.stderr and "to go on" in result.stderr, result.stderr
    root = tmp_path / "read" / "web"
    assert StepFolder(root).done() == ["00000-00000"]
    assert not list(root.rglob("*.tmp"))
    read_source(source, tmp_path / "read")
    assert [r["text"] for r in rows_of(root / "kept")] == texts + noise
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 9])
def test_files_are_dealt_out_once(tmp_path: Path, world_size: int) -> None:
    for number in range(7):
        (tmp_path / f"{number}.jsonl").write_bytes(jsonl(["x"]))
    step = ReadStep([source_at(tmp_path)], tmp_path / "read", ReadConfig())
    parts = [p.name for rank in range(world_size) for p in step.pending(rank, world_size)]
    assert sorted(parts) == [f"{n}.jsonl" for n in range(7)]


@pytest.mark.parametrize("on", [True, False])
def test_invisible_characters_are_made_uniform_and_counted(tmp_path: Path, on: bool) -> None:
    clean = ["좋은 글입니다.\n둘째 줄입니다.", "A good text.\nIts second line."]
    texts = [
        clean[0].replace("\n", "\r\n"),
        unicodedata.normalize("NFD", clean[0]),
        clean[1].replace("\n", " \n"),
        clean[1],
        "\ufeff\u200b",
    ]
    (tmp_path / "a.jsonl").write_bytes(jsonl(texts))
    source = SourceConfig(name="web", path=str(tmp_path), language="ko", licence="none")
    step = read_source(
        source, tmp_path / "read", max_set_aside=1, **({} if on else {"normalise": False})
    )
    kept = [row["text"] for row in rows_of(tmp_path / "read" / "web" / "kept")]
    tally = step.tally()
    if on:
        assert kept == [clean[0], clean[0], clean[1], clean[1]]
        assert tally.counts["normalised"] == {
            "documents": 3,
            "changes": {"line_ends": 1, "decomposed": 1, "trailing_blanks": 1},
        }
        assert tally.reasons["empty"]["documents"] == 1
    else:
        assert kept == texts and "normalised" not in tally.counts
