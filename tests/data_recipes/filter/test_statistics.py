"""Statistics of our own, worked out by hand; and what the kernels are made of."""

import random
import unicodedata

import numpy as np
import pytest

from data_recipes.filter.patterns import Phrase, build, count_phrases
from data_recipes.filter.statistics import STATISTICS, Lists, measure
from data_recipes.filter.words import (
    measure_words,
    stop_word_table,
    suffix_trie,
    whitespace_spans,
    word_hash,
    word_spans,
)

from .buffers import buffers
from .odd_texts import odd_texts

KOREAN = "오늘은 날씨가 맑아서 동생과 강가를 오래 걸었다. 물이 차가웠지만 발을 담갔다."
LISTS = Lists(
    phrases=build(
        boilerplate=["무단 전재", "Cookie Policy", "ÄRGER"],
        spam=["casino", "free spins", "대출", "꽁머니", "need you"],
        pitch=["you ", "하세요", "free"],
    ),
    stop_words=stop_word_table(["the", "of", "이"]),
    suffixes=suffix_trie(["은", "가", "서", "과", "를", "다", "이", "만", "을"]),
    function_words=stop_word_table(["the", "of", "is"]),
    articles=stop_word_table(["the", "a"]),
    particles=suffix_trie(["을", "는"]),
)


def statistics(text: str, hangul: bool = True) -> dict[str, float]:
    # Between neighbours, which must not show: words of the lists stand where they meet.
    data, offsets = buffers(["앞 문서 the a", text, "the of is"])
    found = measure(data, offsets, whitespace_spans(data, offsets), LISTS, hangul)
    assert list(found) == list(STATISTICS)
    return {name: float(values[1]) for name, values in found.items()}


@pytest.mark.parametrize(
    ("text", "statistic", "value"),
    [
        ("가나 다 abc", "hangul_frac", 3 / 6),
        ("ㅋㅋㅋ 웃겨 ㅠㅠ", "compatibility_jamo_frac", 5 / 7),
        (unicodedata.normalize("NFD", "각 a"), "conjoining_jamo_frac", 3 / 4),
        ("쀍뷁 가나", "rare_hangul_frac", 2 / 4),
        ("가" * 12 + " " + "나" * 13, "unspaced_hangul_frac", 13 / 25),
        ("가" * 12 + " " + "나" * 13, "longest_run", 13),
        ("see https://a.example/b?c=d www.x.org w.w", "url_frac", 32 / 38),
        ("a:// :/ b", "url_frac", 4 / 7),
        ("https://" + "x" * 99 + " four", "longest_run", 4),
        ("abc\ufffd\ufffd \ufffd", "replacement_frac", 3 / 6),
        ("a\x01\ue000b\t\r\n\ufdd0\x85", "control_frac", 4 / 9),
        ("12 a½!?", "number_frac", 3 / 6),
        ("12 a½!?", "symbol_frac", 2 / 6),
        ("the of the 이 이야", "stop_words", 3),
        ("무단 전재 금지\n본문 열두 글자다\n", "boilerplate_frac", 8 / 17),
        ("OUR COOKIE POLICY\närger\nxy", "boilerplate_frac", 22 / 24),
        ("", "mean_word_length", 0),
        ("f(x) = {a};\n$y_1$ \\alpha", "code_frac", 8 / 20),
        ("| a | b |\n|---|---|\n| 1 | 2 |\nend", "table_line_frac", 3 / 4),
        ("a\tb\tc\n1  2 \u00a0 3\na\tb\nOne.  Two!  Three  four", "table_line_frac", 2 / 4),
        (
            "  - a\n3. b\n12)\u00a0c\n175\u00a0g\n2024.\nx - y\n○ 가\n② 나\n5",
            "point_line_frac",
            6 / 9,
        ),
        ("Casino free spins, 대출 casino here", "spam_ratio", 4 / 6),
        ("casino free spins casino here", "spam_ratio", 0),
        # One phrase, three times, in one that is longer and in two cases.
        ("I need you. Need you, NEED YOU", "spam_ratio", 0),
        ("Will you or you go? 하세요", "pitch_ratio", 3 / 6),
        ("I need you free, free spins", "pitch_ratio", 3 / 6),
        ("the cat is of a kind", "function_word_frac", 3 / 6),
        ("the of cats, a cat, the is", "broken_article_frac", 2 / 3),
        ("the of cats, a cat", "broken_article_frac", 0),
        ("the of cats, a cat, cut off behind the", "broken_article_frac", 0),
        ("나는 물을. 간다! 오는? 끝 집을", "unfinished_frac", 2 / 3),
        ("나는 물을. 간다! 온다? 끝 집을", "unfinished_frac", 0),
        ("무단 전재 " + "가" * 200 + "\n무단 전재", "boilerplate_frac", 5 / 211),
        # "오래" has no suffix; marks and quotation marks behind the word do not hide one.
        (KOREAN, "suffix_word_frac", 10 / 11),
        ('"집은" 산이… 가, 이 다. abc가 2가', "suffix_word_frac", 4 / 7),
    ],
)
def test_cases_worked_out_by_hand(text: str, statistic: str, value: float) -> None:
    assert statistics(text)[statistic] == pytest.approx(value, abs=1e-12)


def test_suffixes_of_a_language_without_hangul() -> None:
    data, offsets = buffers(["evlerde 12 kitaplar, Ankara'da -- de"])
    lists = Lists(suffixes=suffix_trie(["de", "da", "lar"]))
    found = measure(data, offsets, whitespace_spans(data, offsets), lists, hangul=False)
    assert found["suffix_word_frac"][0] == 3 / 4


