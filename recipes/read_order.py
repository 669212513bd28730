"""What the steps of a run read, and which steps read a piece of text: one look-up, both ways."""

from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np

from .opened_run import OpenedRun

_DOCUMENTS = 4096  # whose text is held at a time


@dataclass(frozen=True)
class Reading:
    """A document, or the part of one, that a window shows.

    Attributes:
        source: name.
        epoch: of the source, from 0.
        document: number in the shards of the source.
        begin: first token shown, in the document.
        tokens: that are shown, int64.
        document_tokens: of the whole document.
    """

    source: str
    epoch: int
    document: int
    begin: int
    tokens: np.ndarray
    document_tokens: int


@dataclass(frozen=True)
class Visit:
    """A window that shows a stretch of a source.

    Attributes:
        step: that reads the window, from 1.
        window: its index in the run.
        epoch: of the source, from 0.
        whole: all of the stretch is in it.
    """

    step: int
    window: int
    epoch: int
    whole: bool


def readings(run: OpenedRun, window: int) -> list[Reading]:
    """List what a training window shows, in its order; padding is left out."""
    name, epoch, number = run.mixture.locate(window)
    source = run.mixture.sources[name]
    shown = source.window(number, run.mixture.sequence_length, epoch)
    ends, begin, found = shown.document_ends.tolist(), 0, []
    for place, document, end in zip(shown.starts.tolist(), source.documents_in(shown), ends):
        first, length = source.document_bounds(document)
        tokens = shown.tokens[begin:end]
        found.append(Reading(name, epoch, document, place - first, tokens, length))
        begin = end
    return found


def visits(run: OpenedRun, source: str, start: int, length: int) -> list[Visit]:
    """List the windows of the run that show a part of a stretch of a source's tokens, in order."""
    found = []
    for window, epoch in run.mixture.visits(source, start, length, run.windows):
        shown = run.mixture.window(window)
        ends = np.concatenate([[0], shown.document_ends])
        covered = 0
        for place, begin, end in zip(shown.starts.tolist(), ends, ends[1:]):
            covered += max(0, min(start + length, place + int(end - begin)) - max(start, place))
        found.append(Visit(run.step_of(window), window, epoch, covered >= length))
    return found


class Spelling:
    """Text of token ids, and which tokens a stretch of the text is made of.

    Args:
        spelled: bytes of each id, none for control tokens.
    """

    def __init__(self, spelled: list[bytes]) -> None:
        self._lengths = np.array(list(map(len, spelled)), dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])[:-1]
        self._bytes = np.frombuffer(b"".join(spelled), dtype=np.uint8)

    def ends(self, tokens: np.ndarray) -> np.ndarray:
        """Where each token ends in the text, in bytes. Int64 [tokens]."""
        return np.cumsum(self._lengths[tokens])

    def text(self, tokens: np.ndarray) -> bytes:
        """UTF-8 bytes of the text; a cut can have parted a character."""
        lengths, ends = self._lengths[tokens], self.ends(tokens)
        if not len(ends) or not ends[-1]:
            return b""
        places = np.repeat(self._starts[tokens] - ends + lengths, lengths)
        return self._bytes[places + np.arange(ends[-1])].tobytes()

    def tokens_of(self, tokens: np.ndarray, begin: int, end: int) -> tuple[int, int]:
        """First token, and one past the last, that bytes `begin` to `end` of the text lie in."""
        ends = self.ends(tokens)
        first = int(np.searchsorted(ends, begin, side="right"))
        return first, int(np.searchsorted(ends, end, side="left")) + 1


def find_text(run: OpenedRun, text: str, spelling: Spelling) -> Iterator[tuple[str, int, int, int]]:
    """Search all sources of a run for a text, document by document.

    Yields:
        Source, number of the document, and where in the source's stream of tokens the text begins
        and how many tokens it touches.
    """
    # Texts are composed (NFC) where data are prepared, unless their recipe says otherwise.
    forms = {form.encode() for form in (text, normalize("NFC", text))}
    for name, source in run.mixture.sources.items():
        document = 0
        for starts, lengths in source.document_blocks(_DOCUMENTS):
            for start, length in zip(starts.tolist(), lengths.tolist()):
                tokens = source.tokens_at(start, length)
                written = spelling.text(tokens)
                for wanted in forms:
                    place = written.find(wanted)
                    while place >= 0:
                        first, end = spelling.tokens_of(tokens, place, place + len(wanted))
                        yield name, document, start + first, end - first
                        place = written.find(wanted, place + 1)
                document += 1
