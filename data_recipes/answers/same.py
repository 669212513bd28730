"""Whether two answers have the same value."""

import re

from .calendar import read_moment, same_moment
from .quantity import read_number, read_quantity, same_quantity
from .surd import Number, multiply
from .text import clean, strip_ends, without_particle, words

# Longer texts are compared as words only, so that no answer costs more than a moment.
_MAX_LENGTH = 200
_MAX_ITEMS = 32

_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩"
_LETTER = re.compile(
    r"(?:option|choice|보기|선택지)?\s*(?:\(([A-J])\)|\[([A-J])\]|([A-J])(?:[.):]|번)?)",
    re.IGNORECASE,
)
_LETTER_WITH_TEXT = re.compile(r"(?:\(([A-J])\)|([A-J])[.):])\s+\S.*", re.IGNORECASE)
_NUMBERED = re.compile(rf"([{_CIRCLED}])번?|\((\d)\)번?|(\d)번|(\d)\)")
_NUMBERED_WITH_TEXT = re.compile(rf"([{_CIRCLED}])번?\s+\S.*")
_SPLIT = re.compile(r"\s*;\s*|,\s+(?:and\s+)?|,(?!\d{3}(?!\d))|(?<!\d),|\s+and\s+|\s+그리고\s+")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_SYNONYMS = (
    frozenset(("yes", "true", "네", "예", "참", "맞다", "맞습니다", "그렇다", "그렇습니다")),
    frozenset(("no", "false", "아니오", "아니요", "거짓", "아니다", "틀리다")),
)


def _letter(text: str) -> str | None:
    match = _LETTER.fullmatch(text)
    return next(group for group in match.groups() if group).upper() if match else None


def _numbered(text: str) -> int | None:
    match = _NUMBERED.fullmatch(text)
    if match is None:
        return None
    return _CIRCLED.index(match[1]) + 1 if match[1] else int(match[2] or match[3] or match[4])


def is_choice(text: str) -> bool:
    """Whether the text is the letter or number of a choice."""
    return _letter(text) is not None or _numbered(text) is not None


def _same_choice(given: str, wanted: str) -> bool | None:
    """Whether both choose the same; `None` if the wanted answer is no letter or number of one."""
    if letter := _letter(wanted):
        described = _LETTER_WITH_TEXT.fullmatch(given)
        chosen = (described[1] or described[2]).upper() if described else _letter(given)
        return chosen == letter
    if (number := _numbered(wanted)) is not None:
        described = _NUMBERED_WITH_TEXT.fullmatch(given)
        return number == _numbered(described[1] if described else given) or given == str(number)
    return None


def _items(text: str) -> tuple[str, list[str]] | None:
    """Opening bracket (empty: none) and elements of a list; `None` if the text is no list."""
    bracket = ""
    if len(text) > 2 and _BRACKETS.get(text[0]) == text[-1]:
        bracket, text = text[0], text[1:-1].strip()
        if "," in text and " " not in text and text.count(",") == 1:
            # (100,200) is a pair, although a bare 100,200 is one number.
            return bracket, text.split(",")
    items = [item.strip() for item in _SPLIT.split(text)]
    if not 1 < len(items) <= _MAX_ITEMS or not all(items):
        return (bracket, [text]) if bracket and len(items) == 1 and text else None
    return bracket, items


def _same_list(given: str, wanted: str, depth: int) -> bool:
    left, right = _items(given), _items(wanted)
    if left is None or right is None:
        return False
    (opening, ours), (other, theirs) = left, right
    # Brackets left away say nothing; ( and [ say different things, as do sets and tuples.
    if opening and other and opening != other or len(ours) != len(theirs):
        return False
    if "{" not in (opening, other):
        return all(_same_value(a, b, depth) for a, b in zip(ours, theirs))
    remaining = list(theirs)
    for item in ours:
        match = next((i for i, b in enumerate(remaining) if _same_value(item, b, depth)), None)
        if match is None:
            return False
        del remaining[match]
    return True


def _ratio(text: str) -> list[Number] | None:
    terms = [read_number(term) for term in text.split(":")]
    return terms if 2 <= len(terms) <= 4 and all(terms) else None


def _same_ratio(given: str, wanted: str) -> bool:
    left, right = _ratio(given), _ratio(wanted)
    if left is None or right is None or len(left) != len(right):
        return False
    return all(multiply(a, right[0]) == multiply(b, left[0]) for a, b in zip(left, right))


def _both_signs(text: str) -> str:
    """`±2` as the set of both values."""
    if text.count("±") != 1:
        return text
    return f"{{{text.replace('±', '+')}, {text.replace('±', '-')}}}"


def _same_words(given: str, wanted: str) -> bool:
    left, right = words(given), words(wanted)
    if not left:
        return False
    if left == right or any(left in group and right in group for group in _SYNONYMS):
        return True
    return without_particle(left) == right or without_particle(right) == left


def _same_value(given: str, wanted: str, depth: int) -> bool:
    if _same_words(given, wanted):
        return True
    if max(len(given), len(wanted)) > _MAX_LENGTH:
        return False
    if (moment := read_moment(wanted)) is not None:
        bare = without_particle(given) or given
        found = read_moment(given) or read_moment(bare)
        if found is not None:
            return same_moment(found, moment)
    elif ":" in wanted and _same_ratio(given, wanted):
        return True
    given, wanted = _both_signs(given), _both_signs(wanted)
    ours, theirs = read_quantity(given), read_quantity(wanted)
    if ours is not None and theirs is not None:
        return same_quantity(ours, theirs)
    return depth > 0 and _same_list(given, wanted, depth - 1)


def same_answer(given: str, wanted: str) -> bool:
    """Whether an answer has the value of the wanted one; see the package for the rules."""
    if max(len(given), len(wanted)) > 10 * _MAX_LENGTH:
        return False
    choice = _same_choice(strip_ends(given), strip_ends(wanted))
    if choice:
        return True
    if set(strip_ends(given)) <= set(_CIRCLED):
        return False  # a choice, but none is wanted: ② is not 2
    given, wanted = clean(given), clean(wanted)
    if choice is not None and _letter(wanted):
        return _same_choice(given, wanted) or False
    return _same_value(given, wanted, depth=2)
