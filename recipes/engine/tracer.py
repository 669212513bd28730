"""Verbatim spans of an answer in the training data: what is searched, and what is said of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
from transformers import PreTrainedTokenizerFast

from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import visible
from data_recipes.tokenizer.load import load_tokenizer, token_bytes, tokenizer_hash
from data_recipes.tokens.shards import MANIFEST, TokenSource

from ..opened_run import FINAL, RECIPE, OpenedRun, open_run
from ..read_order import Spelling, visits
from .trace_index import TraceIndex, TracePlace

_PLACES = 3  # shown of a span, in each source
_STEPS = 5  # shown of a place


@dataclass(frozen=True)
class TracedSpan:
    """A stretch of an answer that stands in the data.

    Attributes:
        begin: first character, in the answer.
        text: of it.
    """

    begin: int
    text: str


class Tracer:
    """Searches the training data.

    Args:
        sources: data sets by name.
        spelling: of their tokens.
        run: that read them, if it is known.
    """

    def __init__(
        self, sources: dict[str, TokenSource], spelling: Spelling, run: OpenedRun | None
    ) -> None:
        self.run = run
        self.indexes = {name: TraceIndex(source, spelling) for name, source in sources.items()}

    @staticmethod
    def of(where: Path) -> "Tracer":
        """Open the data of a run, or shards.

        Raises:
            RecipeError: neither, or data that a run did not read as they are now.
        """
        if any((d / RECIPE).is_file() for d in (where, where / FINAL)):
            run = open_run(where)
            return Tracer(run.mixture.sources, Spelling(token_bytes(run.tokenizer)), run)
        found = [p.parent for p in sorted(where.rglob(MANIFEST)) if p.parent.name == "train"]
        if not found:
            raise RecipeError(
                f"{where}: neither a run of pretraining nor a directory with token shards "
                f"(SOURCE/train/{MANIFEST})"
            )
        sources = {directory.parent.name: TokenSource(directory) for directory in found}
        tokenizer = Tracer.tokenizer_of(found[0])
        own = tokenizer_hash(Path(tokenizer.name_or_path))
        for source in sources.values():
            if own != source.manifest.tokenizer_sha256:
                raise RecipeError(
                    f"{tokenizer.name_or_path}: not the tokenizer that made {source.directory}"
                )
        return Tracer(sources, Spelling(token_bytes(tokenizer)), None)

    @staticmethod
    def tokenizer_of(directory: Path) -> PreTrainedTokenizerFast:
        """Load the tokenizer of a data recipe: `<output_dir>/tokenizer`, beside its `shards`.

        Args:
            directory: `<output_dir>/shards/<source>/train`.

        Raises:
            RecipeError: there is none.
        """
        return load_tokenizer(directory.resolve().parents[2] / "tokenizer")

    def spans(self, text: str, shortest: int) -> list[TracedSpan]:
        """Find the stretches that stand in the data and cannot be made longer, longest first.

        Args:
            text: the answer, whose Hangul may be decomposed: where data are prepared, texts are
                composed (NFC), unless their recipe says otherwise.
            shortest: characters of a stretch, at least.
        """
        # A lone surrogate, of bytes that are no UTF-8, is in no text and cannot be encoded.
        text = text.encode(errors="replace").decode()
        forms = dict.fromkeys((normalize("NFC", text), text))
        found = [self._spans(form, shortest) for form in forms]
        return max(found, key=lambda spans: sum(len(span.text) for span in spans))

    def _spans(self, text: str, shortest: int) -> list[TracedSpan]:
        data = np.frombuffer(text.encode(), np.uint8)
        # Where each character begins, and where the last one ends.
        edges = np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data))
        begins = edges[:-1]
        longest = np.zeros(len(begins), np.int64)
        for index in self.indexes.values():
            longest = np.maximum(longest, index.longest(data, begins))
        # A match can end within a character.
        ends = np.searchsorted(edges, begins + longest, side="right") - 1
        found, reached = [], 0
        for begin, end in enumerate(ends.tolist()):
            if end > reached:
                if end - begin >= shortest:
                    found.append(TracedSpan(begin, text[begin:end]))
                reached = end
        return sorted(found, key=lambda span: (-len(span.text), span.begin))

    def report(self, text: str, shortest: int, number: int) -> Iterator[str]:
        """Say what stands in the data, line by line.

        Args:
            text: the answer.
            shortest: characters of a stretch, at least.
            number: stretches, at most.
        """
        spans = self.spans(text, shortest)
        if not spans:
            yield (f"no {shortest:,} characters of it stand together in {', '.join(self.indexes)}")
        for span in spans[:number]:
            yield (
                f"{len(span.text):,} characters, from character {span.begin:,} on: "
                f"{visible(span.text)!r}"
            )
            yield from self._places(span)
        if len(spans) > number:
            yield f"and {len(spans) - number:,} shorter ones"

    def _places(self, span: TracedSpan) -> Iterator[str]:
        wanted = span.text.encode()
        for name, index in self.indexes.items():
            count, places = index.places(wanted, _PLACES)
            manifest = index.source.manifest
            if count:
                yield (
                    f"  {name}: {count:,} times ({manifest.source}, {manifest.licence}, "
                    f"synthesizer {manifest.synthesizer or 'none'})"
                )
            for place in places:
                yield f"    document {place.document:,}{self._read(name, index, place, wanted)}"
            if count > len(places) > 0:
                yield f"    and {count - len(places):,} more"

    def _read(self, name: str, index: TraceIndex, place: TracePlace, wanted: bytes) -> str:
        if self.run is None:
            return ""
        found = visits(self.run, name, *index.stretch(place, len(wanted)))
        whole = [f"{v.step:,} (epoch {v.epoch})" for v in found if v.whole]
        more = f" and {len(whole) - _STEPS:,} more" if len(whole) > _STEPS else ""
        if whole:
            return f", read in step {', '.join(whole[:_STEPS])}{more}"
        return ", read in parts only" if found else ", not read"
