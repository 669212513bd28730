"""Checks of one answer that no statistic of documents covers. Each gives a sentence, or `None`."""

import re
import unicodedata

from ..ask.exchange import CONTROL_TOKEN

# Shortest line of a prompt that no answer has by chance, in characters; Korean says as much in
# fewer. Our choice.
_INSTRUCTION = 24
_COPIED_WORDS = 8
_FENCE = re.compile(r"^\s*(```+|~~~+)", re.MULTILINE)
_TAG = re.compile(r"<(/?)(b|i|u|em|strong|p|div|span|ul|ol|table|h[1-6])\b[^<>]*?(/?)>", re.I)
_PLACEHOLDER = re.compile(
    r"\{\{.{0,40}?\}\}|\[(?:insert|your|name|title|제목|이름|내용)\b[^\]]{0,30}\]", re.I
)
# Han in brackets after a word is how Korean explains one: 경제(經濟).
_GLOSS = re.compile(r"(?<=\w)[(\[（][^()\[\]（）]{1,20}[)\]）]")


def copied_instruction(text: str, instructions: list[str]) -> str | None:
    """A line of the prompt, not of the seed, that the answer repeats."""
    for line in instructions:
        if len(line) >= _INSTRUCTION and line in text:
            return f"repeats the prompt: {line!r}"
    return None


def copied_share(text: str, seed: str) -> float:
    """Share of the answer's words that stand in a run of 8 words that the seed has as well."""
    words, own = text.split(), seed.split()
    known = {tuple(own[i : i + _COPIED_WORDS]) for i in range(len(own) - _COPIED_WORDS + 1)}
    covered = [False] * len(words)
    for i in range(len(words) - _COPIED_WORDS + 1):
        if tuple(words[i : i + _COPIED_WORDS]) in known:
            covered[i : i + _COPIED_WORDS] = [True] * _COPIED_WORDS
    return sum(covered) / len(words) if words else 0.0


def broken_markup(text: str) -> str | None:
    """Fences and tags without an end, a fence around everything, tokens of a chat format."""
    if control := CONTROL_TOKEN.search(text):
        return f"has {control[0]!r}, which belongs to a chat format"
    if placeholder := _PLACEHOLDER.search(text):
        return f"has {placeholder[0]!r}, which was to be filled in"
    fences = _FENCE.findall(text)
    if len(fences) % 2:
        return "a code fence has no end"
    stripped = text.strip()
    if len(fences) == 2 and stripped.startswith(fences[0]) and stripped.endswith(fences[1]):
        return "all of it stands in a code fence"
    open_tags: dict[str, int] = {}
    for closing, name, alone in _TAG.findall(text):
        if not alone:
            open_tags[name.lower()] = open_tags.get(name.lower(), 0) + (-1 if closing else 1)
    # A paragraph needs no end.
    for name, count in open_tags.items():
        if count and name != "p":
            return f"<{name}> and </{name}> are not as many"
    return None


def foreign_scripts(text: str) -> dict[str, float]:
    """Shares of kana and of Han characters in the letters, brackets after a word aside."""
    letters = han = kana = 0
    for character in _GLOSS.sub("", text):
        if not character.isalpha():
            continue
        letters += 1
        # Names of Unicode; `isascii` and Hangul first, since looking one up is slow.
        if character.isascii() or "가" <= character <= "힣":
            continue
        name = unicodedata.name(character, "")
        han += name.startswith("CJK ")
        kana += name.startswith(("HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA"))
    # Japanese has both, so kana say more.
    return {"kana": kana / max(1, letters), "han": han / max(1, letters)}
