"""Shares, epochs, fingerprints, and the mixtures that are refused."""

from collections import Counter
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.tokens.best_fit import make_plan
from data_recipes.tokens.mixture import (
    CYCLE,
    Mixture,
    Packing,
    check_synthesizers,
    cycle_counts,
    format_plan,
)
from data_recipes.tokens.shards import TokenSource

from ..hand_made import write_data_set

LENGTH = 10
WEIGHTS = {"a": 0.7, "b": 0.25, "c": 0.05}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    # As many tokens in longer or shorter documents: shares are of tokens, and not of documents.
    for number, (name, length) in enumerate(zip(WEIGHTS, (25, 100, 10))):
        documents = [[number * 100 + i % 100] * length for i in range(1000 // length)]
        synthesizer = None if name == "a" else "one model"
        write_data_set(tmp_path / name / "train", [documents], synthesizer=synthesizer)
    return tmp_path


def test_shares_hold_in_a_cycle_and_in_every_stretch(shards: Path) -> None:
    mixture = Mixture(shards, WEIGHTS, LENGTH, seed=1)
    names = [mixture.locate(i)[0] for i in range(2 * CYCLE)]
    for start in (0, CYCLE):
        counts = Counter(names[start : start + CYCLE])
        assert counts == {n: round(CYCLE * w) for n, w in WEIGHTS.items()}
    for start in range(0, 2 * CYCLE - 1000, 997):
        counts = Counter(names[start : start + 1000])
        assert all(abs(counts[n] - 1000 * w) <= 3 for n, w in WEIGHTS.items())


def test_a_source_is_seen_whole_before_it_is_repeated(shards: Path) -> None:
    mixture = Mixture(shards, WEIGHTS, LENGTH, seed=1)
    size = mixture.sources["b"].windows(LENGTH)
    # Over two cycles of the mixture: the second goes on where the first ended.
    draws = [n for i in range(2 * CYCLE) if (name := mixture.locate(i))[0] == "b" for n in name[2:]]
    epochs = [draws[first : first + size] for first in range(0, len(draws), size)]
    assert len(epochs) == 50
    for order in epochs:
        assert sorted(order) == list(range(size))
    assert len({tuple(order) for order in epochs}) == len(epochs)


def test_no_token_of_a_source_is_left_out_for_ever(tmp_path: Path) -> None:
    write_data_set(tmp_path / "a" / "train", [[list(range(77))]])
    mixture = Mixture(tmp_path, {"a": 1.0}, 40, seed=1)
    assert mixture.sources["a"].windows(40) == 1
    seen = [set(mixture.window(i).tokens.tolist()) for i in range(3)]
    assert len(seen[0]) == 40 and set().union(*seen) == set(range(77))


def test_windows_do_not_depend_on_what_was_read_before(shards: Path) -> None:
    forwards, backwards = (Mixture(shards, WEIGHTS, LENGTH, seed=1) for _ in range(2))
    indices = [0, 5, CYCLE - 1, CYCLE, 3 * CYCLE + 17]
    expected = [forwards.locate(i) for i in indices]
    assert [backwards.locate(i) for i in reversed(indices)] == expected[::-1]
    assert Mixture(shards, WEIGHTS, LENGTH, seed=2).locate(5) != expected[1]


def test_fingerprint_changes_with_everything_that_changes_windows(
    shards: Path, tmp_path: Path
) -> None:
    def fingerprint(weights: dict = WEIGHTS, length: int = LENGTH, seed: int = 1) -> str:
        return Mixture(shards, weights, length, seed).fingerprint

    base = fingerprint()
    assert fingerprint({k: 2 * v for k, v in WEIGHTS.items()}) == base
    others = [fingerprint(length=20), fingerprint(seed=2), fingerprint({"a": 1, "b": 1, "c": 1})]
    (shards / "c" / "train").rename(shards / "c" / "old")
    write_data_set(shards / "c" / "train", [[[7] * 1000]])
    others.append(fingerprint())
    assert len({base, *others}) == 5


def test_plan_counts_tokens_and_epochs(shards: Path) -> None:
    mixture = Mixture(shards, WEIGHTS, LENGTH, seed=1)
    rows = mixture.plan(1000)
    assert [r.windows for r in rows] == [700, 250, 50]
    assert [r.epochs for r in rows] == [7.0, 2.5, 0.5]
    table = format_plan(rows, LENGTH)
    assert "a is seen 7.0 times" in table and "b is seen" not in table
    assert "window" in mixture.describe(3) and "documents" in mixture.describe(3)


def test_one_synthesizer_is_refused(shards: Path) -> None:
    rows = Mixture(shards, WEIGHTS, LENGTH, seed=1).plan(1000)
    with pytest.raises(RecipeError, match=r"'one model'.*allow_single_synthesizer"):
        check_synthesizers(rows)
    check_synthesizers(rows, language="en")
    check_synthesizers([r for r in rows if r.synthesizer is None])
    write_data_set(shards / "d" / "train", [[[5] * 100]], synthesizer="another model")
    mixture = Mixture(shards, {**WEIGHTS, "d": 0.1}, LENGTH, seed=1)
    check_synthesizers(mixture.plan(1000))


def test_impossible_mixtures_are_refused(shards: Path) -> None:
    for weights, message in [
        ({}, "empty"),
        ({"a": -1.0}, "must be a positive number"),
        ({"a": 1.0, "b": 1e-6}, "below 1/"),
    ]:
        with pytest.raises(RecipeError, match=message):
            cycle_counts(weights)
    with pytest.raises(RecipeError, match="less than one window"):
        Mixture(shards, WEIGHTS, 2000, seed=1)
    write_data_set(shards / "d" / "train", [[[5] * 100]], tokenizer="1" * 64)
    with pytest.raises(RecipeError, match="different tokenizers"):
        Mixture(shards, {**WEIGHTS, "d": 1}, LENGTH, seed=1)


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_visits_are_the_windows_that_show_a_stretch(tmp_path: Path, packing: Packing) -> None:
    """Against a look at every window; documents that are cut, whole, and at the end of the ring."""
    documents = [[d] * length for d, length in enumerate((3, 25, 8, 12, 17, 4))]
    for name in ("a", "b"):
        write_data_set(tmp_path / name / "train", [documents[:3], documents[3:]])
        if packing == "best_fit":
            make_plan(TokenSource(tmp_path / name / "train"), LENGTH)
    mixture = Mixture(tmp_path, {"a": 0.7, "b": 0.3}, LENGTH, 3, packing, pad_token_id=99)
    windows = 47  # several epochs of `a`
    for document, tokens in enumerate(documents):
        start, length = mixture.sources["a"].document_bounds(document)
        assert length == len(tokens)
        assert mixture.sources["a"].tokens_at(start, length).tolist() == tokens
        looked_at = [
            (index, mixture.locate(index)[1])
            for index in range(windows)
            if mixture.locate(index)[0] == "a" and document in mixture.window(index).tokens
        ]
        assert mixture.visits("a", start, length, windows) == looked_at
