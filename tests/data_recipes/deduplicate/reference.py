"""Deduplication by the rule, one paragraph after the other: slow, and nothing shared with ours."""

from dataclasses import dataclass, field
from typing import Protocol

from ..text.reference_words import WHITE, reference_words


class Seen(Protocol):
    """What was seen before; a set of tuples of words will do."""

    def __contains__(self, ngram: tuple[str, ...]) -> bool: ...

    def add(self, ngram: tuple[str, ...]) -> None: ...


@dataclass
class Outcome:
    """What becomes of a document.

    Attributes:
        text: what is left of it; `None` if it goes.
        reason: why it goes; empty if it stays.
        hits: n-grams seen before.
        total: n-grams.
        removed: paragraphs removed: start and end in UTF-8 bytes, n-grams, n-grams seen before.
    """

    text: str | None
    reason: str
    hits: int
    total: int
    removed: list[tuple[int, int, int, int]] = field(default_factory=list)


def paragraphs_of(text: str) -> list[str]:
    """A newline starts a paragraph."""
    cuts = [0, *(i for i, c in enumerate(text) if c == "\n"), len(text)]
    return [text[a:b] for a, b in zip(cuts[:-1], cuts[1:])]


def ngrams_of(text: str, size: int) -> list[tuple[str, ...]]:
    """All of them, in order; none if there are fewer words."""
    words = reference_words(text)
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def deduplicate(
    texts: list[str], seen: Seen, mode: str = "old-both", size: int = 13, threshold: float = 0.8
) -> list[Outcome]:
    """What becomes of documents, one after the other."""
    outcomes = []
    for text in texts:
        hits = total = at = 0
        kept, removed = "", []
        for paragraph in [text] if mode == "document" else paragraphs_of(text):
            ngrams = ngrams_of(paragraph, size)
            own = sum(ngram in seen for ngram in ngrams)
            end = at + len(paragraph.encode())
            hits, total = hits + own, total + len(ngrams)
            if ngrams and own / len(ngrams) > threshold:
                removed.append((at, end, len(ngrams), own))
            else:
                kept += paragraph
                for ngram in ngrams:
                    seen.add(ngram)
            at = end
        reason = ""
        if mode == "old-both" and total and hits / total > threshold:
            reason = "duplicate_document"
        elif not kept or WHITE.fullmatch(kept):
            reason = "all_paragraphs_duplicate" if removed else "empty_text"
            if mode == "document" and removed:
                reason = "duplicate_document"
        outcomes.append(
            Outcome(None, reason, hits, total)
            if reason
            else Outcome(kept, "", hits, total, removed)
        )
    return outcomes
