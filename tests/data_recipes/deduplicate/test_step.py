"""The step: what it writes, in what order, after a kill, and what it refuses."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.deduplicate import ngrams, step
from data_recipes.deduplicate.bloom import HEADER, BloomFilter, FilterShape
from data_recipes.deduplicate.config import DedupConfig
from data_recipes.deduplicate.ngrams import expected_ngrams
from data_recipes.deduplicate.step import FILTERS, DedupStep, filter_dir, removed_path
from data_recipes.engine import documents
from data_recipes.engine.documents import read_batches
from data_recipes.engine.executor_config import ExecutorConfig
from data_recipes.engine.executors import execute
from data_recipes.engine.steps import Tally
from tests import processes
from tests.conftest import ROOT, environment

from ..hand_made import hashes_of, rows_of, write_shards_of
from .killed import step_of
from .material import with_copies, words
from .reference import deduplicate

SOURCES = ("web_en", "web_ko")


def inputs_of(root: Path, count: int = 90, seed: int = 3) -> list[str]:
    """Two sources of three shards; returns the texts in the order of work."""
    texts = with_copies(count, seed)
    parts = np.array_split(np.arange(len(texts)), 6)
    for i, source in enumerate(SOURCES):
        own = [[texts[n] for n in part] for part in parts[3 * i : 3 * i + 3]]
        write_shards_of(root / "read" / source, own, source)
    return texts


def make(root: Path, name: str = "deduplicate", **settings: object) -> DedupStep:
    return step_of(root, root / name, **settings)


def run(root: Path, name: str = "deduplicate", **settings: object) -> DedupStep:
    work = make(root, name, **settings)
    for rank in range(work.config.filters):
        list(work.run(None, rank, work.config.filters))
    return work


def state_of(work: DedupStep) -> tuple[dict[str, str], list[object], list[object]]:
    """Everything that a run leaves, but for the time it took."""
    tallies = [vars(folder.tally()) | {"seconds": 0} for folder in work.outputs.values()]
    filters = []
    for rank in range(work.config.filters):
        bloom, header = BloomFilter.load(filter_dir(work.output_dir, rank), 13, 1.0)
        filters.append((bloom.words.tobytes(), header["inserted_ngrams"], header["shards"]))
    return hashes_of(work.output_dir), tallies, filters


def total(work: DedupStep) -> Tally:
    return sum((folder.tally() for folder in work.outputs.values()), Tally())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    inputs_of(root)
    return root


@pytest.fixture(scope="module")
def whole(corpus: Path) -> DedupStep:
    """A run with nothing special about it."""
    return run(corpus, "whole", expected_ngrams=100_000)


@pytest.mark.parametrize("mode", ["old-both", "paragraph", "document"])
def test_what_is_written_is_what_the_rule_says(tmp_path: Path, mode: str) -> None:
    texts = inputs_of(tmp_path)
    expected = deduplicate(texts, set(), mode)
    work = run(tmp_path, mode=mode, false_positive_rate=1e-12)
    kept = [r for f in work.outputs.values() for r in rows_of(f.root / "kept")]
    rejected = [r for f in work.outputs.values() for r in rows_of(f.root / "rejected")]
    removed = [r for f in work.outputs.values() for r in rows_of(f.root / "removed")]
    assert [r["text"] for r in kept] == [o.text for o in expected if not o.reason]
    assert [r["bff_contained_ngrams"] for r in kept] == [o.hits for o in expected if not o.reason]
    gone = [(t, o) for t, o in zip(texts, expected) if o.reason]
    assert [(r["text"], r["reason"]) for r in rejected] == [(t, o.reason) for t, o in gone]
    for row, (_, outcome) in zip(rejected, gone):
        said = f"{outcome.hits:,} of {outcome.total:,} n-grams"
        assert said in row["detail"] or outcome.reason == "empty_text"
    assert [tuple(r[c] for c in ("start", "end", "ngrams", "hits")) for r in removed] == [
        lost for o in expected for lost in o.removed
    ]
    assert {r["source"] for r in [*kept, *rejected]} == set(SOURCES)
    assert len(kept) > 100 and len(rejected) > 10
    assert len(removed) > 30 or mode == "document"


def test_the_numbers_add_up(corpus: Path, whole: DedupStep) -> None:
    tally = total(whole)
    rows = {
        kind: [r for f in whole.outputs.values() for r in rows_of(f.root / kind)]
        for kind in ("kept", "rejected", "removed")
    }

    def size(kind: str) -> int:
        return sum(len(r["text"].encode()) for r in rows[kind])

    counts = tally.counts
    assert tally.documents_in == len(rows["kept"]) + len(rows["rejected"])
    assert tally.bytes_in == size("kept") + size("rejected") + size("removed")
    assert (tally.bytes_kept, tally.bytes_rejected) == (size("kept"), size("rejected"))
    assert counts["bytes_removed"] == size("removed") > 0
    assert counts["paragraphs_removed"] == len(rows["removed"]) > 30
    assert counts["documents_shortened"] == len({r["id"] for r in rows["removed"]})
    breaks = sum(
        r["text"].count("\n") + 1
        for source in SOURCES
        for r in rows_of(corpus / "read" / source / "kept")
    )
    assert counts["paragraphs"] == breaks
    rejected = sum(r["text"].count("\n") + 1 for r in rows["rejected"])
    assert counts["paragraphs_rejected"] == rejected
    header = json.loads((filter_dir(whole.output_dir, 0) / HEADER).read_text())
    assert counts["ngrams_inserted"] == header["inserted_ngrams"]
    assert counts["ngrams"] > counts["ngrams_inserted"] > 0
    assert 0 < counts["ngrams_known"] < counts["ngrams"]
    assert 0 < header["false_positive_rate"] < 0.01
    assert 0 <= counts["expected_false_removals"] < 1


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_batches_do_not_show(
    corpus: Path, whole: DedupStep, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = run(corpus, str(tmp_path), threads=threads, expected_ngrams=100_000)
    assert state_of(again) == state_of(whole)
    # The same documents in batches of a few each.
    with monkeypatch.context() as patch:
        patch.setattr(documents, "BATCH_BYTES", 3000)
        inputs_of(tmp_path)
    path = tmp_path / "read" / "web_ko" / "kept" / "00000-00000.parquet"
    assert len(list(read_batches(path))) > 5
    small = run(tmp_path, "small", threads=threads, expected_ngrams=100_000)
    small_state, whole_state = state_of(small), state_of(whole)
    assert small_state[0] == whole_state[0] and small_state[2] == whole_state[2]


@pytest.mark.parametrize(
    ("place", "minutes", "redone"),
    [("write", 0, 4), ("write", 60, 6), ("counts", 0, 4), ("save", 0, 4)],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    corpus: Path, whole: DedupStep, tmp_path: Path, place: str, minutes: float, redone: int
) -> None:
    """SIGKILL at the third shard of six; then another number of threads."""
    settings = json.dumps({"snapshot_minutes": minutes, "expected_ngrams": 100_000})
    arguments = [str(corpus), str(tmp_path), place, "3", settings]
    killed = processes.run(["-m", "tests.data_recipes.deduplicate.killed", *arguments])
    assert killed.returncode == -9
    work = make(corpus, str(tmp_path), threads=1, snapshot_minutes=60, expected_ngrams=100_000)
    opened: list[str] = []
    real = step.DedupOutput

    def spy(folder: object, shard: str, *rest: object) -> object:
        opened.append(shard)
        return real(folder, shard, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "DedupOutput", spy)
        list(work.run())
    assert len(opened) == redone
    assert state_of(work) == state_of(whole)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_finished_run_has_nothing_left_to_do(
    corpus: Path, whole: DedupStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(whole)
    monkeypatch.setattr(step, "DedupOutput", None)
    list(whole.run())
    assert state_of(whole) == before


def test_groups_have_filters_of_their_own(corpus: Path, whole: DedupStep, tmp_path: Path) -> None:
    """Shards 0 and 2 of each source in one, shard 1 in the other; in two processes."""
    work = make(corpus, str(tmp_path / "two"), filters=2, expected_ngrams=100_000)
    assert work.work(0) == [(s, f"0000{i}-00000") for s in SOURCES for i in (0, 2)]
    assert work.work(1) == [(s, "00001-00000") for s in SOURCES]
    execute(work, 2, ExecutorConfig(workers=2), tmp_path / "logs")
    apart, together = total(work), total(whole)
    assert apart.documents_in == together.documents_in
    # Copies in another group stay.
    assert 0 < apart.documents_rejected < together.documents_rejected
    one = run(corpus, str(tmp_path / "one"), filters=2, expected_ngrams=100_000)
    assert state_of(one)[::2] == state_of(work)[::2]
    with pytest.raises(ValueError, match="1 tasks for 2 filters"):
        list(work.run(None, 0, 1))


def test_a_filter_goes_from_one_run_to_the_next(
    corpus: Path, whole: DedupStep, tmp_path: Path
) -> None:
    inputs_of(tmp_path, count=20, seed=99)
    fresh = run(tmp_path, "fresh")
    after = run(tmp_path, "after", load_filter=whole.output_dir)
    assert total(after).documents_rejected >= total(fresh).documents_rejected
    # Seen there, removed here: the same texts again leave what has no 13 words in a row.
    again = run(corpus, str(tmp_path / "again"), load_filter=whole.output_dir)
    left = [r["text"] for f in again.outputs.values() for r in rows_of(f.root / "kept")]
    assert left and total(again).counts["ngrams_inserted"] < 100
    assert len(left) < total(whole).documents_kept / 2
    with pytest.raises(RecipeError, match="filter is too full"):
        run(
            corpus, str(tmp_path / "strict"), load_filter=whole.output_dir, false_positive_rate=1e-9
        )
    assert not (tmp_path / "strict").exists()
    with pytest.raises(RecipeError, match="has 1 filters, this run has 2"):
        run(corpus, str(tmp_path / "other"), load_filter=whole.output_dir, filters=2)
    with pytest.raises(RecipeError, match="ngram_size 13, the run needs 5"):
        run(corpus, str(tmp_path / "other"), load_filter=whole.output_dir, ngram_size=5)


def test_a_filter_that_is_too_full_fails_the_run_every_time(corpus: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RecipeError, match="larger `expected_ngrams`") as error:
            run(corpus, str(tmp_path), expected_ngrams=500, snapshot_minutes=0)
        assert "sized for 500" in str(error.value)
    assert not list(tmp_path.rglob("*.tmp"))


def test_too_little_memory_is_refused_before_anything_is_written(
    corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"takes 0\.\d+ GB.*memory_gb=0\.\d+.*filters=\d"):
        run(corpus, str(tmp_path), memory_gb=1e-6)
    assert not hashes_of(tmp_path) and not (tmp_path / FILTERS).exists()


def test_other_shards_than_before_are_refused(tmp_path: Path) -> None:
    inputs_of(tmp_path)
    run(tmp_path)
    (tmp_path / "read" / "web_ko" / "kept" / "00001-00000.parquet").unlink()
    with pytest.raises(RecipeError, match="other shards than there are now"):
        run(tmp_path)


def test_text_that_was_deduplicated_before_is_refused(whole: DedupStep, tmp_path: Path) -> None:
    inputs = {name: folder.root for name, folder in whole.outputs.items()}
    with pytest.raises(RecipeError, match="already; it was deduplicated before"):
        list(DedupStep(inputs, tmp_path / "x", DedupConfig()).run())


def test_a_damaged_shard_ends_the_run_without_leftovers(tmp_path: Path) -> None:
    inputs_of(tmp_path)
    path = tmp_path / "read" / "web_en" / "kept" / "00001-00000.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecipeError, match="damaged shard"):
        run(tmp_path, expected_ngrams=10_000)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_failed_write_finishes_no_shard(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes is behind: what was handed to it after the error must not count."""

    def full(self: documents.ShardWriter, batch: object) -> None:
        raise RecipeError("the disk is full")

    monkeypatch.setattr(documents.ShardWriter, "write", full)
    with pytest.raises(RecipeError, match="disk is full"):
        run(corpus, str(tmp_path), expected_ngrams=10_000)
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("stats/*.json"))
    assert not (tmp_path / FILTERS).exists()


