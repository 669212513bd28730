"""Word boundaries against the rules of UAX 29 written down again, slowly, and by hand."""

import random
from itertools import accumulate

import numpy as np
import pytest
import regex

from data_recipes.text.words import Words, split_words, word_table, words_version

from ..hand_made import some_texts
from .reference_words import CLASSES, class_of, reference_words

# Members of each class, and of none, to make hard texts of.
MEMBERS = {
    "CR": "\r",
    "LF": "\n",
    "Newline": "\x0b\x85\u2028",
    "Extend": "\u0301\u0308\u3099",
    "ZWJ": "\u200d",
    "Format": "\u00ad\u2060",
    "Regional_Indicator": "🇰🇷🇺",
    "Katakana": "カナ",
    "Hebrew_Letter": "אב",
    "ALetter": "aé가ㄱℹ",
    "Single_Quote": "'",
    "Double_Quote": '"',
    "MidNumLet": ".’",
    "MidLetter": ":·",
    "MidNum": ",;",
    "Numeric": "1२",
    "ExtendNumLet": "_‿",
    "WSegSpace": " \u3000",
    "": "漢-☎🛑\xa0",
}


def split_texts(texts: list[str], word_like_only: bool = False) -> Words:
    """`split_words` of strings; bytes are counted over all of them."""
    encoded = [text.encode() for text in texts]
    offsets = np.array([0, *accumulate(map(len, encoded))], np.int64)
    return split_words(np.frombuffer(b"".join(encoded), np.uint8), offsets, word_like_only)


def kernel(text: str, word_like_only: bool = False) -> list[str]:
    data, words = text.encode(), split_texts([text], word_like_only)
    return [data[a:b].decode() for a, b in zip(words.starts, words.ends)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The quick brown fox.", ["The", "quick", "brown", "fox", "."]),
        ("can't 3.14 1,000 a.b 1.a a:b x_y", "can't|3.14|1,000|a.b|1|.|a|a:b|x_y".split("|")),
        ("'don't' e.g.", ["'", "don't", "'", "e.g", "."]),
        ("나는 3,000원을 썼다.", ["나는", "3,000원을", "썼다", "."]),
        ("韓國語 カタカナ ひら", ["韓", "國", "語", "カタカナ", "ひ", "ら"]),
        ("e\u0301te\u0301 \u0308x", ["e\u0301te\u0301", " \u0308", "x"]),
        ("🇰🇷🇺🇸🇯 👩\u200d👩\u200d👧", ["🇰🇷", "🇺🇸", "🇯", "👩\u200d👩\u200d👧"]),
        ('צ"ל ל\' a"b', ['צ"ל', "ל'", "a", '"', "b"]),
        ("a\r\n\nb\u2028 \u3000\xa0c", ["a", "b", "c"]),
        ("\u0301a", ["\u0301", "a"]),
        ("", []),
    ],
)
def test_cases_worked_out_by_hand(text: str, words: list[str]) -> None:
    assert kernel(text) == words
    assert reference_words(text) == words


def test_hard_texts_agree_with_the_rules() -> None:
    rng = random.Random(7)
    kinds = list(MEMBERS)
    joined = 0
    for _ in range(15_000):
        text = "".join(rng.choice(MEMBERS[rng.choice(kinds)]) for _ in range(rng.randint(1, 9)))
        words = reference_words(text)
        assert kernel(text) == words, [f"{ord(c):04x}" for c in text]
        joined += sum(len(w) > 1 for w in words)
    assert joined > 9_000


def test_prose_agrees_with_the_rules() -> None:
    texts = some_texts(40)
    assert sum(len(kernel(text)) for text in texts) > 5000
    assert all(kernel(text) == reference_words(text) for text in texts)


def test_members_cover_every_class() -> None:
    assert set(MEMBERS) == {*CLASSES, ""}
    for kind, members in MEMBERS.items():
        assert {class_of(c) for c in members} == {kind}
    assert word_table()[ord("ℹ")] & 64  # a letter and a pictograph


def test_words_of_many_texts_stay_apart() -> None:
    texts = ["a b", "", " ", "b a\nc", "가" * 100]
    words = split_texts(texts)
    assert words.bounds.tolist() == [0, 2, 2, 2, 5, 6]
    a, b = words.hashes[:2]
    assert words.hashes[2:4].tolist() == [b, a] and a != b
    data = "".join(texts).encode()
    assert [data[s:e] for s, e in zip(words.starts, words.ends)][-1] == texts[-1].encode()
    # A slice of a column starts in the middle of its buffer.
    offsets = np.cumsum([0, *(len(t.encode()) for t in texts)])
    tail = split_words(np.frombuffer(data, np.uint8), offsets[3:])
    assert tail.hashes.tolist() == words.hashes[2:].tolist()
    assert tail.starts.tolist() == words.starts[2:].tolist()


def test_a_hash_is_that_of_the_word_alone() -> None:
    words = sorted({w for text in some_texts(60) for w in kernel(text)})
    hashes = split_texts(words).hashes
    assert len(words) > 500
    assert len(hashes) == len(set(hashes.tolist())) == len(words)
    assert split_texts(["x " * 50 + words[0]]).hashes[-1] == hashes[0]
    # Every pair of neighbouring characters in a row: a weak mixing would show here.
    pairs = [chr(a) + chr(b) for a in range(0xAC00, 0xAC00 + 300) for b in range(0xB000, 0xB12C)]
    assert len(set(split_texts(pairs).hashes.tolist())) == len(pairs)


def test_more_words_than_expected_fit() -> None:
    """One word a byte, where room is made for one in four."""
    assert kernel("-" * 10_000 + "x") == ["-"] * 10_000 + ["x"]


def test_word_like_only_drops_punctuation() -> None:
    assert kernel("나는, (3.5) ☎ x-y …", word_like_only=True) == ["나는", "3.5", "x", "y"]
    # A letter by its class that is none by its category, alone and before real ones.
    assert class_of("\u02c2") == "ALetter"
    assert kernel("\u02c2 \u02c2ab", word_like_only=True) == ["\u02c2ab"]


def test_bytes_that_are_not_utf8_are_survived() -> None:
    for tail in (b"\xf0", b"\xf0\x9f\x98", b"\xea\xb0", b"\xc3", b"\xff\xff", b"\x80", b"\xf7" * 5):
        data = np.frombuffer(b"ab " + tail, np.uint8)
        words = split_words(data, np.array([0, len(data)]))
        assert words.ends[-1] == len(data)


def test_the_version_says_what_hashes_depend_on() -> None:
    version = words_version()
    assert version["regex"] == regex.__version__
    assert len(version["word_table"]) == 16
    # Changed? Then raise HASH_VERSION: filters and indexes on disk hold the old ones.
    assert version["hash_version"] == 1
    assert split_texts(["한국어 text"]).hashes.tolist() == [
        1902492642293771808,
        11919102642253932363,
    ]
