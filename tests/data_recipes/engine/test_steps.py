"""The engine of the cleaning steps: sums, resuming, independence of tasks and workers."""

from pathlib import Path

import pyarrow as pa
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.engine.documents import (
    BATCH_BYTES,
    SCHEMA,
    ShardWriter,
    read_batches,
    text_buffers,
)
from data_recipes.engine.steps import Outcome, StepFolder, Tally, add_counts, claim, decide
from tests import processes

from ..hand_made import hashes_of, rows_of, some_texts, write_shards_of
from .toy_step import LIMIT, run


def inputs(root: Path, extra: str | None = None, shards: int = 4) -> list[list[str]]:
    texts = some_texts(40)
    parts = [texts[i::shards] for i in range(shards)]
    if extra:
        parts[2].append(extra)
    write_shards_of(root / "read" / "web_ko", parts)
    return parts


def test_kept_and_rejected_add_up_to_the_input(tmp_path: Path) -> None:
    parts = inputs(tmp_path)
    folder = run(tmp_path, "filter")
    kept = [r["text"] for r in rows_of(folder.root / "kept")]
    rejected = rows_of(folder.root / "rejected")
    texts = [t for part in parts for t in part]
    assert kept == [t for t in texts if len(t) >= LIMIT]
    assert [r["text"] for r in rejected] == [t for t in texts if len(t) < LIMIT]
    assert kept and rejected
    assert {r["reason"] for r in rejected} == {"too_short"}
    assert f"at least {LIMIT}" in rejected[0]["detail"]
    tally = folder.tally()
    assert (tally.documents_in, tally.documents_kept) == (len(texts), len(kept))
    assert tally.bytes_in == sum(len(t.encode()) for t in texts)
    assert tally.bytes_in == tally.bytes_kept + tally.bytes_rejected
    assert tally.reasons["too_short"]["documents"] == len(rejected)
    assert tally.counts["characters"] == sum(map(len, texts))


def test_tasks_and_workers_do_not_show(tmp_path: Path) -> None:
    inputs(tmp_path)
    one = run(tmp_path, "one")
    three = run(tmp_path, "three", tasks=3, workers=2)
    assert hashes_of(one.root) == hashes_of(three.root) != {}
    assert one.done() == three.done() == [f"{i:05d}-00000" for i in range(4)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_step_goes_on_where_it_was(tmp_path: Path, workers: int) -> None:
    """SIGKILL in the third shard of four; then another number of workers."""
    inputs(tmp_path, extra="KILL")
    killed = processes.run(["-m", "tests.data_recipes.engine.toy_step", tmp_path])
    assert killed.returncode == -9
    folder = StepFolder(tmp_path / "filter" / "web_ko")
    assert folder.done() == ["00000-00000", "00001-00000"]
    first = folder.kept("00000-00000").stat().st_mtime_ns
    run(tmp_path, "filter", tasks=workers, workers=workers)
    assert folder.kept("00000-00000").stat().st_mtime_ns == first
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "died").touch()
    whole = run(tmp_path, "whole")
    assert hashes_of(folder.root) == hashes_of(whole.root)
    assert folder.tally().documents_in == 41
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_is_the_one_line_that_the_user_reads(
    tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs(tmp_path, extra="FAIL")
    with pytest.raises(RecipeError, match="take it out"):
        run(tmp_path, "filter", tasks=workers, workers=workers)
    assert "Traceback" not in capfd.readouterr().err
    assert "take it out" in (tmp_path / "filter" / "logs" / "console.txt").read_text()


def test_documents_that_disappear_are_noticed() -> None:
    batch = pa.RecordBatch.from_pydict(
        {n: ["a", "b"] for n in ("id", "text", "source", "language", "metadata")}, SCHEMA
    )
    outcome = decide(batch, [None, "gone"], ["", "lost"])
    with pytest.raises(RuntimeError, match="2 documents became 0 \\+ 1"):
        Tally().add(batch, Outcome(outcome.kept.slice(1), outcome.rejected))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    claim(tmp_path, {"threshold": 0.8, "sources": ("a",)})
    claim(tmp_path, {"threshold": 0.8, "sources": ("a",)})
    # Nothing is finished yet, so a mended setting may take the place of one that failed.
    claim(tmp_path, {"threshold": 0.9, "sources": ("a",)})
    (tmp_path / "a" / "stats").mkdir(parents=True)
    (tmp_path / "a" / "stats" / "00000.json").touch()
    claim(tmp_path, {"threshold": 0.9, "sources": ("a",)})
    with pytest.raises(RecipeError, match=r"other settings \(threshold\)"):
        claim(tmp_path, {"threshold": 0.7, "sources": ("a",)})


def test_counts_add_up_by_key_and_place() -> None:
    total = add_counts({"a": 1, "h": [1, 2]}, {"a": 2, "h": [0, 5], "n": {"x": 1}})
    assert add_counts(total, {"n": {"x": 2, "y": 3}}) == {
        "a": 3,
        "h": [1, 7],
        "n": {"x": 3, "y": 3},
    }
    with pytest.raises(ValueError):
        add_counts({"h": [1]}, {"h": [1, 2]})


def test_batches_are_bounded_and_buffers_are_those_of_the_texts(tmp_path: Path) -> None:
    texts = ["가" * 1000, "", "b" * (BATCH_BYTES + 1), "끝"] * 3
    folder = write_shards_of(tmp_path / "s", [texts])
    batches = list(read_batches(folder.kept("00000-00000")))
    assert len(batches) >= 3
    seen = []
    for batch in [b for whole in batches for b in (whole.slice(0, 1), whole.slice(1))]:
        data, offsets = text_buffers(batch)
        seen += [bytes(data[a:b]).decode() for a, b in zip(offsets[:-1], offsets[1:])]
    assert seen == texts


def test_a_shard_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(KeyError):
        with ShardWriter(path, SCHEMA):
            raise KeyError
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"PAR1 this is not Parquet")
    with pytest.raises(RecipeError, match="x.parquet: missing or damaged shard"):
        list(read_batches(path))
