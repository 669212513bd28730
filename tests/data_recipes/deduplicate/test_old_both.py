"""The decision: against a slow reference, by hand, and with the filter's false positives."""

import math
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from data_recipes.deduplicate import old_both
from data_recipes.deduplicate.bloom import BloomFilter, FilterShape
from data_recipes.deduplicate.ngrams import cut_ngrams
from data_recipes.deduplicate.old_both import find_duplicates, rewrite
from data_recipes.engine.documents import text_buffers

from .material import batch_of, with_copies, words
from .reference import Outcome, deduplicate

MODES = ("old-both", "paragraph", "document")


def roomy(size: int = 13) -> BloomFilter:
    """A filter that takes nothing new for known in a test: one chance in 10**12 an n-gram."""
    return BloomFilter(FilterShape.of(200_000, 1e-12), size, 200_000)


def ours(
    texts: list[str], bloom: BloomFilter, mode: str = "old-both", threshold: float = 0.8
) -> tuple[list[Outcome], pa.RecordBatch]:
    """What becomes of documents in our implementation, and the removed paragraphs."""
    batch = batch_of(texts)
    ngrams = cut_ngrams(*text_buffers(batch), bloom.ngram_size, mode)
    found = find_duplicates(ngrams, mode, threshold, bloom)
    outcome, removed = rewrite(batch, ngrams, found)
    totals = np.diff(ngrams.bounds[ngrams.documents]).tolist()
    lost: dict[str, list[tuple[int, int, int, int]]] = {}
    for row in removed.to_pylist():
        own = tuple(row[c] for c in ("start", "end", "ngrams", "hits"))
        lost.setdefault(row["id"], []).append(own)
    kept = {r["id"]: r for r in outcome.kept.to_pylist()}
    rejected = {r["id"]: r for r in outcome.rejected.to_pylist()}
    assert len(kept) + len(rejected) == len(texts) and not kept.keys() & rejected.keys()
    result = []
    for i, id_ in enumerate(batch.column("id").to_pylist()):
        hits = int(found.hits[i])
        if id_ in kept:
            assert kept[id_]["bff_contained_ngrams"] == hits
            result.append(Outcome(kept[id_]["text"], "", hits, totals[i], lost.pop(id_, [])))
        else:
            assert rejected[id_]["text"] == texts[i]
            result.append(Outcome(None, rejected[id_]["reason"], hits, totals[i]))
    assert not lost
    return result, removed


