"""Data sets on the Hub, streamed."""

from collections.abc import Iterator
from typing import Any

from ..common.errors import RecipeError
from .rows import Form, Reading, as_form, listed, row_of

HUB = "hub://"


def parse_hub_name(path: str, split: str = "train") -> tuple[str, str | None, str, str | None]:
    """Take a name apart: data set, configuration, split (or the one given), revision."""
    name, _, options = path.removeprefix(HUB).partition(":")
    config, _, own = options.partition(":")
    name, _, revision = name.partition("@")
    return name, config or None, own or split, revision or None


def hub_rows(path: str, rank: int, world_size: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream one part of the rows, with their places.

    Raises:
        RecipeError: the data set cannot be had, or the network failed.
    """
    from datasets import load_dataset

    name, config, split, revision = parse_hub_name(path)
    try:
        rows = load_dataset(name, config, split=split, streaming=True, revision=revision)
        if rows.num_shards >= world_size:
            yield from enumerate(rows.shard(num_shards=world_size, index=rank))
            return
        # Fewer files on the Hub than parts: each part reads all and keeps its turn.
        for place, row in enumerate(rows):
            if place % world_size == rank:
                yield place, row
    # Whatever the four libraries between us and the network may raise.
    except Exception as error:
        raise RecipeError(
            f"{path}: cannot be read from the Hub ({type(error).__name__}: {error}). Check the "
            "name, the network, and, for a gated data set, that its terms are accepted and "
            "`hf auth login` was done; run the same command to go on"
        ) from error


def read_hub(
    path: str, column: str | Form, limit: int, rank: int = 0, world_size: int = 1
) -> Reading:
    """One part of a Hub data set.

    Args:
        path: `hub://owner/name[@revision][:config[:split]]`.
        column: with the text, or the form of the text.
        limit: longest document, in bytes.
        rank: which part.
        world_size: number of parts.

    Raises:
        RecipeError: the data set cannot be had, the network failed, or there is no such column.
    """
    form = as_form(column)
    for place, row in hub_rows(path, rank, world_size):
        if missing := form.missing(row):
            raise RecipeError(f"{path}: {listed(missing, row)}. {form.remedy}")
        yield row_of(form, row, place, limit)
