"""Seeds, and which style and synthesizer each goes to."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..engine.documents import read_batches
from .config import SynthesizeConfig

_COLUMNS = ["id", "text", "source", "language", "metadata"]


def assign(seed_id: str, purpose: str, weights: Mapping[str, float]) -> str:
    """Choose one of the options, each with a probability in proportion to its weight.

    A function of the arguments alone. Every option draws a waiting time from an exponential
    distribution whose rate is its weight, and the shortest wins (weighted rendezvous hashing,
    Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005): an option that is
    added takes its share evenly from the others, and no id moves between those that were there.

    Args:
        seed_id: what is assigned.
        purpose: separates choices that are to be independent of each other.
        weights: positive, by option.
    """

    def waits(option: str) -> float:
        digest = hashlib.sha256(f"{purpose}\0{option}\0{seed_id}".encode()).digest()
        uniform = (int.from_bytes(digest[:8]) + 1) / 2**64  # in (0, 1]
        return -math.log(uniform) / weights[option]

    return min(weights, key=waits)


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed and where it goes.

    Attributes:
        id: as the read step gave it: source, file, place.
        text: as it stands in the prompt.
        cut: whether that is its beginning only.
        style: name of the style.
        synthesizer: name of the synthesizer.
        tags: what the seed, a picture, shows, in the language of answers, as far as it is known.
    """

    id: str
    text: str
    cut: bool
    style: str
    synthesizer: str
    tags: tuple[str, ...] = ()


def shorten(text: str, characters: int) -> str:
    """Cut a text at the last white space within `characters`, if it is longer."""
    text = text.strip()
    if len(text) <= characters:
        return text
    head = text[: characters + 1]
    words = head.rsplit(maxsplit=1) if not head[-1].isspace() else [head]
    return words[0].rstrip()[:characters]


def read_seeds(config: SynthesizeConfig, shard: Path) -> Iterator[Seed]:
    """Yield the seeds of a shard of documents, in order."""
    styles = {name: style.weight for name, style in config.styles.items()}
    synthesizers = {name: model.weight for name, model in config.synthesizers.items()}
    for batch in read_batches(shard, _COLUMNS):
        for row in batch.to_pylist():
            text = shorten(row["text"], config.max_seed_characters)
            tags = {} if config.pictures is None else json.loads(row["metadata"]).get("tags") or {}
            yield Seed(
                row["id"],
                text,
                len(text) < len(row["text"].strip()),
                assign(row["id"], "style", styles),
                assign(row["id"], "synthesizer", synthesizers),
                tuple(tags.get(config.validation.language, ())),
            )