def check_variety(outcomes: list[Outcome], mode: str) -> None:
    """Every kind of outcome must have come up, or a comparison proves little."""
    reasons = Counter(o.reason for o in outcomes)
    assert reasons[""] > 100 and reasons["empty_text"] == 2
    assert reasons["duplicate_document"] > 5 or mode == "paragraph"
    assert reasons["all_paragraphs_duplicate"] > 5 or mode != "paragraph"
    assert sum(len(o.removed) for o in outcomes) > 30 or mode == "document"
    assert sum(0 < o.hits for o in outcomes if not o.reason) > 20


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "threshold"), [(13, 0.8), (3, 0.5)])
def test_the_reference_agrees_with_an_exact_set_in_place_of_the_filter(
    mode: str, size: int, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our code, uncompiled, on a set of hashes; theirs on a set of words."""
    exact: set[int] = set()

    def insert(words: np.ndarray, hashes: int, ngram: np.uint64) -> int:
        exact.add(int(ngram))
        return 0

    monkeypatch.setattr(old_both, "contains", lambda words, hashes, ngram: int(ngram) in exact)
    monkeypatch.setattr(old_both, "insert", insert)
    monkeypatch.setattr(old_both, "_judge", old_both._judge.py_func)
    texts = with_copies(90)
    seen: set[tuple[str, ...]] = set()
    expected = deduplicate(texts, seen, mode, size, threshold)
    assert ours(texts, roomy(size), mode, threshold)[0] == expected
    assert len(exact) == len(seen)
    if size == 13:
        check_variety(expected, mode)


@pytest.mark.parametrize("mode", MODES)
def test_the_reference_agrees_with_a_roomy_filter(mode: str) -> None:
    texts = with_copies(90, seed=4)
    seen: set[tuple[str, ...]] = set()
    expected = deduplicate(texts, seen, mode)
    check_variety(expected, mode)
    bloom = roomy()
    cut = len(texts) // 3
    # Where one batch ends and the next begins does not matter.
    assert ours(texts[:cut], bloom, mode)[0] + ours(texts[cut:], bloom, mode)[0] == expected
    assert len(seen) <= bloom.inserted <= sum(o.total for o in expected)


def test_false_positives_stay_within_the_rate() -> None:
    """Paragraphs of one n-gram, all new: what is removed, is removed by mistake alone."""
    rng = random.Random(1)
    count, rate = 30_000, 0.05
    bloom = BloomFilter(FilterShape.of(count, rate), 13, count)
    removed = expected = 0.0
    for _ in range(30):
        batch = batch_of([words(rng, 13) for _ in range(count // 30)])
        found = find_duplicates(
            cut_ngrams(*text_buffers(batch), 13, "paragraph"), "paragraph", 0.8, bloom
        )
        removed += int(found.removed.sum())
        expected += found.false_removals
    assert 0.04 < bloom.rate < 1.02 * rate
    # The rate of the full filter holds for the last batch; over all of them it is far less.
    assert 100 < removed < rate * count / 3
    assert abs(removed - expected) < 5 * math.sqrt(expected)


def test_with_a_full_filter_differences_are_those_of_its_rate() -> None:
    """Longer paragraphs at the default rate: some n-grams are taken for known, no text is lost."""
    texts = with_copies(150, seed=5)
    expected = deduplicate(texts, set())
    bloom = BloomFilter(FilterShape.of(sum(o.total for o in expected), 0.01), 13, 0)
    found, _ = ours(texts, bloom)
    assert 0.001 < bloom.rate <= 0.01
    more = sum(f.hits - e.hits for f, e in zip(found, expected))
    fresh = sum(e.total - e.hits for e in expected)
    assert 0 < more <= bloom.rate * fresh + 5 * math.sqrt(bloom.rate * fresh)
    differ = [(f, e) for f, e in zip(found, expected) if (f.text, f.reason) != (e.text, e.reason)]
    assert len(differ) <= 0.01 * len(texts)


def test_planted_copies_are_found_and_nothing_else() -> None:
    rng = random.Random(2)
    fresh = [[words(rng, 100) for _ in range(5)] for _ in range(60)]
    texts = ["\n".join(paragraphs) for paragraphs in fresh]
    copies = [texts[i] for i in range(0, 60, 3)]
    borrowed = ["\n".join([fresh[i][2], words(rng, 100), words(rng, 90)]) for i in range(20)]

    def changed(text: str, places: list[int]) -> str:
        own = text.split(" ")
        for place in places:
            own[place] = words(rng, 1)
        return " ".join(own)

    # Of 88 n-grams, a word in the middle is part of 13: 75 are left (85 %). Two such words: 62.
    near = [changed(fresh[i][1], [50]) + "\n" + words(rng, 200) for i in range(20)]
    far = [changed(fresh[i][1], [30, 70]) + "\n" + words(rng, 200) for i in range(20)]
    found, removed = ours(texts + copies + borrowed + near + far, roomy())
    new, again, lent, close, apart = (
        found[a:b] for a, b in ((0, 60), (60, 80), (80, 100), (100, 120), (120, 140))
    )
    assert all(o.text == t and not o.hits for o, t in zip(new, texts))
    assert all(o.reason == "duplicate_document" for o in again)
    for paragraphs, outcome in zip(borrowed, lent):
        assert outcome.text == paragraphs[paragraphs.index("\n") :]
    for text, outcome in zip(near, close):
        assert outcome.text == text[text.index("\n") :] and outcome.hits == 75
    for text, outcome in zip(far, apart):
        assert outcome.text == text and outcome.hits == 62
    assert removed.num_rows == 40


@pytest.mark.parametrize(
    ("last_words_changed", "kept"),
    [(0, False), (1, True), (2, True)],
)
def test_exactly_the_threshold_is_kept(last_words_changed: int, kept: bool) -> None:
    """17 words are 5 n-grams; with the last word changed 4 of 5 are known, and 0.8 is not > 0.8."""
    rng = random.Random(3)
    first = words(rng, 17).split(" ")
    second = first[: 17 - last_words_changed] + words(rng, last_words_changed).split(" ")
    texts = [" ".join(first), " ".join(second).strip()]
    found, _ = ours(texts, roomy())
    assert found[1].hits == 5 - last_words_changed
    assert (found[1].text is not None) == kept


def test_cases_worked_out_by_hand() -> None:
    rng = random.Random(4)
    a, b, c = (words(rng, 30) for _ in range(3))
    short = words(rng, 12)
    texts = [
        f"{a}\n{short}",
        f"{short}\n{short}",  # 12 words have no 13-gram: never seen, never removed
        f"\n{b}\n{b}\n{short}",  # a copy within a document: 18 of 36, one paragraph goes
        f"{a}\n\n{c}",  # the first paragraph goes, and what follows keeps its newlines
        f"{a}\n{a}\n{a}\n{a}\n{words(rng, 14)}",  # 72 of 74: the document goes,
        # but its new paragraph stays in the filter
    ]
    found, removed = ours([*texts, texts[4].split("\n")[-1]], roomy())
    assert [o.text for o in found] == [
        texts[0],
        texts[1],
        f"\n{b}\n{short}",
        f"\n\n{c}",
        None,
        None,
    ]
    assert [o.hits for o in found] == [0, 0, 18, 18, 72, 2]
    assert [o.reason for o in found[4:]] == ["duplicate_document"] * 2
    rows = removed.to_pylist()
    assert [(r["id"], r["text"]) for r in rows] == [("s/2", f"\n{b}"), ("s/3", a)]
    size = len(b.encode())
    assert (rows[0]["start"], rows[0]["end"]) == (size + 1, 2 * size + 2)
    assert (rows[0]["ngrams"], rows[0]["hits"]) == (18, 18)
    # From the first word to the last, not the newline; and from the start of the document.
    assert rows[0]["matched"] == [[size + 2, 2 * size + 2]]
    assert rows[1]["matched"] == [[0, size]]


def test_matched_bytes_are_those_of_the_known_ngrams() -> None:
    rng = random.Random(6)
    own = words(rng, 100).split(" ")
    copy = [*own[:45], words(rng, 1), *own[46:]]
    text = f"{words(rng, 300)}\n{' '.join(copy)}"
    _, removed = ours([" ".join(own), text], roomy())
    (row,) = removed.to_pylist()
    data = text.encode()
    parts = [data[a:b].decode().split(" ") for a, b in row["matched"]]
    assert parts == [own[:45], own[46:]]
    assert data[row["start"] : row["end"]].decode() == row["text"] == "\n" + " ".join(copy)


def test_ngrams_of_a_document_reach_over_newlines_and_those_of_a_paragraph_do_not() -> None:
    text = "a b c\nd e f g\n\nh i"
    data = np.frombuffer(text.encode(), np.uint8)
    offsets = np.array([0, len(data)])
    whole = cut_ngrams(data, offsets, 3, "document")
    assert whole.bounds.tolist() == [0, 7]
    parts = cut_ngrams(data, offsets, 3, "old-both")
    assert parts.starts.tolist() == [0, 5, 13, 14, 18]
    assert parts.bounds.tolist() == [0, 1, 3, 3, 3]
    assert parts.hashes.tolist() == whole.hashes[[0, 3, 4]].tolist()
    assert len(set(whole.hashes.tolist())) == 7


def test_an_ngram_hash_depends_on_its_words_and_their_order_alone() -> None:
    rng = random.Random(7)
    own = words(rng, 60).split(" ")
    base = cut_ngrams(*text_buffers(batch_of([" ".join(own)])), 13, "document").hashes
    for start in (1, 20, 47):
        text = " ".join(own[start:])
        alone = cut_ngrams(*text_buffers(batch_of([text])), 13, "document").hashes
        assert alone.tolist() == base[start:].tolist()
    swapped = [" ".join([*own[:i], own[i + 1], own[i], *own[i + 2 : 13]]) for i in range(12)]
    hashes = cut_ngrams(*text_buffers(batch_of(swapped)), 13, "document").hashes
    assert len({*hashes.tolist(), int(base[0])}) == 13


def test_more_words_and_ngrams_than_expected_fit() -> None:
    """One word a byte, in a document of more words than the kernel has room for at first."""
    texts = ["- x", "-" * 20_000, "." * 30]
    ngrams = cut_ngrams(*text_buffers(batch_of(texts)), 2, "old-both")
    assert np.diff(ngrams.bounds).tolist() == [1, 19_999, 29]
    assert len(set(ngrams.hashes[1:20_000].tolist())) == 1
