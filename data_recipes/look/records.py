"""Finished steps and their documents, as `inspect` and `report` read them."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..common.errors import RecipeError
from ..common.sample import Item, LowestHashes
from ..engine.documents import damaged_shard_is_an_error, read_batches
from ..engine.steps import StepFolder
from ..prepare import STEPS

_NAMED = ("id", "text", "sample", "source", "language", "reason", "detail")


@dataclass(frozen=True)
class Record:
    """A row of a shard: a kept or rejected document, or a paragraph that deduplication removed.

    Attributes:
        id: unique in the recipe.
        text: the document; of a row that could not be read, the sample that was set down.
        source: name of the source.
        language: its code; empty where the step did not come so far as to know it.
        reason: why it was removed; empty if it was kept.
        detail: the same as a sentence.
        extra: the other columns.
    """

    id: str
    text: str
    source: str
    language: str
    reason: str
    detail: str
    extra: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(values: dict[str, Any], source: str) -> "Record":
        """A row of a shard of `source`, by column."""
        return Record(
            id=values["id"],
            text=values["text"] if "text" in values else values["sample"],
            source=source,
            language=values.get("language") or "",
            reason=values.get("reason") or "",
            detail=values.get("detail") or "",
            extra={k: v for k, v in values.items() if k not in _NAMED},
        )


class Sample(LowestHashes[Item]):
    """A random sample of bounded size: the items of the ids with the lowest hashes.

    Args:
        size: at most so many.
        seed: another one gives another sample.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        super().__init__(size)
        self._seed = str(seed).encode()

    def offer(self, id_: str, item: Item) -> None:
        """Offer an item. Of an id that comes again, the first counts."""
        digest = hashlib.blake2b(id_.encode(), digest_size=8, key=self._seed).digest()
        self.add(int.from_bytes(digest), item)


@dataclass(frozen=True)
class Place:
    """Where a row lies, so that its text is read only if it is wanted.

    Attributes:
        source: name of the source.
        path: the shard.
        row: its number there.
    """

    source: str
    path: Path
    row: int


def places(
    source: str, paths: Iterable[Path], column: str = "id"
) -> Iterator[tuple[Place, str, str]]:
    """Place, id and value in a column of every row of some shards; no text is read."""
    for path in paths:
        row = 0
        for batch in read_batches(path, list(dict.fromkeys(("id", column)))):
            values = (batch.column(name).to_pylist() for name in ("id", column))
            for id_, value in zip(*values):
                yield Place(source, path, row), id_, value
                row += 1


def fetch(wanted: list[Place]) -> list[Record]:
    """The rows at some places, in that order. Of a shard only the row groups with them are read.

    Raises:
        RecipeError: a damaged shard.
    """
    found: dict[Place, Record] = {}
    for path in dict.fromkeys(place.path for place in wanted):
        own = sorted((p for p in wanted if p.path == path), key=lambda place: place.row)
        with damaged_shard_is_an_error(path), pq.ParquetFile(path) as file:
            first = 0
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                here = [place for place in own if first <= place.row < end]
                if here:
                    table = file.read_row_group(group)
                    rows = [table.slice(p.row - first, 1).to_pylist()[0] for p in here]
                    found |= {p: Record.of(row, p.source) for p, row in zip(here, rows)}
                first = end
    return [found[place] for place in wanted]


def finished_steps(output_dir: Path) -> dict[str, dict[str, StepFolder]]:
    """Folders by step and source, of those with at least one finished shard; in order.

    Raises:
        RecipeError: there are none.
    """
    found = {
        step: {
            path.name: StepFolder(path)
            for path in sorted((output_dir / step).glob("*"))
            if any((path / "stats").glob("*.json"))
        }
        for step in STEPS
    }
    found = {step: sources for step, sources in found.items() if sources}
    if not found:
        raise RecipeError(
            f"{output_dir}: no finished shard of any step; run "
            "`python -m data_recipes prepare --config …` first"
        )
    return found


def one_of(kind: str, name: str, known: Iterable[str], where: str) -> None:
    """Raise unless `name` is known.

    Raises:
        RecipeError: names those that are.
    """
    known = list(known)
    if name not in known:
        there = ", ".join(known) if known else "none at all"
        raise RecipeError(f"{where}: no {kind} {name!r}; there are {there}")


def matched_parts(
    data: bytes, start: int, end: int, matched: list[list[int]]
) -> list[tuple[str, bool]]:
    """A stretch of a text in parts: what was seen before, and what was not.

    Args:
        data: the text, UTF-8.
        start: where the stretch begins, in bytes of it.
        end: where it ends.
        matched: [start, end] of what was seen before, ascending, apart from each other.
    """
    edges = [start, *(edge for span in matched for edge in span), end]
    parts = [(data[a:b].decode(), i % 2 == 1) for i, (a, b) in enumerate(zip(edges, edges[1:]))]
    return [part for part in parts if part[0]]
