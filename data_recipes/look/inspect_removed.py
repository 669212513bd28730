"""What deduplication took out of kept documents, and where it had been seen before."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.text import Text

from ..common.errors import RecipeError
from ..common.terminal import Terminal
from ..deduplicate.config import DedupConfig
from ..deduplicate.ngrams import Ngrams, cut_ngrams
from ..deduplicate.step import removed_path
from ..engine.documents import read_batches, text_buffers
from ..engine.steps import StepFolder
from ..text.words import split_words
from .records import Place, Record, Sample, fetch, matched_parts, places

_CONTEXT = 200  # bytes shown on either side of an origin


@dataclass(frozen=True)
class Removed:
    """Deduplication as it was run.

    Attributes:
        inputs: folders of the step before, in the order in which they were worked on.
        outputs: folders of the step.
        config: the step.
    """

    inputs: dict[str, StepFolder]
    outputs: dict[str, StepFolder]
    config: DedupConfig

    def places(self, source: str) -> Iterator[tuple[Place, str]]:
        """Place and document id of every removed paragraph of a source."""
        folder = self.outputs[source]
        paths = [removed_path(folder, shard) for shard in folder.done()]
        return ((place, id_) for place, id_, _ in places(source, paths))

    def before(self, source: str, shard: str) -> Iterator[pa.RecordBatch]:
        """What the filter of a shard saw, up to and with that shard."""
        own = self.inputs[source].shards()
        task = own.index(shard) % self.config.filters
        for name, folder in self.inputs.items():
            for other in folder.shards()[task :: self.config.filters]:
                yield from read_batches(folder.kept(other))
                if (name, other) == (source, shard):
                    return


def show_removed(
    terminal: Terminal,
    run: Removed,
    sources: list[str],
    id_: str | None,
    number: int,
    seed: int,
    find_origin: bool,
) -> None:
    """Print documents with the paragraphs they lost, and the n-grams that were known already.

    Args:
        terminal: where to.
        run: what was deduplicated.
        sources: those to show.
        id_: this document only.
        number: documents to draw otherwise.
        seed: another one draws others.
        find_origin: search for the first document that holds a matched n-gram.

    Raises:
        RecipeError: no such document, or none that lost a paragraph.
    """
    sample = Sample(number, seed)
    for source in sources:
        for place, name in run.places(source):
            if id_ in (None, name):
                sample.add(name, place)
    chosen = sample.values()
    if not chosen:
        what = f"document {id_!r} lost none" if id_ else "no kept document lost any"
        raise RecipeError(
            f"step deduplicate, paragraphs removed from {', '.join(sources)}: {what}. Documents "
            "that were removed whole are shown with --rejected"
        )
    for place, first in zip(chosen, fetch(chosen)):
        source, shard = place.source, place.path.stem
        own = places(source, [run.inputs[source].kept(shard)])
        (document,) = fetch([p for p, name, _ in own if name == first.id])
        paragraphs = fetch([p for p, name, _ in places(source, [place.path]) if name == first.id])
        terminal.print(
            terminal.marked(f"── {document.id}", "heading"),
            terminal.marked(f" {source} {document.language}", "facts"),
        )
        terminal.print(*_marked(terminal, document, paragraphs))
        for paragraph in paragraphs:
            terminal.print(
                terminal.marked(
                    "bytes {start:,} to {end:,}: {hits:,} of {ngrams:,} n-grams were known".format(
                        **paragraph.extra
                    ),
                    "facts",
                )
            )
            if find_origin:
                terminal.print(*_origin(terminal, run, shard, document, paragraph))
        terminal.print()


def _marked(terminal: Terminal, document: Record, paragraphs: list[Record]) -> list[Text | str]:
    """The document as it came, removed paragraphs struck, known n-grams highlighted."""
    data, place = document.text.encode(), 0
    parts: list[Text | str] = []
    for paragraph in paragraphs:
        start, end = paragraph.extra["start"], paragraph.extra["end"]
        if data[start:end].decode() != paragraph.text:
            raise RecipeError(
                f"document {document.id!r}: bytes {start} to {end} are not the paragraph that was "
                "removed there; the steps do not belong together, delete `deduplicate` and the "
                "steps after it and run them again"
            )
        parts.append(data[place:start].decode())
        parts += [
            terminal.marked(text, "removed", *(["matched"] if known else []))
            for text, known in matched_parts(data, start, end, paragraph.extra["matched"])
        ]
        place = end
    return [*parts, data[place:].decode()]


def _origin(
    terminal: Terminal, run: Removed, shard: str, document: Record, paragraph: Record
) -> list[Text | str]:
    """Where the first known n-gram of a paragraph came first, in its context."""
    start, end = paragraph.extra["matched"][0]
    known = _cut(run.config, pa.array([document.text.encode()[start:end]]))[1].hashes[0]
    for batch in run.before(document.source, shard):
        data, ngrams = _cut(run.config, batch.column("text"))
        ids = batch.column("id").to_pylist()
        found = np.flatnonzero(ngrams.hashes == known)
        if document.id in ids:
            # Words of the document itself count as far as the paragraph.
            own = ngrams.documents[ids.index(document.id)]
            here = ngrams.starts[own] + paragraph.extra["start"]
            unit = np.searchsorted(ngrams.starts, here)
            found = found[found < ngrams.bounds[unit]]
        if len(found):
            return _context(terminal, data, ngrams, int(found[0]), ids)
        if document.id in ids:
            break
    earlier = ", or known from the filter that was loaded" if run.config.load_filter else ""
    return [f"nowhere before: taken for known by mistake{earlier}"]


def _cut(config: DedupConfig, texts: pa.Array) -> tuple[np.ndarray, Ngrams]:
    batch = pa.RecordBatch.from_arrays([texts.cast(pa.large_string())], ["text"])
    data, offsets = text_buffers(batch)
    return data, cut_ngrams(data, offsets, config.ngram_size, config.mode)


def _context(
    terminal: Terminal, data: np.ndarray, ngrams: Ngrams, found: int, ids: list[str]
) -> list[Text | str]:
    """N-gram number `found`, with the text around it."""
    unit = int(np.searchsorted(ngrams.bounds, found, side="right")) - 1
    document = int(np.searchsorted(ngrams.documents, unit, side="right")) - 1
    first, last = (int(ngrams.starts[u]) for u in ngrams.documents[document : document + 2])
    words = split_words(data, ngrams.starts[unit : unit + 2])
    word = found - int(ngrams.bounds[unit])
    start, end = int(words.starts[word]), int(words.ends[word + ngrams.size - 1])
    # What lies around may be cut inside a character.
    before = bytes(data[max(first, start - _CONTEXT) : start]).decode(errors="ignore")
    after = bytes(data[end : min(last, end + _CONTEXT)]).decode(errors="ignore")
    return [
        terminal.marked(f"first in {ids[document]}, byte {start - first:,}:\n", "facts"),
        before,
        terminal.marked(bytes(data[start:end]).decode(), "matched"),
        after,
    ]
