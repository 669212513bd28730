"""Numbers in digits and in words, Korean (Sino-Korean, native, mixed with digits) and English."""

from __future__ import annotations

import re
from fractions import Fraction

from .mathematics import Number, read_constant

_SINO = dict(zip("영공일이삼사오육륙칠팔구", (0, 0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9)))
_SMALL = {"십": 10, "백": 100, "천": 1000}
_LARGE = {"만": 10**4, "억": 10**8, "조": 10**12, "경": 10**16}
_NATIVE_TENS = {
    **{"열": 10, "스물": 20, "스무": 20, "서른": 30, "마흔": 40, "쉰": 50},
    **{"예순": 60, "일흔": 70, "여든": 80, "아흔": 90},
}
_NATIVE_ONES = {
    **{"하나": 1, "한": 1, "첫": 1, "둘": 2, "두": 2, "셋": 3, "세": 3, "석": 3},
    **{"넷": 4, "네": 4, "넉": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9},
}
_NATIVE = re.compile(rf"({'|'.join(_NATIVE_TENS)})?({'|'.join(_NATIVE_ONES)})?")
_KOREAN_TOKEN = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,30}(?:\.\d{1,30})?|[가-힣]")
# Hanja numerals, as their Hangul.
_HANJA = str.maketrans("零一二三四五六七八九十百千萬万億兆", "영일이삼사오육칠팔구십백천만만억조")
# Words that are also Korean for something else; as a whole answer they are not a number.
_AMBIGUOUS = frozenset(("한", "두", "세", "네", "석", "넉", "첫", "공"))

_ENGLISH_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_ENGLISH_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ENGLISH = {
    **{word: i for i, word in enumerate(_ENGLISH_ONES)},
    **{word: 10 * i for i, word in enumerate(_ENGLISH_TENS, 2)},
}
_PARTS = {
    **{"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6},
    **{"seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10},
}
_ENGLISH_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def _native(text: str) -> int | None:
    match = _NATIVE.fullmatch(text)
    if match is None or not text:
        return None
    return _NATIVE_TENS.get(match[1], 0) + _NATIVE_ONES.get(match[2], 0)


def read_korean(text: str, counted: bool) -> Fraction | None:
    """`삼백이십`, `열일곱`, `3만 2천`, `백스물다섯`; `None` if it is no number.

    Args:
        text: the words alone.
        counted: a counter follows, as in `두 개`; without one `두` is not a number.
    """
    if re.search(r"\d\s+\d", text):
        return None  # two numerals
    text = text.replace(" ", "").translate(_HANJA)
    if not text or (text in _AMBIGUOUS and not counted):
        return None
    if (value := _native(text)) is not None:
        return Fraction(value)
    total = section = Fraction(0)
    pending: Fraction | None = None
    last_small = last_large = 10**20
    position = 0
    while position < len(text):
        match = _KOREAN_TOKEN.match(text, position)
        if match is None:
            return None
        token = match.group()
        if token in _LARGE:
            if _LARGE[token] >= last_large:
                return None
            last_large, last_small = _LARGE[token], 10**20
            section += pending or 0
            total += (section or 1) * last_large
            section, pending = Fraction(0), None
        elif token in _SMALL:
            if _SMALL[token] >= last_small:
                return None
            last_small = _SMALL[token]
            section += (1 if pending is None else pending) * last_small
            pending = None
        elif pending is not None:
            return None
        elif token[0].isdigit():
            pending = Fraction(token.replace(",", ""))
        elif token in _SINO:
            pending = Fraction(_SINO[token])
        else:
            # 백다섯, 천스물: a native number may end what a Sino-Korean one began.
            rest = _native(text[position:])
            return total + section + rest if rest is not None and position else None
        position = match.end()
    return total + section + (pending or 0)


def read_decimal(text: str) -> Fraction | None:
    """`삼점일사`: digits, read one by one after 점; `None` if it is no such number."""
    whole, _, digits = text.replace(" ", "").partition("점")
    value = read_korean(whole, counted=False)
    if value is None or not 0 < len(digits) <= 30 or any(digit not in _SINO for digit in digits):
        return None
    return value + Fraction(int("".join(str(_SINO[digit]) for digit in digits)), 10 ** len(digits))


def read_fraction(text: str) -> Fraction | None:
    """`two thirds`, `one-half`, `half`; `None` if it is no such number."""
    above, _, below = text.casefold().replace("-", " ").rpartition(" ")
    part = _PARTS.get(below.removesuffix("s").replace("halve", "half"))
    if part is None or not above and below not in ("half", "quarter"):
        return None  # a bare "third" is a place in an order
    count = read_english(above) if above not in ("", "a") else Fraction(1)
    return None if count is None else count / part


def read_english(text: str) -> Fraction | None:
    """`three hundred and twenty-one`, `3 million`; `None` if it is no number."""
    words = text.casefold().replace("-", " ").split()
    if not words or words[0] == "and" or words[-1] == "and" or len(words) > 20:
        return None
    total = section = Fraction(0)
    tail = 100  # what may still be added to the section must be smaller than this
    last_large = 10**15
    for word in words:
        if word == "and":
            if not (section or total):
                return None
        elif word in _ENGLISH:
            value = _ENGLISH[word]
            if value >= tail:
                return None
            section += value
            tail = 10 if value >= 20 else 0
        elif word == "hundred":
            if not 0 < section < 10:
                return None
            section, tail = section * 100, 100
        elif word in _ENGLISH_LARGE:
            if not section or _ENGLISH_LARGE[word] >= last_large:
                return None
            last_large = _ENGLISH_LARGE[word]
            total, section, tail = total + section * last_large, Fraction(0), 100
        elif re.fullmatch(r"\d{1,30}(?:\.\d{1,30})?", word) and not section and len(words) > 1:
            section, tail = Fraction(word), 0
        else:
            return None
    return total + section


_DECIMAL = r"(?:\d{1,80}(?:\.\d{0,80})?|\.\d{1,80})"
_THOUSANDS = re.compile(
    r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.])\d{1,3}(?: \d{3})+(?!\d)"
)
_NUMERAL = re.compile(rf"([-+]?)\s*({_DECIMAL})(?:[eE]([-+]?\d{{1,2}}))?")
_SHARE = re.compile(
    r"([-+]?)\s*(?:(\d{1,20})\s+(?=\d)|(\d{1,20})\s*(?=\\))?"
    rf"(?:(?:\\frac)?\{{([-+]?{_DECIMAL})\}}/?\{{({_DECIMAL})\}}|\\frac\s*(\d)\s*(\d)"
    rf"|({_DECIMAL})\s*/\s*({_DECIMAL}))"
)
_SCIENTIFIC = re.compile(
    rf"([-+]?)\s*(?:({_DECIMAL})\s*\*\s*)?10\s*\^\s*(?:\{{\s*(-?\d{{1,3}})\s*\}}|(-?\d{{1,3}}))"
)
_REPEATING = re.compile(r"([-+]?)(\d{1,20})\.(\d{0,20})(?:\\overline|\\dot)\s*\{?(\d{1,20})\}?")
# Korean and Japanese books put a dot on the first and the last digit of the period.
_DOTS = re.compile(r"\\dot\{?(\d)\}?(\d{0,18})\\dot\{?(\d)\}?")
# At least two whole periods, so that 0.12... stays unread.
_CONTINUED = re.compile(r"([-+]?)(\d{1,20})\.(\d{0,9}?)(\d{1,6}?)\4{1,19}(?:\.\.\.|\\[lc]?dots)")
_NEGATIVE = re.compile(r"(?:마이너스|음수|minus|negative)\s+(.+)", re.IGNORECASE)


