"""Whether two answers have the same value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .calendar import read_moment, same_moment
from .mathematics import Number, compare_formulas, equal, read_formula
from .numbers import read_number
from .quantity import Quantity, read_quantity, same_quantity
from .text import as_seen, case_says_nothing, clean, strip_ends, without_particle, words

# Longer texts are compared as words only, so that no answer costs more than a moment.
_MAX_LENGTH = 200
_MAX_ITEMS = 32

_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩"
_SYLLABLES = "가나다라마바사아자차"
_MARK = (
    r"(?:(?:option|choice|보기|선택지)\s*)?(?:"
    r"\((?P<a>[A-J])\)|\[(?P<b>[A-J])\]|(?P<c>[A-J])(?:[.):]|번|(?=\W|$))"
    rf"|(?P<circled>[{_CIRCLED}])번?|\((?P<n>\d)\)번?|(?P<m>\d)번(?:\s*(?:보기|선택지))?|(?P<k>\d)\)"
    rf"|\((?P<s>[{_SYLLABLES}])\)번?|(?P<t>[{_SYLLABLES}])(?:번|[.)])(?=\s|$))"
)
_IS_MARK = re.compile(_MARK, re.IGNORECASE)
# "C. 서울", "④ 물", "C (서울)", "C 서울"; English after a bare letter is a sentence: "A little".
_MARK_WITH_TEXT = re.compile(
    rf"{_MARK}(?:(?<=[.):번{_CIRCLED}])\s*|\s+(?=[가-힣])|\s*(?=\())(?P<text>\S.*)", re.IGNORECASE
)
_NOT_ONE = re.compile(
    rf"(?:또는|혹은|및|그리고|이나|아니|아닌|제외|외|말고|보다|or\b|and\b|[와과]\s)|[{_CIRCLED}]"
    r"|\([A-J]\)|(?<![A-Za-z])[A-J](?![A-Za-z])|\d번",
    re.IGNORECASE,
)
_JAMO = "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊ"
_MARK_BREAK = re.compile(r"\s*[,·/&]\s*|\s+(?:and|및|그리고)\s+|[와과]\s*")
_IN_BRACKETS = re.compile(r"[({\[][^(){}\[\]]*[)}\]]")
# A fraction or a pair of variables, a/b and (a, b), and no choices.
_OF_FORMULAS = re.compile(r"[A-J]\s*/|[(\[][^()\[\]]*\b(?-i:[a-j])\b[^()\[\]]*[)\]]$", re.I)

_SPLIT = re.compile(
    r"\s*;\s*|,\s+(?:(?:and|or)\s+)?|,(?!\d{3}(?!\d))|(?<!\d),|\s+(?:and|or|그리고|또는|혹은)\s+|(?<=[\d)}])[와과]\s+"
)
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_SYNONYMS = (
    frozenset(("yes", "true", "네", "예", "참", "맞다", "맞습니다", "그렇다", "그렇습니다")),
    frozenset(
        ("공집합", "empty set", "∅", "\\emptyset", "\\varnothing")
        + ("해가없다", "해가없습니다", "해는없다", "해없음", "no solution", "no solutions")
    ),
    frozenset(("없음", "없다", "없습니다", "none")),
    frozenset(("no", "false", "아니오", "아니요", "거짓", "아니다", "틀리다")),
)
_NUMERAL = r"-?\d[0-9A-Za-z]{0,63}"
# 101_2, 101_{2}, and 101_{(2)} of Korean textbooks.
_BASED = re.compile(rf"({_NUMERAL})_\{{?\(?(\d{{1,2}})\)?\}}?")
_RATIO_IN_WORDS = re.compile(r"(?<=\d)\s*대\s*(?=\d)")  # 3 대 2
_SUBSCRIPTS = re.compile(r"_(?:\{\w+\}|\w)")
# A name, or letters put together: x, a_5, AB, P(A), x+y; with a factor or power it is an equation.
_NAME = re.compile(r"[A-Za-z\\(][A-Za-z\\{}()+*/' ]{0,30}|[가-힣]{1,10}")
_MEMBER = re.compile(r"[A-Za-z]\s*(?:\\in(?![a-z])|∈)\s*(?=[\[({\\])")
_NOUN_BEFORE = re.compile(r"((?:[가-힣]{1,8}\s){1,2})\s*(\d.*)")
# Words before a number that change it.
_CHANGES = frozenset(
    "영하 약 대략 거의 대충 매 매일 매주 매월 매달 매년 각 각각 시속 분속 초속 제 오전 오후 "
    "기원전".split()
)
# Not what stands before 임, and "it is".
_NOUNS_IN_IM = frozenset(
    "게임 책임 모임 타임 선임 주임 신임 위임 해임 담임 취임 퇴임 부임 사임 소임 연임 "
    "이임 재임 전임 중임 후임 무임 운임 노임 차임 방임 겸임 대임 역임 유임 체임 쓰임 "
    "쪼임 조임 높임 붙임 줄임 죽임 끓임 녹임 먹임 보임 속임 꼬임 고임 매임 트임 섞임 "
    "쌓임 놓임 끼임 개임 꾸임 베임 덮임 깎임 꺾임 들임 숙임".split()
)
_PLAIN_WORDS = re.compile(r"[A-Za-z가-힣 '.-]+")


class Mark(NamedTuple):
    """The letter or number of a choice.

    Attributes:
        kind: ``letter`` (B), ``number`` (②, 2번), ``bracket`` ((2), which may be a number),
            ``syllable`` ((나)) or ``jamo`` (ㄴ).
        index: from 1.
    """

    kind: str
    index: int


def _mark_of(match: re.Match[str]) -> Mark:
    if letter := match["a"] or match["b"] or match["c"]:
        return Mark("letter", ord(letter.upper()) - ord("A") + 1)
    if match["circled"]:
        return Mark("number", _CIRCLED.index(match["circled"]) + 1)
    if syllable := match["s"] or match["t"]:
        return Mark("syllable", _SYLLABLES.index(syllable) + 1)
    kind = "number" if match["m"] else "bracket"
    return Mark(kind, int(match["n"] or match["m"] or match["k"]))


def read_mark(text: str, described: bool = False) -> Mark | None:
    """The choice that a text names: B, (B), ②, 2번, (나); `None` if it names none, or several.

    Args:
        text: without quotes and endings.
        described: whether the choice's own words may follow: C. 서울.
    """
    if match := _IS_MARK.fullmatch(text):
        return _mark_of(match)
    match = _MARK_WITH_TEXT.fullmatch(text) if described else None
    return _mark_of(match) if match and not _NOT_ONE.search(match["text"]) else None


def _same_mark(given: str, wanted: str) -> bool | None:
    """Whether both choose the same; `None` if the wanted answer is no mark of a choice."""
    right = read_mark(wanted)
    if right is None:
        return None
    left = read_mark(given, described=True)
    if left is None:
        return right.kind in ("number", "bracket") and given == str(right.index)
    if right.kind == "bracket" and left.kind not in ("number", "bracket"):
        return False  # (2) may be the number 2
    return left.index == right.index


def _marks(text: str) -> set[Mark | str] | None:
    if _OF_FORMULAS.match(text) or "/" in text and _OF_FORMULAS.search(text):
        return None
    text = text.strip()
    inner = text[1:-1] if _IN_BRACKETS.fullmatch(text) else text
    items = [item for item in _MARK_BREAK.split(inner) if item]
    if not 2 <= len(items) <= len(_CIRCLED):
        return None
    marks = [
        Mark("jamo", _JAMO.index(item) + 1) if item in _JAMO else read_mark(item) for item in items
    ]
    return {mark.kind[0] + str(mark.index) for mark in marks} if all(marks) else None


def choose(answer: str, choices: Sequence[str]) -> int | None:
    """Index of the choice that an answer names, by mark or by its words; `None` if it names none.

    Args:
        answer: from `extract_answer`.
        choices: their texts, in order.
    """
    answer = as_seen(answer)
    marked = read_mark(strip_ends(answer), described=True) or read_mark(clean(answer), True)
    if marked is None or marked.kind == "bracket":
        said = [index for index, choice in enumerate(choices) if same_answer(answer, choice)]
        # A bare number that is the value of a choice names that choice, not the one of this number.
        if said:
            return said[0] if len(said) == 1 else None
    number = clean(answer)
    index = marked.index if marked else int(number) if re.fullmatch(r"\d", number) else 0
    return index - 1 if 1 <= index <= len(choices) else None


def _items(text: str) -> tuple[str, list[str]] | None:
    """Opening bracket (empty: none) and elements of a list; `None` if the text is no list."""
    bracket = ""
    if len(text) > 2 and _BRACKETS.get(text[0]) == text[-1]:
        bracket, text = text[0], text[1:-1].strip()
        if "," in text and " " not in text and text.count(",") == 1:
            # (100,200) is a pair, although a bare 100,200 is one number.
            return bracket, text.split(",")
    items = [item.strip() for item in _SPLIT.split(text)]
    if any(item.count(a) != item.count(b) for item in items for a, b in _BRACKETS.items()):
        return None  # half an interval
    if not 1 < len(items) <= _MAX_ITEMS or not all(items):
        return (bracket, [text]) if bracket and len(items) == 1 and text else None
    return bracket, items


def _named(text: str) -> tuple[str, str]:
    """Name and value of an assignment, or of an arithmetic line; without one, the name is empty."""
    name, assigned, value = (part.strip() for part in _MEMBER.sub("", text).partition("="))
    if not assigned:
        return "", name
    if "=" in value:  # a chain ends with its value: x = 2 + 3 = 5
        value = _named(value)[1]
    if not name or not value or "=" in value or re.search(r"[<>]|\\(?:[lgn]e|[lg]t)", text):
        return "", text
    plain = _SUBSCRIPTS.sub("", name)
    if _NAME.fullmatch(plain) and not re.search(r"\\(?:sqrt|frac|log|ln)", plain):
        return name.replace(" ", ""), value
    number = read_number(name)
    result = read_number(value)
    if number is not None and result is not None and equal(number, result):
        return "", value  # 2+3=5
    return "", text


def _all(verdicts: list[bool | None]) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _compare_lists(given: str, wanted: str, depth: int) -> bool | None:
    left, right = _items(given), _items(wanted)
    if left is None or right is None:
        return False if left and len(left[1]) > 1 or right and len(right[1]) > 1 else None
    (opening, ours), (other, theirs) = left, right
    # Brackets left away say nothing; ( and [ say different things, as do sets and tuples.
    if opening and other and opening != other or len(ours) != len(theirs):
        return False
    pairs = [[_named(item) for item in items] for items in (ours, theirs)]
    names = [{name for name, _ in side if name} for side in pairs]
    # x = 1, y = 2 goes by its names; x = 1, x = 2 and x = 1, 2 are values of one.
    for side, own in zip(pairs, names):
        if len(own) == len(ours) > 1:
            side.sort()
    if len(names[0]) == len(names[1]) == len(ours) > 1 and names[0] != names[1]:
        return False
    ours, theirs = ([value for _, value in side] for side in pairs)
    by_name = any(len(own) == len(ours) > 1 for own in names)
    bare = not opening and not other and not by_name
    in_words = any(re.search("[가-힣]|[A-Za-z]{4}", item) for item in theirs)
    if "{" not in (opening, other) and not (bare and not in_words):
        return _all([_compare(a, b, depth) for a, b in zip(ours, theirs)])
    remaining, undecided = list(theirs), False
    for item in ours:
        verdicts = [_compare(item, b, depth) for b in remaining]
        if True in verdicts:
            del remaining[verdicts.index(True)]
        elif None not in verdicts:
            return False
        else:
            undecided = True
    return None if undecided else True


def _ratio(text: str) -> list[Number] | None:
    text = _RATIO_IN_WORDS.sub(":", text)
    terms = [read_number(term) for term in text.split(":")]
    return terms if 2 <= len(terms) <= 4 and all(terms) else None


def _compare_ratios(given: str, wanted: str) -> bool | None:
    left, right = _ratio(given), _ratio(wanted)
    if left is None or right is None:
        return None
    return len(left) == len(right) and all(
        equal(a * right[0], b * left[0]) for a, b in zip(left, right)
    )


def _in_base(text: str) -> int | None:
    """Value of a numeral that names its base, 101_2; `None` for any other text."""
    match = _BASED.fullmatch(text)
    try:
        return int(match[1], int(match[2])) if match else None
    except ValueError:  # a digit or a base that there is not
        return None


def _compare_bases(given: str, wanted: str) -> bool | None:
    left, right = _in_base(given), _in_base(wanted)
    if left is None and right is None:
        return None
    if left is not None and right is not None:
        return left == right
    # The question names the base, if one of them leaves it out, or asks for the value.
    bare, based = (wanted, given) if right is None else (given, wanted)
    if re.fullmatch(_NUMERAL, bare) is None:
        return None
    return bare in (based.partition("_")[0], str(left if right is None else right))


def _both_signs(text: str) -> str:
    """`±2` as the set of both values."""
    if text.count("±") != 1:
        return text
    return f"{{{text.replace('±', '+')}, {text.replace('±', '-')}}}"


def _same_words(given: str, wanted: str) -> bool:
    left, right = words(given), words(wanted)
    if not left:
        return False
    if any(left in group and right in group for group in _SYNONYMS):
        return True
    if left == right:
        return case_says_nothing(given, wanted)
    if left == f"{right}임" and len(right) == 1 and left not in _NOUNS_IN_IM:
        return True  # 물임; of longer words the ending is gone
    return without_particle(left) == right or without_particle(right) == left


def _quantity(text: str) -> tuple[Quantity | None, str]:
    """A quantity, and the Korean noun before it: 사과 5개."""
    if (quantity := read_quantity(text)) is not None:
        return quantity, ""
    match = _NOUN_BEFORE.fullmatch(text)
    if match is None or _CHANGES & set(match[1].split()):
        return None, ""
    quantity = read_quantity(match[2])
    counted = quantity is not None and quantity.dimension is not None
    return (quantity, match[1].strip()) if counted else (None, "")


def _compare(given: str, wanted: str, depth: int) -> bool | None:
    if _same_words(given, wanted):
        return True
    if max(len(given), len(wanted)) > _MAX_LENGTH:
        return None
    if (moment := read_moment(wanted)) is not None:
        bare = without_particle(given) or given
        found = read_moment(given) or read_moment(bare)
        if found is not None:
            return same_moment(found, moment)
    if ":" in given + wanted and (verdict := _compare_ratios(given, wanted)) is not None:
        return verdict
    if "_" in given + wanted and (verdict := _compare_bases(given, wanted)) is not None:
        return verdict
    given, wanted = _both_signs(given), _both_signs(wanted)
    (ours, noun), (theirs, other) = _quantity(given), _quantity(wanted)
    if ours is not None and theirs is not None:
        return same_quantity(ours, theirs) and (not noun or not other or noun == other)
    (name, value), (wanted_name, wanted_value) = _named(given), _named(wanted)
    if depth > 0 and (value != given or wanted_value != wanted):
        if "=" in given and "=" in wanted and compare_formulas(given, wanted):
            return True  # one equation, written differently
        if name and wanted_name and name != wanted_name:
            return False
        return _compare(value, wanted_value, depth - 1)
    if re.search(r"[<>≤≥]|\\(?:[lg]eq?|cup)(?![a-z])", given + wanted):
        return compare_formulas(given, wanted)
    if depth > 0 and (verdict := _compare_lists(given, wanted, depth - 1)) is not None:
        return verdict
    if (verdict := compare_formulas(given, wanted)) is not None:
        return verdict
    if _PLAIN_WORDS.fullmatch(given) and _PLAIN_WORDS.fullmatch(wanted):
        left, right = words(given), words(wanted)
        return None if left in right or right in left else False
    return None


def compare_answers(given: str, wanted: str) -> bool | None:
    """Whether an answer has the value of the wanted one; `None` where no checker can decide.

    False needs two values that were both read. Names of which one holds the other (서울,
    서울특별시), integrals, and whatever is too long or too large to compute are undecided.
    """
    if max(len(given), len(wanted)) > 10 * _MAX_LENGTH:
        return None
    given, wanted = as_seen(given), as_seen(wanted)
    ours, theirs = strip_ends(given), strip_ends(wanted)
    marked = _same_mark(ours, theirs)
    if marked:
        return True
    left, right = _marks(ours), _marks(theirs)
    if left is not None and right is not None:
        return left == right
    if ours and set(ours) <= set(_CIRCLED) and marked is None:
        return False  # a choice, but none is wanted: ② is not 2
    given, wanted = clean(given), clean(wanted)
    if (read := read_mark(wanted)) is not None and read.kind == "letter":
        return _same_mark(given, wanted) if read_mark(given, described=True) else None
    return _compare(given, wanted, depth=2)


def same_answer(given: str, wanted: str) -> bool:
    """Whether an answer has the value of the wanted one; see the package for the rules."""
    return compare_answers(given, wanted) is True


def is_value(text: str) -> bool:
    """Whether a text is nothing but an answer: a choice, number, quantity, moment or formula."""
    if not text or len(text) > _MAX_LENGTH:
        return False
    if read_mark(text, described=True) or _marks(text):
        return True
    plain = clean(text)
    if read_quantity(plain) or read_moment(plain) or read_formula(plain) is not None:
        return True
    listed = _items(plain)
    return listed is not None and all(
        read_quantity(_named(i)[1]) or read_moment(i) or read_formula(i) is not None
        for i in listed[1]
    )
