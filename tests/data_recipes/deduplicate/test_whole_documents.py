"""Near and exact duplicates through datatrove's blocks: planted ones, accounts, kills, refusals."""

import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from data_recipes.engine.steps import StepFolder
from tests import processes

from ..hand_made import hashes_of, rows_of
from .dedup_by_files import METHODS, SOURCES, changed, planted, run, words, write


def texts(root: Path, kind: str) -> list[str]:
    return [row["text"] for s in SOURCES for row in rows_of(root / s / kind)]


@pytest.mark.parametrize("method", METHODS)
def test_planted_duplicates_go_and_nothing_else(tmp_path: Path, method: str) -> None:
    write(tmp_path)
    output = run(tmp_path, method)
    given = Counter(text for parts in planted().values() for part in parts for text in part)
    kept, rejected = Counter(texts(output, "kept")), Counter(texts(output, "rejected"))
    assert kept + rejected == given
    rows = [row for source in SOURCES for row in rows_of(output / source / "rejected")]
    if method == "exact":
        assert rejected == given - Counter(set(given)) and rejected.total() == 18
        assert {row["reason"] for row in rows} == {"exact_duplicate"}
        # The copy in the first source stays, and the first in a source.
        assert Counter(row["source"] for row in rows) == {"web_en": 17, "web_ko": 1}
        assert {row["id"] for row in rows} & {"web_ko/0:0", "web_en/0:1"} == set()
        assert "web_en/0:0" in {row["id"] for row in rows}
    else:
        assert rejected.total() == 17 + 12 and "짧은 글" not in rejected
        near = [t for part in planted()["web_ko"] for t in part][60:72]
        originals = [t for part in planted()["web_ko"] for t in part][20:32]
        assert all(kept[a] + kept[b] == 1 for a, b in zip(originals, near))
        assert all(kept[t] <= 1 for t in given if t != "짧은 글")
        assert {row["reason"] for row in rows} == {"near_duplicate"}
    for source in SOURCES:
        tally = StepFolder(output / source).tally()
        assert tally.documents_in == tally.documents_kept + tally.documents_rejected
        assert tally.documents_in == sum(map(len, planted()[source]))
        assert StepFolder(output / source).done() == StepFolder(tmp_path / "read" / source).shards()


@pytest.mark.parametrize("method", METHODS)
def test_tasks_and_workers_do_not_show(tmp_path: Path, method: str) -> None:
    for name, tasks, workers in (("one", 1, 1), ("many", 3, 2)):
        write(tmp_path / name)
        run(tmp_path / name, method, tasks, workers)
    one, many = (hashes_of(tmp_path / name / method) for name in ("one", "many"))
    assert one == many != {}


def in_a_process(root: Path, method: str, how: str) -> subprocess.CompletedProcess:
    return processes.run(["-m", "tests.data_recipes.deduplicate.dedup_by_files", root, method, how])


KILLS = {"minhash": ["signatures", "rejected"], "exact": ["signatures", "rejected"]}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_killed_begins_again(tmp_path: Path, method: str) -> None:
    """SIGKILL in the middle of a stage; what it left is of other input, and is not taken over."""
    for stage in KILLS[method]:
        more = planted()
        more["web_en"].append(more["web_en"][0])
        write(tmp_path, more)
        killed = in_a_process(tmp_path, method, stage)
        assert killed.returncode == -9, killed.stderr.decode()
    shutil.rmtree(tmp_path / "read")
    write(tmp_path)
    output = run(tmp_path, method, tasks=2)
    write(tmp_path / "whole")
    whole = run(tmp_path / "whole", method)
    for source in SOURCES:
        for kind in ("kept", "rejected"):
            for shard in StepFolder(whole / source).done():
                own, other = (getattr(StepFolder(o / source), kind)(shard) for o in (output, whole))
                assert own.read_bytes() == other.read_bytes()


def similarity(a: str, b: str) -> float:
    grams = [{tuple(t.split()[i : i + 5]) for i in range(len(t.split()) - 4)} for t in (a, b)]
    return len(grams[0] & grams[1]) / len(grams[0] | grams[1])


def test_as_many_near_duplicates_are_found_as_the_numbers_promise(tmp_path: Path) -> None:
    """Pairs with about 0.7 of their 5-grams in common, which should meet half of the time."""
    rng = random.Random(5)
    pairs = []
    for _ in range(150):
        text = " ".join(words(rng, 120))
        pairs.append((text, changed(rng, text, 4)))
    expected = [1 - (1 - similarity(a, b) ** 8) ** 14 for a, b in pairs]
    mean, deviation = sum(expected), sum(p * (1 - p) for p in expected) ** 0.5
    assert 0.35 < mean / len(pairs) < 0.75
    write(tmp_path, {"web_ko": [[a for a, _ in pairs], [b for _, b in pairs]]})
    found = StepFolder(run(tmp_path, "minhash") / "web_ko").tally().documents_rejected
    assert abs(found - mean) < 3 * deviation
    # Eight buckets of 14 hashes, which is what confusing the two numbers comes to, find far fewer.
    assert 3 * deviation < mean - sum(1 - (1 - similarity(a, b) ** 14) ** 8 for a, b in pairs)


@pytest.mark.parametrize(("method", "key"), [("minhash", "words"), ("exact", "max_removed")])
def test_keys_that_are_no_more_are_refused_by_name(method: str, key: str) -> None:
    with pytest.raises(ValidationError, match=f"`{key}` is no more"):
        METHODS[method](**{key: "unicode" if key == "words" else 0.5})
