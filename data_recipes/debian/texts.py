"""Text that is not markup: package descriptions, messages of programs, plain files."""

import gettext
import gzip
import io
import json
import re
import unicodedata
from collections import Counter

PLAIN = (".txt", ".rst", ".rst.gz", ".txt.gz")
CATALOGUES = (".mo", ".json")

_FIELD = re.compile(r"^([\w-]+):(.*(?:\n .*)*)", re.M)
_BULLET = re.compile(r"[-*+o•·]\s+(?=\S)")
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
    """Joins the hard-wrapped lines of Korean text; made from the whole text that they come from.

    Two thirds of the lines of Translation-ko are cut at a fixed column, in the middle of a word as
    often as not, and a space at the cut is lost. Whether two lines join with a space or without is
    told from how the rest of the file writes the syllables at the cut.
    """

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


def read_descriptions(index: str, language: str) -> dict[str, str]:
    """Read the descriptions in a Translation index, by package and part of the English one's MD5.

    That name is the same in every language, so two indexes can be aligned by it. The layout is
    section 5.6.13 of the Debian Policy Manual: one space starts a line of a paragraph, more spaces
    a line to be shown as it is, ` .` a blank line.
    """
    # Hard line wraps are an artefact of the index; Korean ones stand inside words.
    joiner = WrapJoiner(index if language == "ko" else "")
    descriptions = {}
    for stanza in index.split("\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if description := fields.get(f"Description-{language}", "").strip():
            name = f"{fields['Package'].strip()}/{fields.get('Description-md5', '').strip()[:8]}"
            short, *lines = description.split("\n")
            parts = [" ".join(short.split()), _long_description(lines, joiner)]
            descriptions[name] = "\n\n".join(part for part in parts if part)
    return descriptions


def _long_description(lines: list[str], joiner: WrapJoiner) -> str:
    written: list[str] = []
    kind = previous = ""
    for line in lines:
        body = " ".join(line.split())
        indent = len(line) - len(line.lstrip())
        if body in ("", "."):
            now = ""
        elif bullet := _BULLET.match(body):
            body, now = f"- {body[bullet.end() :]}", "item"
        elif kind == "item" and indent > 1 or kind == "text" and indent == 1:
            written[-1] = joiner.join(written[-1], previous, body)
            previous = line
            continue
        else:
            now = "text" if indent == 1 else "line"
        if written and written[-1] and (not now or "text" in (kind, now)):
            written.append("")
        if now:
            written.append(body)
        kind, previous = now, line
    return "\n".join(written).strip("\n")


def read_catalogue(data: bytes, name: str) -> list[tuple[str, str]]:
    """Read the messages of a program that are not empty, each after what it translates.

    In a gettext catalogue that is the English message, which may stand there more than once, for
    other contexts; in JSON it is a name, the same in every language.
    """
    if name.endswith(".json"):
        pairs = {k: v for k, v in json.loads(data).items() if isinstance(v, str) and k[:1] != "@"}
    else:
        # The module reads a whole catalogue but shows one message at a time.
        catalogue = gettext.GNUTranslations(io.BytesIO(data))._catalog
        pairs = {k[0] if isinstance(k, tuple) else k: v for k, v in catalogue.items() if k}
    # A message may start with its context, which is not shown to anyone.
    shown = ((_shown(key), _shown(message)) for key, message in pairs.items())
    return [(key, message) for key, message in shown if key and message]


def _shown(message: str) -> str:
    return message.rpartition("\x04")[2].strip()


def read_plain(data: bytes, name: str) -> str:
    """Read a text file as it stands, with one blank line between its paragraphs."""
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8", "replace")
    return re.sub(r"\n{3,}", "\n\n", text.strip("\n"))
