"""Checks of what a model wrote about a picture: its form, what it looked at, what it made up."""

import re

from pydantic import Field

from ..common.config_files import Strict

_ASK, _ANSWER = r"(?:q|question|질문|質問)", r"(?:a|answer|답변|답|回答)"
_LABEL = re.compile(rf"^\s*(?:\d+[.)]\s*)?(?:({_ASK})|{_ANSWER})\s*\d*\s*[:：]\s*", re.I | re.M)
# Words of one who was given a text and no picture; X-LLaVA's model looks at the picture itself.
_CAPTION_TALK = re.compile(
    r"\b(?:the|this|given|provided) (?:captions?|descriptions?|tags|bounding boxes)\b"
    r"|\baccording to the (?:text|description|caption)"
    r"|캡션|(?:주어진|제공된) (?:설명|태그|텍스트)|설명에 (?:따르면|의하면)"
    r"|キャプション|(?:与えられた|提供された)(?:説明|テキスト|タグ)|説明文によると",
    re.I,
)
_NO_LETTER_BEFORE, _NO_LETTER_AFTER = r"(?<!\w)", r"(?:e?s)?(?!\w)"


class PictureChecks(Strict):
    """What an answer about a picture has to hold.

    Attributes:
        turns: questions with their answers, least and most.
        min_named: least share of the things in the picture that are named, of those that have tags.
        others: whether things may be named that other pictures of the set show, and this one not.
            Names of one syllable or letter, which are parts of other words, are not looked for.
    """

    turns: tuple[int, int] = (1, 1)
    min_named: float = Field(default=0.0, ge=0, le=1)
    others: bool = False


def read_turns(text: str) -> list[tuple[str, str]] | None:
    """Read lines of `질문: …` and `답변: …` (or `Q:`, `質問：`, …) as pairs.

    Returns:
        Questions with their answers; `None` for text in any other form.
    """
    labels = list(_LABEL.finditer(text))
    if not labels or text[: labels[0].start()].strip():
        return None
    ends = [label.start() for label in labels[1:]] + [len(text)]
    parts = [text[label.end() : end].strip() for label, end in zip(labels, ends)]
    asked = [label[1] is not None for label in labels]
    if len(parts) % 2 or asked != [True, False] * (len(parts) // 2) or not all(parts):
        return None
    return list(zip(parts[::2], parts[1::2]))


def is_named(tag: str, text: str) -> bool:
    """Whether a text names a thing, in any case and number; particles may follow in Korean."""
    if tag.isascii():
        word = rf"{_NO_LETTER_BEFORE}{re.escape(tag)}{_NO_LETTER_AFTER}"
        return re.search(word, text, re.I) is not None
    return re.search(rf"(?<![가-힣]){re.escape(tag)}", text) is not None


def find_flaw(
    text: str, tags: tuple[str, ...], vocabulary: frozenset[str], checks: PictureChecks
) -> tuple[str, str] | None:
    """Return the first thing that is wrong, as a name and a sentence.

    Args:
        text: the answer.
        tags: names of what the picture shows; none if that is not known.
        vocabulary: names of what any picture of the set shows.
        checks: what has to hold.
    """
    turns, (least, most) = read_turns(text), checks.turns
    if turns is None or not least <= len(turns) <= most:
        found = "no such lines" if turns is None else f"{len(turns)} pairs"
        return "no_turns", f"{least} to {most} pairs of question and answer were asked for: {found}"
    if talk := _CAPTION_TALK.search(text):
        return "caption_talk", f"says {talk[0]!r}: it was given a picture and no text"
    answers = "\n".join(answer for _, answer in turns)
    if tags:
        named = [tag for tag in tags if is_named(tag, text)]
        if len(named) < checks.min_named * len(tags):
            absent = next(tag for tag in tags if tag not in named)
            return "not_named", f"does not name {absent!r}, which the picture shows"
        if not checks.others:
            for tag in sorted(vocabulary - set(tags)):
                inside = any(tag.casefold() in own.casefold() for own in tags)
                if len(tag) > 1 and not inside and is_named(tag, answers):
                    return "ungrounded", f"names {tag!r}, which the picture does not show"
    return None