def _repeating(whole: str, fixed: str, period: str) -> Fraction:
    """`1.2(34)`: the fraction that a repeating decimal is."""
    scale = 10 ** len(fixed)
    return Fraction(int(whole + fixed), scale) + Fraction(
        int(period), scale * (10 ** len(period) - 1)
    )


def read_digits(text: str) -> Fraction | None:
    """A number in digits: decimal, fraction, mixed, scientific or repeating; `None` if it is none.

    What is more than one numeral, a sum say, is `mathematics.read_constant`'s.
    """
    text = _THOUSANDS.sub(lambda match: re.sub("[ ,]", "", match[0]), text.strip())
    text = _DOTS.sub(r"\\dot{\1\2\3}", text)
    if match := _NUMERAL.fullmatch(text):
        value = Fraction(match[2].rstrip(".")) * Fraction(10) ** int(match[3] or 0)
    elif match := _SHARE.fullmatch(text):
        _, spaced, tight, a, b, c, d, e, f = match.groups()
        above, below = (Fraction((x or y or z).rstrip(".")) for x, y, z in ((a, c, e), (b, d, f)))
        if not below:
            return None
        value = Fraction(spaced or tight or 0) + above / below
    elif match := _SCIENTIFIC.fullmatch(text):
        power = Fraction(10) ** int(match[3] or match[4])
        value = Fraction((match[2] or "1").rstrip(".")) * power
    elif match := _REPEATING.fullmatch(text) or _CONTINUED.fullmatch(text):
        value = _repeating(*match.groups()[1:])
    else:
        return None
    return -value if match[1] == "-" else value


def read_number(text: str, counted: bool = False) -> Number | None:
    """A number in digits, LaTeX, Korean or English; `None` if the text is none.

    Args:
        text: a cleaned answer or a part of one.
        counted: a counter follows; see `read_korean`.
    """
    text = text.strip()
    if (value := read_digits(text)) is not None:
        return value
    if match := _NEGATIVE.fullmatch(text):
        value = read_number(match[1])
        return None if value is None or _NEGATIVE.fullmatch(match[1]) else -value
    below, fraction, above = text.partition("분의")
    if fraction:
        whole, mixed, below = below.rpartition("와 ")
        parts = [read_korean(part.strip(), counted=False) for part in (above, below)]
        if parts[0] is None or not parts[1]:
            return None
        begin = read_number(whole) if mixed else Fraction(0)
        return None if begin is None else begin + parts[0] / parts[1]
    for read in (lambda t: read_korean(t, counted), read_decimal, read_english, read_fraction):
        if (words := read(text)) is not None:
            return words
    whole, joined, part = text.rpartition(" and ")
    if joined and (share := read_fraction(part)) is not None:  # three and a half
        begin = read_english(whole) if whole.isalpha() else read_digits(whole)
        return None if begin is None else begin + share
    whole, joined, part = text.partition("와 ")
    if joined and (value := read_digits(whole)) is not None:
        rest = read_digits(part)  # 2와 1/3
        return value + rest if rest is not None and 0 < rest < 1 else None
    return read_constant(text)
