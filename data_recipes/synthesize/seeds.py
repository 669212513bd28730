"""Seeds and the requests that they become."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..ask import Request
from ..engine.documents import read_batches
from .assign import assign
from .config import SynthesizeConfig

_COLUMNS = ["id", "text", "source", "language"]


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed and where it goes.

    Attributes:
        id: as the read step gave it: source, file, place.
        text: as it stands in the prompt.
        cut: whether that is its beginning only.
        style: name of the style.
        synthesizer: name of the synthesizer.
    """

    id: str
    text: str
    cut: bool
    style: str
    synthesizer: str


def shorten(text: str, characters: int) -> str:
    """The text, or its beginning up to the last white space within `characters`."""
    text = text.strip()
    if len(text) <= characters:
        return text
    head = text[: characters + 1]
    words = head.rsplit(maxsplit=1) if not head[-1].isspace() else [head]
    return words[0].rstrip()[:characters]


def seed_requests(config: SynthesizeConfig, shard: Path) -> Iterator[Request]:
    """The requests of a shard of seeds, in order; `data` of each is its `Seed`."""
    styles = {name: style.weight for name, style in config.styles.items()}
    synthesizers = {name: model.weight for name, model in config.synthesizers.items()}
    for batch in read_batches(shard, _COLUMNS):
        for row in batch.to_pylist():
            text = shorten(row["text"], config.max_seed_characters)
            seed = Seed(
                row["id"],
                text,
                len(text) < len(row["text"].strip()),
                assign(row["id"], "style", styles),
                assign(row["id"], "synthesizer", synthesizers),
            )
            messages = config.styles[seed.style].messages(text)
            yield Request(seed.synthesizer, messages, data=seed)
