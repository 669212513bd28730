"""Finished steps and their documents, as `inspect` and `report` read them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from .documents import read_batches
from .errors import RecipeError
from .steps import StepFolder

# Steps in the order of the chain; a recipe may leave any but the first out.
CHAIN = ("read", "filter", "deduplicate", "quality", "decontaminate")
_NAMED = ("id", "text", "sample", "source", "language", "reason", "detail")
# Characters that would command a terminal, or turn the direction of what follows them.
_PICTURES = {c: 0x2400 + c for c in range(0x20) if c not in (0x09, 0x0A)} | {0x7F: 0x2421}
_COMMANDS = [*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_VISIBLE = _PICTURES | dict.fromkeys(_COMMANDS, 0xFFFD)


def visible(text: str) -> str:
    """The text with each control character replaced by one that shows and does nothing."""
    return text.translate(_VISIBLE)


@dataclass(frozen=True)
class Record:
    """A document in a shard of kept or rejected ones.

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
    def at(batch: pa.RecordBatch, row: int, source: str) -> "Record":
        """The document in a row of a shard of `source`."""
        (values,) = batch.slice(row, 1).to_pylist()
        return Record(
            id=values["id"],
            text=values["text"] if "text" in values else values["sample"],
            source=source,
            language=values.get("language") or "",
            reason=values.get("reason") or "",
            detail=values.get("detail") or "",
            extra={k: v for k, v in values.items() if k not in _NAMED},
        )


class Sample:
    """A random sample of bounded size: those whose hashes are the lowest.

    The sample depends on the seed and on the ids alone, not on the order they come in.

    Args:
        size: at most so many.
        seed: another one gives another sample.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self._seed = str(seed).encode()
        self._chosen: list[tuple[bytes, str, Any]] = []

    def key(self, id_: str) -> bytes:
        """Place of an id in the order that the sample is the beginning of."""
        return hashlib.blake2b(id_.encode(), digest_size=8, key=self._seed).digest()

    def wants(self, key: bytes) -> bool:
        """Whether `add` would take it now."""
        return len(self._chosen) < self.size or key < self._chosen[-1][0]

    def add(self, key: bytes, id_: str, value: Any) -> None:
        """Offer a value."""
        self._chosen.append((key, id_, value))
        self._chosen.sort(key=lambda chosen: chosen[:2])
        del self._chosen[self.size :]

    def values(self) -> list[Any]:
        """The sample, in the order of its hashes."""
        return [value for _, _, value in self._chosen]


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
        for step in CHAIN
    }
    found = {step: sources for step, sources in found.items() if sources}
    if not found:
        raise RecipeError(
            f"{output_dir}: no finished step ({', '.join(CHAIN)}); run "
            "`python -m data_recipes prepare --config …` with cleaning steps in the config first"
        )
    return found


def one_of(kind: str, name: str, known: Any, where: str) -> None:
    """Raise unless `name` is known.

    Raises:
        RecipeError: names those that are.
    """
    if name not in known:
        raise RecipeError(f"{where}: no {kind} {name!r}; there are {', '.join(map(str, known))}")


def rows_with(
    path: Path, column: str, values: set[str] | None = None
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Rows of a shard, those with one of `values` in `column` if given."""
    for batch in read_batches(path):
        for row, value in enumerate(batch.column(column).to_pylist()):
            if values is None or value in values:
                yield batch, row


def find_records(path: Path, ids: set[str], source: str) -> dict[str, Record]:
    """The documents with these ids in one shard, by id."""
    return {r.id: r for r in (Record.at(b, row, source) for b, row in rows_with(path, "id", ids))}
