"""The decisions of datatrove's filters, document by document, with limits all over the range."""

import warnings
from collections import Counter

import numpy as np
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import (
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter, get_filter_result

from data_recipes.filter.profiles import Limit, load_profile
from data_recipes.filter.statistics import Lists, measure
from data_recipes.filter.step import Reasons
from data_recipes.filter.words import stop_word_table, whitespace_spans

from .buffers import buffers
from .odd_texts import odd_texts

STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with", "이", "그"]


@pytest.fixture(autouse=True)
def _whitespace_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        monkeypatch.setattr(module, "split_into_words", lambda text, language: text.split())


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return odd_texts()


@pytest.fixture(scope="module")
def found(texts: list[str]) -> dict[str, np.ndarray]:
    data, offsets = buffers(texts)
    lists = Lists(stop_words=stop_word_table(STOP_WORDS))
    return measure(data, offsets, whitespace_spans(data, offsets), lists, hangul=False)


def ours(found: dict[str, np.ndarray], limits: dict[str, tuple[str, float]]) -> list[str | None]:
    """Reasons; `limits` are (side, number) by statistic, in order."""
    documents = len(found["words"])
    reasons = Reasons.none(documents)
    table = {n: Limit(**{side: number}, source="test") for n, (side, number) in limits.items()}
    reasons.apply_limits(found, table, np.arange(documents))
    return reasons.reasons


def theirs(judge: BaseFilter, texts: list[str]) -> list[str | None]:
    """Their reasons; "fails" where they divide by zero, for want of a word."""
    reasons = []
    for number, text in enumerate(texts):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # mean of no words
                kept, reason = get_filter_result(judge.filter(Document(text, str(number))))
        except ZeroDivisionError:
            reason, kept = "fails", False
        reasons.append(None if kept else reason)
    return reasons


def limits_of(found: dict[str, np.ndarray], names: list[str], seed: int) -> dict[str, float]:
    """A limit for each statistic, often right on a value that occurs, never 0 (which is "off")."""
    rng = np.random.default_rng(seed)
    limits = {}
    for name in names:
        values = found[name][found[name] > 0]
        limits[name] = float(rng.choice(values)) * float(rng.choice([1, 1, 0.7, 1.5]))
    return limits


def compare(
    expected: list[str | None], got: list[str | None], names: dict[str, str], texts: list[str]
) -> Counter[str]:
    """Number of documents by reason, after checking that all agree.

    Two deliberate differences: a text without a single word, which the step has rejected as empty
    before, and which datatrove keeps, calls empty or fails on, depending on the filter.
    """
    seen: Counter[str] = Counter()
    for theirs, own, text in zip(expected, got, texts, strict=True):
        if not text.split():
            continue
        assert own == (None if theirs is None else names[theirs]), repr(text[:200])
        seen[own or "kept"] += 1
    return seen


GOPHER_REPETITION = {
    "dup_para_frac": "dup_para_frac",
    "dup_para_char_frac": "dup_para_char_frac",
    "dup_line_frac": "dup_line_frac",
    "dup_line_char_frac": "dup_line_char_frac",
    **{f"top_{n}_gram": f"top_{n}_gram_frac" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"dup_{n}_gram_frac" for n in range(5, 11)},
}


def test_repetition(texts: list[str], found: dict[str, np.ndarray]) -> None:
    names = {theirs: f"high_{own}" for theirs, own in GOPHER_REPETITION.items()}
    seen: Counter[str] = Counter()
    for seed in range(40):
        limits = limits_of(found, list(GOPHER_REPETITION.values()), seed)
        # All limits at once, one group, or one: else the first ones would hide the last.
        if seed % 4:
            chosen = list(limits)[seed % 13 :: 1 + seed % 5]
            limits = {n: v if n in chosen else 1e9 for n, v in limits.items()}
        judge = GopherRepetitionFilter(
            dup_para_frac=limits["dup_para_frac"],
            dup_para_char_frac=limits["dup_para_char_frac"],
            dup_line_frac=limits["dup_line_frac"],
            dup_line_char_frac=limits["dup_line_char_frac"],
            top_n_grams=[(n, limits[f"top_{n}_gram_frac"]) for n in (2, 3, 4)],
            dup_n_grams=[(n, limits[f"dup_{n}_gram_frac"]) for n in range(5, 11)],
        )
        got = ours(found, {n: ("max", v) for n, v in limits.items()})
        seen += compare(theirs(judge, texts), got, names, texts)
    assert set(seen) == {"kept", *names.values()}
    assert min(seen.values()) > 20


GOPHER_QUALITY = {
    "gopher_short_doc": ("low_words", "min_doc_words"),
    "gopher_long_doc": ("high_words", "max_doc_words"),
    "gopher_below_avg_threshold": ("low_mean_word_length", "min_avg_word_length"),
    "gopher_above_avg_threshold": ("high_mean_word_length", "max_avg_word_length"),
    "gopher_too_many_hashes": ("high_hash_word_ratio", "max_symbol_word_ratio"),
    "gopher_too_many_ellipsis": ("high_ellipsis_word_ratio", "max_symbol_word_ratio"),
    "gopher_too_many_bullets": ("high_bullet_line_frac", "max_bullet_lines_ratio"),
    "gopher_too_many_end_ellipsis": ("high_ellipsis_line_frac", "max_ellipsis_lines_ratio"),
    "gopher_below_alpha_threshold": ("low_alpha_word_frac", "max_non_alpha_words_ratio"),
    "gopher_enough_stop_words": ("low_stop_words", "min_stop_words"),
}


def test_quality(texts: list[str], found: dict[str, np.ndarray]) -> None:
    names = {theirs: own for theirs, (own, _) in GOPHER_QUALITY.items()}
    statistics = sorted({own.split("_", 1)[1] for own, _ in GOPHER_QUALITY.values()})
    everything = list(GOPHER_QUALITY.values())
    seen: Counter[str] = Counter()
    for seed in range(40):
        numbers = limits_of(found, statistics, seed)
        numbers["ellipsis_word_ratio"] = numbers["hash_word_ratio"]  # one parameter for both
        chosen = everything if seed % 4 == 0 else everything[seed % 10 :: 1 + seed % 5]
        parameters = dict.fromkeys((p for _, p in everything), None)
        order = []
        for own, parameter in everything:
            side, statistic = own.split("_", 1)
            if any(parameter == p for _, p in chosen):
                parameters[parameter] = numbers[statistic]
                order.append((statistic, "min" if side == "low" else "max", numbers[statistic]))
        reasons = Reasons.none(len(texts))
        for statistic, side, number in order:
            limits = {statistic: Limit(**{side: number}, source="test")}
            reasons.apply_limits(found, limits, np.arange(len(texts)))
        judge = GopherQualityFilter(stop_words=STOP_WORDS, **parameters)
        seen += compare(theirs(judge, texts), reasons.reasons, names, texts)
    assert set(seen) == {"kept", *names.values()}
    assert min(seen.values()) > 20


def test_lines(texts: list[str], found: dict[str, np.ndarray]) -> None:
    names = {
        "line_punct_ratio": "low_line_punct_frac",
        "short_line_ratio": "high_short_line_frac",
        "char_dup_ratio": "high_char_dup_frac",
        "list_ratio": "high_newline_word_ratio",
    }
    seen: Counter[str] = Counter()
    for seed in range(40):
        statistics = [own.split("_", 1)[1] for own in names.values()]
        limits = limits_of(found, statistics, seed)
        if seed % 4:  # only one of the four says anything
            chosen = statistics[seed % 4]
            limits = {n: v if n == chosen else 1e9 for n, v in limits.items()}
            if chosen != "line_punct_frac":
                limits["line_punct_frac"] = 0
        judge = FineWebQualityFilter(
            line_punct_thr=limits["line_punct_frac"],
            short_line_thr=limits["short_line_frac"],
            char_duplicates_ratio=limits["char_dup_frac"],
            new_line_ratio=limits["newline_word_ratio"],
        )
        sides = {n: ("min" if n == "line_punct_frac" else "max", v) for n, v in limits.items()}
        seen += compare(theirs(judge, texts), ours(found, sides), names, texts)
    assert set(seen) == {"kept", *names.values()}
    assert min(seen.values()) > 20


def test_the_default_limits_of_all_three(texts: list[str], found: dict[str, np.ndarray]) -> None:
    """Which documents pass everything, with the numbers of the papers."""
    papers = ("Gopher", "FineWeb")
    every = load_profile("en").limits.items()
    limits = {name: limit for name, limit in every if limit.source.startswith(papers)}
    assert len(limits) == 25
    reasons = Reasons.none(len(texts))
    reasons.apply_limits(found, limits, np.arange(len(texts)))
    lists = [
        theirs(judge, texts)
        for judge in (
            GopherRepetitionFilter(),
            GopherQualityFilter(stop_words=STOP_WORDS),
            FineWebQualityFilter(),
        )
    ]
    kept = [not any(reasons) for reasons in zip(*lists)]
    assert kept == [reason is None for reason in reasons.reasons]
    assert 5 < sum(kept) < len(texts) - 50
