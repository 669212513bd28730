"""What deduplication took out of kept documents."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from ..common.errors import RecipeError
from ..common.terminal import Terminal
from ..deduplicate.step import removed_path
from ..engine.steps import StepFolder
from .records import Place, Record, Sample, fetch, matched_parts, places

_CONTEXT = 200  # bytes shown on either side of an origin


@dataclass(frozen=True)
class Removed:
    """Deduplication as it was run.

    Attributes:
        inputs: folders of the step before, in the order in which they were worked on.
        outputs: folders of the step.
    """

    inputs: dict[str, StepFolder]
    outputs: dict[str, StepFolder]

    def places(self, source: str) -> Iterator[tuple[Place, str]]:
        """Place and document id of every removed paragraph of a source."""
        folder = self.outputs[source]
        paths = [removed_path(folder, shard) for shard in folder.done()]
        return ((place, id_) for place, id_, _ in places(source, paths))


def show_removed(
    terminal: Terminal,
    run: Removed,
    sources: list[str],
    id_: str | None,
    number: int,
    seed: int,
) -> None:
    """Print documents with the paragraphs they lost, and the n-grams that were known already.

    Args:
        terminal: where to.
        run: what was deduplicated.
        sources: those to show.
        id_: this document only.
        number: documents to draw otherwise.
        seed: another one draws others.

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
