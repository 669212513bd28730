"""What a translation must leave as it was."""

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from .numbers import Numbers, read_numbers
from .spans import take_apart


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong.

    Attributes:
        reason: machine-readable.
        detail: a sentence.
    """

    reason: str
    detail: str


_THINK = re.compile(r"</?think>")
# The label of an option: A. or (A) or A) before its text.
_LABEL = re.compile(r"(?:^|(?<=\s))\(?([A-J])(?:\)|[.:](?=\s))", re.MULTILINE)
_CIRCLED = re.compile(r"[①-⑳]")
# A capital that stands alone; of abbreviations (U.S.) and compounds (X-ray) it is a part.
_LETTER = re.compile(r"(?<![A-Za-z0-9_'’.-])([A-Z])(?![A-Za-z0-9_'’]|\.[A-Z]|-[A-Za-z])")
# English words as well; meant as letters only here.
_WORDS = frozenset("AI")
_CHOSEN = re.compile(r"(?:\(|\b(?:option|choice|answer(?: is)?:?)\s+\(?)([AI])\b(?!\s+[a-z])", re.I)
_QUOTED = re.compile(r"\"([^\"\n]{1,80})\"|“([^”\n]{1,80})”|(?<!\w)[‘']([^’'\n]{1,80})[’'](?!\w)")
_NAME_WORD = re.compile(r"[A-Z0-9][^\s]*")
_AGES = ("time", "calendar")
_MOST_WORDS = 4  # of a quoted name; longer quotes are sentences. Our choice.


def _changed(source: list[str], translation: list[str]) -> str | None:
    lost, new = Counter(source) - Counter(translation), Counter(translation) - Counter(source)
    if not lost and not new:
        return None
    parts = []
    for what, found in (("lost", lost), ("not in the source", new)):
        if found:
            parts.append(f"{what}: {', '.join(repr(s[:80]) for s in found)}")
    return "; ".join(parts)


def _letters(prose: str) -> set[str]:
    found = set(_LETTER.findall(prose)) - _WORDS
    return found | {letter for letter in _CHOSEN.findall(prose) if letter.isupper()}


def _options(source: str, translation: str) -> Flaw | None:
    own = _LABEL.findall(source)
    # One label alone is an initial or the end of a sentence.
    if own[:2] == ["A", "B"] and _LABEL.findall(translation) != own:
        given = " ".join(_LABEL.findall(translation)) or "none"
        return Flaw("options", f"the options are {' '.join(own)}, and {given} in the translation")
    if _CIRCLED.findall(source) != _CIRCLED.findall(translation):
        return Flaw("options", "circled numbers differ")
    lost = _letters(source) - set(_LETTER.findall(translation))
    if lost:
        return Flaw("letters", f"lost: {', '.join(sorted(lost))}")
    new = set(_LETTER.findall(translation)) - set(_LETTER.findall(source))
    if new:
        return Flaw("letters", f"not in the source: {', '.join(sorted(new))}")
    return None


def _quotes(source: str, translation: str) -> Flaw | None:
    for groups in _QUOTED.findall(source):
        quoted = next(group for group in groups if group).strip().rstrip(".,!?")
        words = quoted.split()
        name = all(_NAME_WORD.fullmatch(word) for word in words)
        if words and (len(words) == 1 or (name and len(words) <= _MOST_WORDS)):
            if quoted not in translation:
                return Flaw("quotes", f"{quoted!r} is quoted in the source, and not there")
    return None


def _take(values: list[Fraction], loose: list[set[Fraction]]) -> list[Fraction]:
    """Match values to words, each word once; gives what is left."""
    left = []
    for value in values:
        # The word with the fewest meanings first.
        fitting = sorted((len(w), i) for i, w in enumerate(loose) if value in w or -value in w)
        if fitting:
            del loose[fitting[0][1]]
        else:
            left.append(value)
    return left


def _shown(values: list[Fraction]) -> str:
    return ", ".join(f"{float(v):.15g}" for v in values)


def _numbers(ours: Numbers, theirs: Numbers) -> Flaw | None:
    lost = list((Counter(ours.digits) - Counter(theirs.digits)).elements())
    new = list((Counter(theirs.digits) - Counter(ours.digits)).elements())
    strong, weak = [{word} for word in ours.words], list(ours.loose)
    words = [{word} for word in theirs.words] + theirs.loose
    new = _take(_take(new, strong), weak)
    lost = _take([*lost, *(next(iter(word)) for word in strong)], words)
    parts = [f"lost: {_shown(lost)}"] if lost else []
    parts += [f"not in the source: {_shown(new)}"] if new else []
    return Flaw("numbers", "; ".join(parts)) if parts else None


def _units(ours: Numbers, theirs: Numbers) -> Flaw | None:
    there = {unit for units in theirs.units.values() for unit in units}
    for value, units in ours.units.items():
        if value not in theirs.digits:
            continue  # in words, with whatever follows them
        given = theirs.units.get(value, [])
        lost, new = Counter(units) - Counter(given), Counter(given) - Counter(units)
        # 5 and 10 km may become 5 km and 10 km, and 12 years old 12세.
        gone = {unit for unit in set(lost) - there if unit[0] not in _AGES}
        if lost and (new or gone):
            names = ", ".join(unit[0] for unit in lost)
            return Flaw("units", f"{_shown([value])}: its unit ({names}) is lost or another")
    return None


def find_flaws(source: str, translation: str) -> list[Flaw]:
    """Everything that a translation changed and should not have, in the order of how much it says.

    Args:
        source: English.
        translation: Korean.
    """
    flaws = []
    if _THINK.findall(source) != _THINK.findall(translation):
        flaws.append(Flaw("think", "<think> and </think> are not where they were"))
    ours, theirs = take_apart(source), take_apart(translation)
    for name, reason in (
        ("fences", "code"),
        ("inline", "inline_code"),
        ("maths", "latex"),
    ):
        if changed := _changed(getattr(ours, name), getattr(theirs, name)):
            flaws.append(Flaw(reason, changed))
    # An address may be named twice, or the other way round.
    if changed := _changed(sorted(set(ours.verbatim)), sorted(set(theirs.verbatim))):
        flaws.append(Flaw("verbatim", changed))
    mine, other = read_numbers(ours.prose), read_numbers(theirs.prose)
    for flaw in (
        _options(ours.prose, theirs.prose),
        _quotes(ours.prose, translation),
        _numbers(mine, other),
        _units(mine, other),
    ):
        if flaw is not None:
            flaws.append(flaw)
    return flaws
