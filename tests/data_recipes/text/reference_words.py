"""Word boundaries by the rules of UAX 29, one by one: a slow reference for the kernel."""

from bisect import bisect_left
from functools import cache

import regex

CLASSES = {
    name: regex.compile(rf"\p{{WB={name}}}")
    for name in (
        "CR LF Newline Extend ZWJ Format Regional_Indicator Katakana Hebrew_Letter ALetter "
        "Single_Quote Double_Quote MidNumLet MidLetter MidNum Numeric ExtendNumLet WSegSpace"
    ).split()
}
PICTOGRAPHIC = regex.compile(r"\p{Extended_Pictographic}")
WHITE = regex.compile(r"\p{White_Space}+")
IGNORED = {"Extend", "Format", "ZWJ"}
BREAKS = {"CR", "LF", "Newline"}
LETTERS = {"ALetter", "Hebrew_Letter"}
WORDS = {*LETTERS, "Numeric", "Katakana"}
IN_WORDS = {"MidLetter", "MidNumLet", "Single_Quote"}
IN_NUMBERS = {"MidNum", "MidNumLet", "Single_Quote"}


@cache
def class_of(character: str) -> str:
    """Word_Break class; empty for Other."""
    return next((name for name, own in CLASSES.items() if own.match(character)), "")


def boundaries(text: str) -> list[int]:
    """Places inside a text before which there is a boundary."""
    kinds = [class_of(c) for c in text]
    # WB4: what is ignored is as if it were not there, unless it starts a line.
    places = [
        i for i, kind in enumerate(kinds) if kind not in IGNORED or i == 0 or kinds[i - 1] in BREAKS
    ]
    seen = [kinds[i] for i in places]

    def is_boundary(at: int) -> bool:
        left, right = kinds[at - 1], kinds[at]
        if left == "CR" and right == "LF":  # WB3
            return False
        if left in BREAKS or right in BREAKS:  # WB3a, WB3b
            return True
        if left == "ZWJ" and PICTOGRAPHIC.match(text[at]):  # WB3c
            return False
        if left == right == "WSegSpace":  # WB3d
            return False
        if right in IGNORED:  # WB4
            return False
        own = bisect_left(places, at)
        left, right = seen[own - 1], seen[own]
        left2 = seen[own - 2] if own > 1 else None
        right2 = seen[own + 1] if own + 1 < len(seen) else None
        if left == right == "Regional_Indicator":  # WB15, WB16
            run = 0
            while run < own and seen[own - 1 - run] == "Regional_Indicator":
                run += 1
            return run % 2 == 0
        return not (
            (left in LETTERS and right in LETTERS)  # WB5
            or (left in LETTERS and right in IN_WORDS and right2 in LETTERS)  # WB6
            or (left2 in LETTERS and left in IN_WORDS and right in LETTERS)  # WB7
            or (left == "Hebrew_Letter" and right == "Single_Quote")  # WB7a
            or (left == right2 == "Hebrew_Letter" and right == "Double_Quote")  # WB7b
            or (left2 == right == "Hebrew_Letter" and left == "Double_Quote")  # WB7c
            or (left == right == "Numeric")  # WB8
            or (left in LETTERS and right == "Numeric")  # WB9
            or (left == "Numeric" and right in LETTERS)  # WB10
            or (left2 == right == "Numeric" and left in IN_NUMBERS)  # WB11
            or (left == right2 == "Numeric" and right in IN_NUMBERS)  # WB12
            or (left == right == "Katakana")  # WB13
            or (left in {*WORDS, "ExtendNumLet"} and right == "ExtendNumLet")  # WB13a
            or (left == "ExtendNumLet" and right in WORDS)  # WB13b
        )

    return [i for i in range(1, len(text)) if is_boundary(i)]


def reference_words(text: str) -> list[str]:
    """Words of a text, those of white space left out."""
    cuts = [0, *boundaries(text), len(text)]
    words = [text[a:b] for a, b in zip(cuts[:-1], cuts[1:]) if a < b]
    return [w for w in words if not WHITE.fullmatch(w)]
