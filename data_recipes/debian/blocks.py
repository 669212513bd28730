"""Paragraphs of a document, and what is kept of them."""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

# A translated sentence about software quotes Latin names; below this share of its letters the
# paragraph is an English one with a Korean name in it.
MIN_HANGUL_SHARE = 0.3
# A short listing belongs to the sentence before it. A long one is a program, not Korean.
MAX_KOREAN_CODE = 400
# Shorter paragraphs ("Homepage", "파일을 엽니다.") recur in honest prose; longer ones are copies.
LONG_PARAGRAPH_BYTES = 120
# Below this a document is a bare label such as "documentation for libfoo".
MIN_DOCUMENT_BYTES = 80

_HANGUL = re.compile(r"[가-힣]")
_LETTER = re.compile(r"[^\W\d_]")
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Block:
    """One paragraph. `level` is 0 except for headings, where 1 is the document's title."""

    text: str
    kind: Literal["text", "item", "code", "heading"] = "text"
    level: int = 0


def hangul_share(text: str) -> float:
    """Hangul syllables per letter of `text`, 0 to 1; 0 where there is no letter."""
    letters = len(_LETTER.findall(text))
    return len(_HANGUL.findall(text)) / letters if letters else 0.0


def _is_name(text: str) -> bool:
    # ACOTH, mod_actions or GObject stay as they are in a translation.
    return " " not in text and not _PLAIN_WORD.fullmatch(text.rstrip(":"))


def keep_korean(blocks: list[Block]) -> list[Block]:
    """Blocks without the parts that nobody has translated."""
    kept = []
    translated = False
    for block in blocks:
        korean = hangul_share(block.text) >= MIN_HANGUL_SHARE
        if block.kind == "code":
            if korean or (translated and len(block.text) <= MAX_KOREAN_CODE):
                kept.append(block)
        elif block.kind == "heading":
            # "AuthDBMGroupFile 지시어" is translated although it is mostly a name.
            if _HANGUL.search(block.text) or _is_name(block.text):
                kept.append(block)
        elif block.kind == "item" and _is_name(block.text.removeprefix("- ")):
            if korean or translated:
                kept.append(block)
        else:
            translated = korean
            if korean:
                kept.append(block)
    return kept


def drop_bare_headings(blocks: list[Block]) -> list[Block]:
    """Blocks without the headings whose section holds nothing (any more)."""
    kept: list[Block] = []
    for block in reversed(blocks):
        below = kept[-1] if kept else None
        bare = below is None or (below.kind == "heading" and below.level <= block.level)
        if block.kind != "heading" or not bare:
            kept.append(block)
    return kept[::-1]


def render(blocks: list[Block]) -> str:
    """Text of a document: blank lines between paragraphs, none between items of a list."""
    text = ""
    previous = None
    for block in blocks:
        if previous is not None:
            tight = block.kind == "item" and previous.kind == "item"
            text += "\n" if tight else "\n\n"
        text += block.text
        previous = block
    return text


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Deduplicator:
    """Removes exact copies of long paragraphs and of documents; the first one stays."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def document(self, blocks: list[Block]) -> str | None:
        """Text of the document without what was seen before; None if too little is left."""
        blocks = drop_bare_headings(blocks)
        text = render(blocks)
        fresh = []
        digests = {_digest(text)}
        if digests & self._seen:
            return None
        for block in blocks:
            if len(block.text.encode()) >= LONG_PARAGRAPH_BYTES:
                digest = _digest(block.text)
                # `text` of a single paragraph has the digest of that paragraph.
                if digest in self._seen or (digest in digests and len(blocks) > 1):
                    continue
                digests.add(digest)
            fresh.append(block)
        rest = render(drop_bare_headings(fresh))
        size = len(rest.encode())
        # What is left of a copy (a title, a closing sentence) reads like a fragment.
        if size < MIN_DOCUMENT_BYTES or size < len(text.encode()) / 2:
            return None
        self._seen |= digests
        return rest
