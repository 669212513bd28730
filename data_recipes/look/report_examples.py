"""Examples of what each step kept and removed: always the same, and no more than a page wants."""

from dataclasses import dataclass, field, replace

from ..deduplicate.step import removed_path
from ..prepare.chain import folder
from ..prepare.config import DataConfig
from .records import Record, Sample, fetch, matched_parts, places

_EXAMPLES = 3  # of each language: documents kept, documents per reason, paragraphs
_SHARDS = 20  # that they are drawn from, per source
_BYTES = 2000  # shown of an example
_PREVIEW = 300  # characters of it before "more"


Parts = list[tuple[str, bool]]


@dataclass(frozen=True)
class Example:
    """A document, or a removed paragraph, cut to what is shown.

    Attributes:
        record: with the whole text no more.
        language: its code.
        size: bytes of the whole text.
        head: the beginning, in parts: text, and whether it was known to deduplication.
        rest: what is shown on demand.
        cut: whether there is more than that.
    """

    record: Record
    language: str
    size: int
    head: Parts
    rest: Parts
    cut: bool


@dataclass
class Examples:
    """Examples of a step.

    Attributes:
        kept: documents.
        rejected: documents by reason.
        removed: paragraphs that deduplication took out of kept documents.
    """

    kept: list[Example] = field(default_factory=list)
    rejected: dict[str, list[Example]] = field(default_factory=dict)
    removed: list[Example] = field(default_factory=list)


def spread(items: list[str], count: int) -> list[str]:
    """At most `count` of the items, evenly spaced."""
    return [items[i * len(items) // count] for i in range(count)] if len(items) > count else items


def draw_examples(config: DataConfig, step: str) -> Examples:
    """Examples of a step, a few for each language and reason.

    Ids and reasons of at most `_SHARDS` shards of a source are read, and then those row groups that
    the chosen rows are in.

    Raises:
        RecipeError: a damaged shard.
    """
    kept: dict[str, Sample] = {}
    removed: dict[str, Sample] = {}
    rejected: dict[tuple[str, str], Sample] = {}
    for source, language in config.languages.items():
        own = folder(config, step, source)
        shards = spread(own.done(), _SHARDS)
        for place, id_, _ in places(source, map(own.kept, shards)):
            kept.setdefault(language, Sample(_EXAMPLES)).add(id_, place)
        for place, id_, reason in places(source, map(own.rejected, shards), "reason"):
            rejected.setdefault((reason, language), Sample(_EXAMPLES)).add(id_, place)
        paths = (removed_path(own, shard) for shard in shards)
        for place, id_, _ in places(source, [path for path in paths if path.is_file()]):
            removed.setdefault(language, Sample(_EXAMPLES)).add(id_, place)
    examples = Examples(
        kept=[e for own, sample in kept.items() for e in _examples(sample, own)],
        removed=[e for own, sample in removed.items() for e in _examples(sample, own)],
    )
    for (reason, language), sample in rejected.items():
        examples.rejected.setdefault(reason, []).extend(_examples(sample, language))
    return examples


def _examples(sample: Sample, language: str) -> list[Example]:
    # One after the other, so that no more than one whole text is in memory.
    return [_cut(record, language) for place in sample.values() for record in fetch([place])]


def _cut(record: Record, language: str) -> Example:
    whole = record.text.encode()
    # Without the bytes of a character that the cut goes through.
    data = whole[:_BYTES].decode(errors="ignore").encode()
    offset = record.extra.get("start", 0)
    spans = [
        [min(edge - offset, len(data)) for edge in span]
        for span in record.extra.get("matched") or []
        if span[0] - offset < len(data)
    ]
    head, rest = _split(matched_parts(data, 0, len(data), spans), _PREVIEW)
    shown = replace(record, text="")
    return Example(shown, language, len(whole), head, rest, len(data) < len(whole))


def _split(parts: Parts, size: int) -> tuple[Parts, Parts]:
    """The first `size` characters, and the others."""
    head: Parts = []
    rest: Parts = []
    for text, known in parts:
        head += [(text[:size], known)] if size else []
        rest += [(text[size:], known)] if len(text) > size else []
        size = max(0, size - len(text))
    return head, rest
