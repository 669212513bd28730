"""The constructed texts hold what they say: spans, valid and invalid check digits, all kinds."""

import re
import unicodedata
from collections import Counter
from datetime import date

import pytest

from tests.data_recipes.personal_numbers import Item, negatives, positives

N = 4000


@pytest.fixture(scope="module")
def items() -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in positives(1, N) + negatives(1, N):
        found.setdefault(item.kind, []).append(item)
    return found


def _digits(item: Item) -> str:
    """The span's digits, full-width ones as plain ones."""
    plain = unicodedata.normalize("NFKC", item.text[item.start : item.end])
    return re.sub(r"\D", "", plain)


def _luhn(digits: str) -> bool:
    doubled = {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8, "5": 1, "6": 3, "7": 5, "8": 7, "9": 9}
    total = sum(map(int, digits[-1::-2])) + sum(doubled[d] for d in digits[-2::-2])
    return total % 10 == 0


def _resident(digits: str) -> bool:
    weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]
    rest = 11 - sum(w * int(d) for w, d in zip(weights, digits)) % 11
    return int(digits[12]) == {10: 0, 11: 1}.get(rest, rest)


def _business(digits: str) -> bool:
    a, b, c, d, e, f, g, h, i, last = map(int, digits)
    tens, ones = divmod(5 * i, 10)
    return (a + 3 * b + 7 * c + d + 3 * e + 7 * f + g + 3 * h + ones + tens + last) % 10 == 0


def _born(digits: str) -> date:
    century = {"1": 19, "2": 19, "5": 19, "6": 19}.get(digits[6], 20)
    return date(int(f"{century}{digits[:2]}"), int(digits[2:4]), int(digits[4:6]))


def test_the_checks_of_this_test_know_published_examples() -> None:
    assert _luhn("4111111111111111") and _luhn("378282246310005") and not _luhn("4111111111111112")
    assert _business("1248100998") and not _business("1248100997")  # a listed company's


def test_valid_numbers_are_valid_and_invalid_ones_are_not(items: dict[str, list[Item]]) -> None:
    for item in items["resident"]:
        assert _resident(_digits(item)) and _born(_digits(item)) < date(2020, 10, 1)
    for item in items["resident_2020"]:
        assert not _resident(_digits(item)) and _born(_digits(item)) >= date(2020, 10, 1)
    for item in items["alien"]:
        assert _digits(item)[6] in "5678" and _born(_digits(item))
    # An old foreigner's check digit is 2 more than a citizen's; a new one's is any digit.
    twos = [_resident(d[:12] + str((int(d[12]) - 2) % 10)) for d in map(_digits, items["alien"])]
    assert 0.4 < sum(twos) / len(twos) < 0.7
    for item in items["resident_bad_date"]:
        assert len(_digits(item)) == 13
        with pytest.raises(ValueError):
            _born(_digits(item))
    assert all(_business(_digits(item)) for item in items["business"])
    assert not any(_business(_digits(item)) for item in items["business_bad_check"])
    assert all(_luhn(_digits(item)) for item in items["card"])
    assert not any(_luhn(_digits(item)) for item in items["card_bad_check"])
    for item in items["isbn"] + items["ean"]:
        if len(_digits(item)) == 13:
            odd, even = _digits(item)[::2], _digits(item)[1::2]
            assert (sum(map(int, odd)) + 3 * sum(map(int, even))) % 10 == 0


SHAPES = {
    "email": r"[\w.+-]+@[\w-]+(\.[\w-]+)+",
    "ko_mobile": r"\(?01[016789]\D{0,3}\d{3,4}\D{0,3}\d{4}",
    "ko_landline": r"\(?0(2|[3-6][1-5])\D{0,3}\d{3,4}\D{0,3}\d{4}",
    "ko_internet_phone": r"\(?0(70|50\d)\D{0,3}\d{3,4}\D{0,3}\d{4}",
    "ko_plus82": r"\(?\+82.*\d{4}",
    "ko_road_address": r"\w+(로|길)( ?\d+번?길)? \d+(-\d+)?",
    "ko_lot_address": r"(\w+[읍면] )?\w+[동리] (산 ?)?\d+(-\d+)?(번지)?",
    "en_address": r"\d+ .*[A-Za-z]\.?",
}


def test_spans_are_what_their_kind_says(items: dict[str, list[Item]]) -> None:
    for kind, shape in SHAPES.items():
        for item in items[kind]:
            plain = unicodedata.normalize("NFKC", item.text[item.start : item.end])
            assert re.fullmatch(shape, plain, re.ASCII * (kind == "email")), (kind, plain)
    for item in items["ko_account"]:
        assert 10 <= len(_digits(item)) <= 14, item
    everything = [item for of_kind in items.values() for item in of_kind]
    for item in everything:
        assert 0 <= item.start < item.end <= len(item.text)
        assert unicodedata.is_normalized("NFC", item.text) and "\0" not in item.text
        span = item.text[item.start : item.end]
        assert span == span.strip() and item.fullwidth == bool(re.search("[０-９]", span))
        assert "{" not in item.text.replace("{user}@{host}", "").replace('{"', "").replace(
            "{" + span + "}", ""
        )


def test_a_representative_number_is_never_personal(items: dict[str, list[Item]]) -> None:
    short = re.compile(r"(?<!\d)1[568]\d\d[- .]?\d{4}(?!\d)")
    assert sum(bool(short.fullmatch(i.text[i.start : i.end])) for i in items["short_code"]) > 50
    for item in positives(1, N):
        outside = item.text[: item.start] + "\n" + item.text[item.end :]
        assert not short.search(outside) and not re.search(r"\d{3,4}-\d{4}|\w@\w", outside), outside


def test_kinds_have_equal_shares_and_seeds_repeat() -> None:
    for draw in (positives, negatives):
        counts = Counter(item.kind for item in draw(2, N))
        assert len(counts) >= 18 and max(counts.values()) - min(counts.values()) <= 1
        assert draw(2, 200) == draw(2, 200) != draw(3, 200)
    found = positives(2, N)
    languages = Counter(item.language for item in found)
    assert min(languages["ko"], languages["en"]) > N / 4
    assert 0.01 < sum(item.fullwidth for item in found) / N < 0.05
    assert len({item.text for item in found}) > 0.9 * N