def test_ngrams_are_counted_in_little_text_and_sampled_in_much(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make(corpus)
    shards = work.work(0)
    counted = expected_ngrams(shards, work.inputs, work.config)
    exact = sum(
        len(ngrams.cut_ngrams(*documents.text_buffers(b), 13, "old-both").hashes)
        for source, shard in shards
        for b in read_batches(work.inputs[source].kept(shard))
    )
    assert (counted.ngrams, counted.how) == (exact, "counted")
    assert expected_ngrams(shards, work.inputs, DedupConfig(expected_ngrams=7)).ngrams == 7
    size = sum(work.inputs[s].tally().bytes_kept for s in SOURCES)
    monkeypatch.setattr(ngrams, "SAMPLE_BYTES", size // 2)
    sampled = expected_ngrams(shards, work.inputs, work.config)
    assert sampled.how == "sampled"
    assert 0.7 * exact < sampled.ngrams < 1.6 * exact
    assert sampled == expected_ngrams(shards, work.inputs, work.config)


def test_settings_that_do_not_show_in_the_result_are_not_recorded() -> None:
    one, other = DedupConfig(), DedupConfig(threads=9, memory_gb=1, snapshot_minutes=1)
    assert one.model_dump() == other.model_dump()
    assert one.model_dump() != DedupConfig(threshold=0.7).model_dump()
    with pytest.raises(ValueError, match="leave out `expected_ngrams`"):
        DedupConfig(load_filter="x", expected_ngrams=1)


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """Peak memory of a process that has been through 8 MB of text, and then through 36 more."""
    rng = random.Random(8)
    text = [words(rng, 50) for _ in range(450)]
    for name, shards in (("small", 16), ("large", 72)):
        parts = [[t.replace(" ", f"{name}{i} ") for t in text] for i in range(shards)]
        write_shards_of(tmp_path / name / "read" / "web", parts, "web")
    assert (tmp_path / "large/read/web/kept/00071-00000.parquet").stat().st_size > 10_000
    code = """
import sys
from pathlib import Path
from tests.data_recipes.deduplicate.killed import step_of
for name in ("small", "large"):
    root = Path(sys.argv[1]) / name
    work = step_of(root, root / "out", expected_ngrams=4_000_000)
    list(work.run())
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(work.outputs["web"].tally().bytes_kept, peak.split()[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    (small, before), (large, after) = (map(int, li.split()) for li in done.stdout.splitlines())
    assert large > 35e6 and small > 7e6
    # In KiB. Half of the text alone would be more.
    assert after < before + 20 * 1024, (before, after)


def test_the_removed_paragraphs_lie_where_others_look_for_them(whole: DedupStep) -> None:
    for source, shard in whole.work(0):
        folder = whole.outputs[source]
        assert removed_path(folder, shard) == folder.root / "removed" / f"{shard}.parquet"
        assert removed_path(folder, shard).is_file()
    assert FilterShape.of(100_000, 0.01).bytes < 2**20
