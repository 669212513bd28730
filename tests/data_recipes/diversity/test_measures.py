"""The measures: right against others' code and by hand, and in the right direction."""

import gzip

import numpy as np
import pytest
import sacrebleu

from data_recipes.diversity.config import MEASURES, DiversityConfig
from data_recipes.diversity.measures import (
    distinct,
    near_duplicates,
    overlap_with_seeds,
    overlaps,
    self_bleu,
)
from data_recipes.diversity.report import Measured, measure, measure_all
from data_recipes.diversity.sample import SampledDocument, TextSample, words_of

from .material import templated, varied

CONFIG = DiversityConfig(self_bleu_documents=60)


def bits_per_byte(texts: list[str]) -> np.ndarray:
    """Score texts by how much of them gzip saves: surprise without a neural network."""
    data = [text.encode() for text in texts]
    return np.array([8 * len(gzip.compress(own)) / len(own) for own in data])


def sample_of(texts: list[str], name: str = "s", seeds: list[str] | None = None) -> TextSample:
    documents = [SampledDocument(t, s) for t, s in zip(texts, seeds or [""] * len(texts))]
    return TextSample(name, "ko", (name,), documents, sum(d.size for d in documents))


def measured(texts: list[str], seeds: list[str]) -> Measured:
    other = sample_of(texts[::2] + varied(50, seed=9), "other")
    own = sample_of(texts, seeds=seeds)
    size = min(own.size, other.size, 60_000)
    results = measure_all([own.cut(size), other.cut(size)], CONFIG, bits_per_byte)
    assert [r.sample.name for r in results] == ["s", "other", "all together"]
    return results[0]


@pytest.fixture(scope="module")
def pair() -> tuple[Measured, Measured]:
    """A varied corpus, and one of a template that copies its seeds and itself."""
    texts = templated(300)
    texts[1::4] = texts[0::4]
    fresh = varied(300)
    return measured(fresh, varied(300, seed=5)), measured(texts, texts[1:] + texts[:1])


@pytest.mark.parametrize("name", list(MEASURES))
def test_every_measure_tells_the_two_apart(pair: tuple[Measured, Measured], name: str) -> None:
    rich, poor = (result.values[name] for result in pair)
    more, less = (rich, poor) if MEASURES[name].varied_is_more else (poor, rich)
    assert more > 1.2 * less, (rich, poor)


def test_the_two_are_equally_large(pair: tuple[Measured, Measured]) -> None:
    sizes = [result.sample.size for result in pair]
    assert min(sizes) > 20_000 and max(sizes) - min(sizes) < 0.01 * max(sizes)


def test_distinct_ngrams_by_hand() -> None:
    words = words_of(["가 나 가 나", "가 나", "다"])
    assert distinct(words, 1) == 3 / 7
    assert distinct(words, 2) == 2 / 4  # 가나 나가 가나 | 가나
    assert distinct(words, 3) == 1.0
    assert distinct(words, 5) is None


def test_order_matters_in_an_ngram() -> None:
    assert distinct(words_of(["가 나", "나 가"]), 2) == 1.0


def test_self_bleu_is_sacrebleus() -> None:
    texts = [*varied(12), *templated(12), "강 산", "강 산 바다 강 산"]
    hashes = [words_of([text]).hashes.tolist() for text in texts]
    split = [" ".join(w.strip(".") for w in text.split()) for text in texts]
    wanted = [
        sacrebleu.sentence_bleu(
            own, split[:i] + split[i + 1 :], tokenize="none", use_effective_order=True
        ).score
        / 100
        for i, own in enumerate(split)
    ]
    assert max(wanted) > 0.5 and min(wanted) < 0.01
    np.testing.assert_allclose(self_bleu(hashes), wanted, atol=1e-9)


def test_overlap_by_hand() -> None:
    first = sample_of(["가 나 다 라 마"], "a")
    second = sample_of(["나 다 라", "바 사"], "b")
    assert overlaps([first, second], 2) == {"a": {"b": 0.5}, "b": {"a": 2 / 3}}


def test_only_the_own_seed_counts() -> None:
    texts, seeds = ["가 나 다", "라 마 바"], ["라 마 바", "라 마 사"]
    assert overlap_with_seeds(sample_of(texts, seeds=seeds), 2) == 1 / 4
    assert overlap_with_seeds(sample_of(texts), 2) is None


def test_near_duplicates_are_those_that_resemble_an_earlier_one() -> None:
    fresh = [" ".join(text.split()[:60]) for text in varied(80) if len(text.split()) >= 60]
    assert len(fresh) > 20
    nearly = [text.rsplit(" ", 1)[0] + " 끝" for text in fresh]
    assert near_duplicates(words_of(fresh)) == 0
    assert near_duplicates(words_of(fresh + nearly)) == 0.5
    assert near_duplicates(words_of(["가", "가"])) == 0  # too short to be compared


def test_openings_are_counted_and_shown() -> None:
    texts = ["나는 오늘, 학교에 갔다"] * 3 + ["너는\n어제 시장에 갔다"]
    found = measure(sample_of(texts), CONFIG, len(texts), None)
    assert found.openings == [("나는 오늘, 학교에", 0.75), ("너는 어제 시장에", 0.25)]
    assert found.values["top_openings"] == 1.0
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(4)
    assert found.values["opening_entropy"] == pytest.approx(entropy)
    assert sum(found.length_histogram) == 4 and found.lengths["mean"] == 4
    assert sum(found.rank_shares) == pytest.approx(1)
