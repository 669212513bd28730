"""The filter: its size, its false-positive rate, and what it refuses to load."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.deduplicate import bloom as module
from data_recipes.deduplicate.bloom import (
    HEADER,
    BloomFilter,
    FilterShape,
    _place,
    contains,
    false_positive_rate,
    insert,
)


def filled(count: int, rate: float = 0.01, seed: int = 0, size: int = 13) -> BloomFilter:
    """A filter with `count` random n-grams in it."""
    bloom = BloomFilter(FilterShape.of(count, rate), size, count)
    for ngram in np.random.default_rng(seed).integers(0, 2**64, count, np.uint64):
        bloom.bits_set += insert(bloom.words, bloom.hashes, ngram)
        bloom.inserted += 1
    return bloom


@pytest.mark.parametrize("ngrams", [1, 1000, 10**6, 2 * 10**12])
@pytest.mark.parametrize("rate", [0.2, 0.01, 1e-6])
def test_the_size_is_the_smallest_that_keeps_to_the_rate(ngrams: int, rate: float) -> None:
    """By the formula that DCLM's BFF prints, for its number of hashes."""

    def formula(words: int) -> float:
        bits = words * 64
        hashes = max(1, math.ceil(bits / ngrams * math.log(2)))
        # (1 - 1/m)**(kn), in logarithms: the power itself loses all digits for a large m.
        empty = math.exp(hashes * ngrams * math.log1p(-1 / bits))
        return (1 - empty) ** hashes

    shape = FilterShape.of(ngrams, rate)
    assert formula(shape.words) <= rate
    assert shape.words == 1 or formula(shape.words - 1) > rate
    assert shape.hashes == max(1, math.ceil(shape.words * 64 / ngrams * math.log(2)))


def test_the_default_rate_takes_the_published_size() -> None:
    """2e12 n-grams are 2.4 TB (dclm issue 99), at 7 hashes and 1.2 bytes each."""
    shape = FilterShape.of(2 * 10**12, 0.01)
    assert shape.hashes == 7
    assert 2.39e12 < shape.bytes < 2.41e12


@pytest.mark.parametrize("rate", [0.2, 0.01, 0.001])
def test_the_rate_is_the_one_asked_for(rate: float) -> None:
    count, tries = 50_000, 200_000
    bloom = filled(count, rate)
    fresh = np.random.default_rng(1).integers(0, 2**64, tries, np.uint64)
    found = sum(contains(bloom.words, bloom.hashes, ngram) for ngram in fresh)
    error = 5 * math.sqrt(rate * tries)
    assert abs(found - bloom.rate * tries) < error
    assert abs(found - rate * tries) < error + 0.05 * rate * tries
    assert abs(bloom.rate - rate) < 0.05 * rate
    inside = np.random.default_rng(0).integers(0, 2**64, count, np.uint64)
    assert all(contains(bloom.words, bloom.hashes, ngram) for ngram in inside)


def test_bits_are_counted_as_they_are_set() -> None:
    bloom = filled(5000)
    bits = int(np.bitwise_count(bloom.words).sum())
    assert bloom.bits_set == bits
    assert bloom.fill == bits / (64 * len(bloom.words))
    again = np.random.default_rng(0).integers(0, 2**64, 5000, np.uint64)
    assert sum(insert(bloom.words, bloom.hashes, ngram) for ngram in again) == 0


