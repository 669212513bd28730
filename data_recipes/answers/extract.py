"""Finds the answer that a solution ends with."""

import re

from .calendar import read_moment
from .quantity import read_quantity
from .same import is_choice
from .text import clean, strip_ends

# The answer is at the end; what comes before so many characters is not searched.
_TAIL = 4_000
_LONGEST = 200

_PHRASE = re.compile(
    r"(?:\banswer\s*(?:is|:|=)\s*:?|(?<![가-힣])(?:정답|답변|답)\s*(?:은|:|=)\s*:?)[ \t]*(?=\S)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[^\s\d.])\.(?=\s)|(?<=\d)\.(?=\s)|[!?](?=\s)|。")
_REASON = re.compile(r",?\s+(?:because|since)\b", re.IGNORECASE)


def _last_box(text: str) -> str | None:
    """Content of the last complete `\\boxed{}`, whose braces may nest."""
    start = len(text)
    while (start := text.rfind("\\boxed{", 0, start)) >= 0:
        depth = 0
        for position in range(start + 6, min(len(text), start + 6 + 2 * _LONGEST)):
            if text[position] in "{}" and text[position - 1] != "\\":
                depth += 1 if text[position] == "{" else -1
                if depth == 0:
                    return text[start + 7 : position].strip() or None
    return None


def _is_value(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    if is_choice(text):
        return True
    return any(read(clean(text)) is not None for read in (read_quantity, read_moment))


def extract_answer(text: str) -> str | None:
    """The answer in a text: the last `\\boxed{}`, else the last "The answer is ..." or "답은 ...",
    else a value alone on the last line; `None` if there is none of these.
    """
    tail = text[-_TAIL:]
    if (boxed := _last_box(tail)) is not None:
        return boxed
    tail = tail.replace("**", "")
    phrases = list(_PHRASE.finditer(tail))
    if phrases:
        answer = tail[phrases[-1].end() :].partition("\n")[0]
        answer = _SENTENCE_END.split(answer, maxsplit=1)[0]
        answer = _REASON.split(answer, maxsplit=1)[0]
        return strip_ends(answer.strip()) or None
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    if not lines:
        return None
    last = strip_ends(lines[-1])
    return last if _is_value(last) else None
