"""Undo the hard line wraps of Korean text.

Two thirds of the lines of Translation-ko are cut at a fixed column, in the middle of a word as
often as not, and a space at the cut is lost. Whether two lines join with a space or without is
told from how the rest of the file writes the syllables at the cut.
"""

import re
import unicodedata
from collections import Counter

# Columns at which the lines of Translation-ko that are cut inside words end, with the leading
# space: nearly all end at 75 or 76, one less before a wide syllable.
_CUT_COLUMNS = 74

_RUN = re.compile(r"[가-힣]+")
_LAST_RUN = re.compile(r"[가-힣]+$")
_FIRST_RUN = re.compile(r"[가-힣]+")
_ATTACHES = re.compile(r"[\w)\]'\"%]")


def _columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


class WrapJoiner:
    """Joins wrapped lines. Made from the whole text that the lines come from."""

    def __init__(self, text: str) -> None:
        self._words: Counter[str] = Counter()
        self._endings: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        for line in text.splitlines():
            previous = ""
            # Of the first and last word of a line only a part may be there.
            for word in line.split()[1:-1]:
                for run in _RUN.finditer(word):
                    self._count(run, word)
                first = _FIRST_RUN.match(word)
                if previous and first:
                    self._pairs[previous, first.group()] += 1
                last = _LAST_RUN.search(word)
                previous = last.group() if last else ""

    def _count(self, run: re.Match[str], word: str) -> None:
        syllables = run.group()
        attached = run.start() > 0 and _ATTACHES.match(word[run.start() - 1])
        (self._endings if attached else self._words)[syllables] += 1
        for i in range(1, len(syllables)):
            self._endings[syllables[i:]] += 1

    def _is_one_word(self, before: str, after: str) -> bool:
        head, tail = _LAST_RUN.search(before), _FIRST_RUN.match(after)
        if tail is None or not _ATTACHES.match(before[-1]):
            return False
        if head is not None:
            joined = self._words[head.group() + tail.group()]
            apart = self._pairs[head.group(), tail.group()]
            if joined != apart:
                return joined > apart
        return self._endings[tail.group()] > self._words[tail.group()]

    def join(self, text: str, line: str, following: str) -> str:
        """`text`, whose last line is `line` as it stands in the file, and `following` after it."""
        cut = _columns(line.rstrip()) >= _CUT_COLUMNS and not line.endswith(" ")
        space = "" if cut and self._is_one_word(text, following) else " "
        return text + space + following