def test_places_are_the_upper_half_of_a_product() -> None:
    """Also for filters of hundreds of gigabytes, which no test can hold."""
    rng = np.random.default_rng(2)
    values = [0, 1, 2**32 - 1, 2**32, 2**64 - 1, *rng.integers(0, 2**64, 50, np.uint64).tolist()]
    for bits in (64, 2**32 + 64, 19_186_000_000_064, 2**63):
        places = [int(_place(np.uint64(v), np.uint64(bits))) for v in values]
        assert places == [v * bits >> 64 for v in values]
        assert places[4] == bits - 1


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    bloom = filled(3000)
    bloom.save(tmp_path, shards=[["a", "00000"]])
    back, header = BloomFilter.load(tmp_path, 13, 1.0)
    assert (back.words == bloom.words).all() and back.hashes == bloom.hashes
    assert (back.inserted, back.bits_set, back.expected) == (3000, bloom.bits_set, 3000)
    assert header["shards"] == [["a", "00000"]]
    # Twice more: the old bits go.
    for _ in range(2):
        back.bits_set += insert(back.words, back.hashes, np.uint64(back.bits_set))
        back.save(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
    again, _ = BloomFilter.load(tmp_path, 13, 1.0)
    assert again.bits_set == back.bits_set > bloom.bits_set


def test_a_save_that_is_cut_short_leaves_the_old_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bloom = filled(500)
    bloom.save(tmp_path)
    before = bloom.words.copy()

    def dies(path: Path, value: object) -> None:
        raise KeyboardInterrupt

    bloom.words[:] = 0
    monkeypatch.setattr(module, "write_json_atomically", dies)
    with pytest.raises(KeyboardInterrupt):
        bloom.save(tmp_path)
    assert (BloomFilter.load(tmp_path, 13, 1.0)[0].words == before).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [("hash_version", 0), ("word_table", "0" * 16), ("format", 2), ("ngram_size", 5)],
)
def test_a_filter_of_other_ngrams_is_refused(tmp_path: Path, key: str, value: object) -> None:
    filled(500).save(tmp_path)
    header = json.loads((tmp_path / HEADER).read_text())
    header[key] = value
    (tmp_path / HEADER).write_text(json.dumps(header))
    with pytest.raises(RecipeError, match=f"{key} {value!r}"):
        BloomFilter.load(tmp_path, 13, 1.0)


def test_damage_is_noticed(tmp_path: Path) -> None:
    filled(500).save(tmp_path)
    (path,) = tmp_path.glob("*.npy")
    whole = path.read_bytes()
    for damaged in (b"", whole[:-8], whole[:-8] + b"\xff" * 8, whole[:-80] + b"\0" * 80):
        path.write_bytes(damaged)
        with pytest.raises(RecipeError, match=f"{path.name}: .*damaged"):
            BloomFilter.load(tmp_path, 13, 1.0)
    path.unlink()
    with pytest.raises(RecipeError, match="missing"):
        BloomFilter.load(tmp_path, 13, 1.0)
    (tmp_path / HEADER).write_text("{")
    with pytest.raises(RecipeError, match=f"{HEADER}: missing or damaged"):
        BloomFilter.load(tmp_path, 13, 1.0)
    with pytest.raises(RecipeError, match="missing or damaged"):
        BloomFilter.load(tmp_path / "nowhere", 13, 1.0)


def test_a_filter_beyond_the_budget_is_refused_with_what_would_do(tmp_path: Path) -> None:
    filled(5000).save(tmp_path)
    with pytest.raises(RecipeError, match="takes 0.000 GB, and memory_gb is 0.000; raise it"):
        BloomFilter.load(tmp_path, 13, 1e-6)
    shape = FilterShape.of(2 * 10**12, 0.01)
    with pytest.raises(RecipeError) as error:
        shape.check_memory(2 * 10**12, 0.01, 836, 1)
    message = str(error.value)
    for part in ("2,000,000,000,000 n-grams", "2,398.239 GB", "836", "filters=3"):
        assert part in message
    # What it proposes is accepted.
    rate = float(message.rsplit("false_positive_rate=")[1].split(" ")[0])
    assert 0.1 < rate < 0.3
    FilterShape.of(2 * 10**12, rate).check_memory(2 * 10**12, rate, 836, 1)
    memory = float(message.split("memory_gb=")[1].split(")")[0])
    shape.check_memory(2 * 10**12, 0.01, memory, 1)
    third = 2 * 10**12 // 3 + 1
    FilterShape.of(third, 0.01).check_memory(third, 0.01, 836, 3)


def test_the_formula_is_exact_where_that_can_be_seen() -> None:
    assert false_positive_rate(64, 1, 1) == pytest.approx(1 / 64)
    assert false_positive_rate(9585, 1000, 7) == pytest.approx(0.01, rel=0.01)
