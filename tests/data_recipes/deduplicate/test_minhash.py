"""Near and exact duplicates through datatrove's blocks: planted ones, accounts, kills, refusals."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from datatrove.pipeline.dedup.minhash import MinhashConfig as TheirConfig
from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

from data_recipes.common.errors import RecipeError
from data_recipes.deduplicate.minhash import Signature, Words
from data_recipes.deduplicate.plan import work_dir
from data_recipes.engine.steps import StepFolder
from tests.conftest import ROOT, environment

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
        assert all("of 2 documents that are alike" in row["detail"] for row in rows)
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
    command = [
        sys.executable,
        "-m",
        "tests.data_recipes.deduplicate.dedup_by_files",
        str(root),
        method,
        how,
    ]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True)


KILLS = {
    "minhash": ["signatures", "buckets", "clusters", "rejected"],
    "exact": ["signatures", "copies", "rejected"],
}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_killed_in_every_stage_goes_on(tmp_path: Path, method: str) -> None:
    """SIGKILL in the middle of each."""
    write(tmp_path)
    finished: dict[Path, int] = {}
    for stage in KILLS[method]:
        killed = in_a_process(tmp_path, method, stage)
        assert killed.returncode == -9, killed.stderr.decode()
        # What was finished before was not done again.
        assert all(path.stat().st_mtime_ns == time for path, time in finished.items())
        done = [*(work_dir(tmp_path / method) / "done").rglob("*.json")]
        done += (tmp_path / method).glob("*/stats/*.json")
        finished = {path: path.stat().st_mtime_ns for path in done}
    assert len(finished) >= 5
    output = run(tmp_path, method)
    write(tmp_path / "whole")
    whole = run(tmp_path / "whole", method)
    assert hashes_of(output) == hashes_of(whole) != {}


def test_what_a_killed_run_with_other_input_left_is_not_taken_for_its_own(tmp_path: Path) -> None:
    for name in ("mixed", "clean"):
        write(tmp_path / name)
    larger = work_dir(tmp_path / "mixed" / "minhash") / "signatures" / "bucket_000"
    larger.mkdir(parents=True)
    (larger / "00007.minhash.sig").write_bytes(bytes(68 * 3))
    mixed, clean = (run(tmp_path / name, "minhash") for name in ("mixed", "clean"))
    assert hashes_of(mixed) == hashes_of(clean) != {}


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


def test_signatures_are_datatroves_whatever_the_length(tmp_path: Path) -> None:
    splitter = Words("whitespace")
    ours = Signature(str(tmp_path), TheirConfig(), language=splitter)
    theirs = MinhashDedupSignature(str(tmp_path), TheirConfig(), language=splitter)
    text = " ".join(words(random.Random(1), 10_000))
    for part in (text, text[:500]):
        shingles = theirs.get_shingles(part)
        assert ours.get_signature(shingles) == theirs.get_signature(shingles)
    assert len(theirs.get_shingles(text)) > 2 * 4096


def test_words_of_scripts_without_spaces(tmp_path: Path) -> None:
    assert Words("whitespace").word_tokenize("한국어 文章です") == ["한국어", "文章です"]
    assert Words("unicode").word_tokenize("한국어 文章です") == ["한국어", "文", "章", "で", "す"]
    rng = random.Random(2)
    text = "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(300))
    write(tmp_path, {"web_ko": [[text, "다른 글이 하나 더 있다"], [text[:290] + "一二三四"]]})
    folder = StepFolder(run(tmp_path, "minhash", words="unicode") / "web_ko")
    assert folder.tally().reasons["near_duplicate"]["documents"] == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_source_that_is_about_to_disappear_stops_the_run(tmp_path: Path, method: str) -> None:
    original = " ".join(words(random.Random(1), 50))
    shards = {"web_ko": [[original]], "web_en": [[original] * 20, [original] * 20]}
    write(tmp_path, shards)
    message = r"more than 90% of the documents of web_en 40 of 40 \(100.0%\)"
    if method == "minhash":  # one of a cluster stays, not always the first
        message = r"more than 90% of the documents of web_en \d+ of 40"
    with pytest.raises(RecipeError, match=message + ".*raise deduplicate.max_removed"):
        run(tmp_path, method)
    assert not (tmp_path / method / "web_en").exists()
    before = {p: p.stat().st_mtime_ns for p in (work_dir(tmp_path / method) / "done").rglob("*")}
    output = run(tmp_path, method, max_removed=1.0)
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert Counter(texts(output, "kept")) == {original: 1}


def test_other_settings_and_other_input_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    run(tmp_path, "minhash")
    with pytest.raises(RecipeError, match=r"other settings \(settings\)"):
        run(tmp_path, "minhash", ngram_size=7)
    more = planted()
    more["web_en"][2].append("하나 더")
    write(tmp_path, more)
    with pytest.raises(RecipeError, match=r"other settings \(shards\)"):
        run(tmp_path, "minhash")


@pytest.mark.parametrize("method", METHODS)
def test_more_shards_than_open_files(tmp_path: Path, method: str) -> None:
    """datatrove opens all at once, several files for each."""
    write(tmp_path, {"web_ko": [[f"{n} {words(random.Random(4), 9)}", str(n)] for n in range(50)]})
    few = in_a_process(tmp_path, method, "60")
    assert b"files have to be open at once, and the limit is 60" in few.stderr
    enough = in_a_process(tmp_path, method, "1000")
    assert enough.returncode == 0, enough.stderr.decode()
    assert len(StepFolder(tmp_path / method / "web_ko").done()) == 50