@pytest.mark.parametrize(
    ("encoding", "wrong", "least"),
    [
        ("utf-8", "latin-1", 0.8),
        ("utf-8", "cp1252", 0.5),
        ("cp949", "latin-1", 0.8),
        ("cp949", "cp1252", 0.8),
    ],
)
def test_mojibake(encoding: str, wrong: str, least: float) -> None:
    broken = KOREAN.encode(encoding).decode(wrong, errors="replace")
    assert statistics(broken)["mojibake_frac"] > least


def test_mojibake_of_replacement_characters() -> None:
    broken = ("\ufffd" * 6).encode().decode("cp949")
    assert broken == "占쏙옙占쏙옙占쏙옙"
    assert statistics(broken)["mojibake_frac"] == 1
    both = statistics(KOREAN.encode().decode("cp949", errors="replace"))
    assert both["rare_hangul_frac"] > 0.5


@pytest.mark.parametrize(
    "text",
    [
        KOREAN,
        "漢字와 한글을 섞어 쓴 글은 大韓民國의 옛 신문에 많았다.",
        "Ça été à l’école, « naïveté » : ÉTÉ\u00a0; où\u00a0? Œuvre, Noël — 25\u00a0°C",
        "Größe, Übermaß, Straße; ação, coração, informação; ¿Qué? ¡Así!",
        "10 µm ± 2 °C · ½ × ¾ — “quoted” ‘text’ … € 5",
    ],
)
def test_good_text_is_not_taken_for_mojibake(text: str) -> None:
    found = statistics(text)
    for name in ("mojibake_frac", "replacement_frac", "control_frac", "rare_hangul_frac"):
        assert found[name] == 0


def test_words_are_those_of_str_split() -> None:
    texts = odd_texts(documents=60)
    data, offsets = buffers(texts)
    spans = whitespace_spans(data, offsets)
    for text, first, last in zip(texts, spans.bounds[:-1], spans.bounds[1:], strict=True):
        words = [
            data[a:b].tobytes().decode()
            for a, b in zip(spans.starts[first:last], spans.ends[first:last])
        ]
        assert words == text.split()


def test_hashes_of_words_tell_words_apart_and_add_up() -> None:
    words = sorted({word for text in odd_texts() for word in text.split()})
    assert max(len(word.encode()) for word in words) > 300
    measured = measure_words(word_spans([words]))
    hashes = [int(h) for h in measured.hashes]
    assert len(set(hashes)) == len(words) > 1500
    assert hashes == [word_hash(word) for word in words]
    for i in range(len(words) - 1):
        joined = (hashes[i] * int(measured.powers[i + 1]) + hashes[i + 1]) % 2**64
        assert joined == word_hash(words[i] + words[i + 1])
    assert measured.lengths.tolist() == [len(word) for word in words]


def test_phrases_are_those_that_a_slow_search_finds() -> None:
    rng = random.Random(5)
    totals = np.zeros(len(Phrase), int)
    for _ in range(60):
        lists = [
            ["".join(rng.choices("ab 가나é", k=rng.randint(1, 4))) for _ in range(6)]
            for _ in range(3)
        ]
        boilerplate, spam, pitch = [[p for p in own if p.strip() == p] for own in lists]
        texts = ["".join(rng.choices("abAB  가나é1.\n", k=60)) for _ in range(4)]
        data, offsets = buffers(texts)
        found = count_phrases(data, offsets, build(boilerplate, spam, pitch))
        assert found.shape == (len(Phrase), len(texts))
        for text, own in zip(texts, found.T, strict=True):
            lines = [
                line for line in text.split("\n") if any(p in line.lower() for p in boilerplate)
            ]
            longest = _longest(text.lower(), spam)
            assert own[Phrase.BOILERPLATE] == sum(map(len, lines)), boilerplate
            assert own[Phrase.SPAM] == len(longest), spam
            assert own[Phrase.DIFFERENT_SPAM] == len(set(longest)), spam
            assert own[Phrase.PITCH] == len(_longest(text.lower(), pitch)), pitch
        totals += found.sum(axis=1)
    assert (totals > 100).all()


def _longest(text: str, phrases: list[str]) -> list[str]:
    """Of the phrases that end at each place, the longest."""
    heads = [text[:end] for end in range(1, len(text) + 1)]
    ending = [[p for p in phrases if head.endswith(p)] for head in heads]
    return [max(found, key=len) for found in ending if found]


def test_a_phrase_does_not_reach_over_a_line_end() -> None:
    data, offsets = buffers(["ab\ncd ef\nxx", "b cd"])
    found = count_phrases(data, offsets, build(["ab cd", "cd"]))
    assert found[Phrase.BOILERPLATE].tolist() == [5, 4]


def test_long_documents_and_none_at_all() -> None:
    data, offsets = buffers([])
    none = measure(data, offsets, whitespace_spans(data, offsets), LISTS, hangul=True)
    assert all(len(values) == 0 for values in none.values())
    once = "같은 문장이 끝없이 되풀이된다.\n"
    data, offsets = buffers([once * 20_000, KOREAN])
    found = measure(data, offsets, whitespace_spans(data, offsets), LISTS, hangul=True)
    assert np.isclose(found["dup_10_gram_frac"][0], 14 / 18, atol=1e-3)  # white space aside
    assert found["dup_10_gram_frac"][1] == 0
    assert found["words"][0] == 80_000
    assert np.isclose(found["dup_line_frac"][0], 19_999 / 20_001)
