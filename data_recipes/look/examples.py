"""Examples of what each step kept and removed: always the same, and no more than a page wants."""

from collections import defaultdict
from dataclasses import dataclass, field

from ..common.page import Block, Paragraph, Pre, Span, Tone
from ..deduplicate.step import removed_path
from ..prepare.chain import folder
from ..prepare.config import DataConfig
from .records import Place, Record, Sample, fetch, matched_parts, places

_EXAMPLES = 3  # of each language: documents kept, documents per reason, paragraphs
_SHARDS = 20  # that they are drawn from, per source
_BYTES = 2000  # shown of an example


@dataclass
class Examples:
    """Examples of a step, as blocks of the report.

    Attributes:
        kept: documents.
        rejected: documents by reason.
        removed: paragraphs that deduplication took out of kept documents.
    """

    kept: list[Block] = field(default_factory=list)
    rejected: dict[str, list[Block]] = field(default_factory=lambda: defaultdict(list))
    removed: list[Block] = field(default_factory=list)


def _spread(items: list[str], count: int) -> list[str]:
    """At most `count` of the items, evenly spaced."""
    return [items[i * len(items) // count] for i in range(count)] if len(items) > count else items


def draw_examples(config: DataConfig, step: str) -> Examples:
    """Draw examples of a step, a few for each language and reason.

    Ids and reasons of at most `_SHARDS` shards of a source are read, and then those row groups that
    the chosen rows are in.

    Raises:
        RecipeError: a damaged shard.
    """
    # By kind (or reason) and language.
    samples: dict[tuple[str, str], Sample[Place]] = defaultdict(lambda: Sample(_EXAMPLES))
    reasons: dict[tuple[str, str], Sample[Place]] = defaultdict(lambda: Sample(_EXAMPLES))
    for source, language in config.languages.items():
        own = folder(config, step, source)
        shards = _spread(own.done(), _SHARDS)
        for place, id_, _ in places(source, map(own.kept, shards)):
            samples["kept", language].offer(id_, place)
        for place, id_, reason in places(source, map(own.rejected, shards), "reason"):
            reasons[reason, language].offer(id_, place)
        paths = (removed_path(own, shard) for shard in shards)
        for place, id_, _ in places(source, [path for path in paths if path.is_file()]):
            samples["removed", language].offer(id_, place)
    examples = Examples()
    for (kind, language), sample in samples.items():
        tone: Tone = "good" if kind == "kept" else "bad"
        getattr(examples, kind).extend(_blocks(sample, language, tone))
    for (reason, language), sample in reasons.items():
        examples.rejected[reason] += _blocks(sample, language, "bad")
    return examples


def _blocks(sample: Sample[Place], language: str, tone: Tone) -> list[Block]:
    # One after the other, so that no more than one whole text is in memory.
    return [
        block
        for place in sample.items()
        for record in fetch([place])
        for block in _show(record, language, tone)
    ]


def _show(record: Record, language: str, tone: Tone) -> list[Block]:
    whole = record.text.encode()
    # Without the bytes of a character that the cut goes through.
    data = whole[:_BYTES].decode(errors="ignore").encode()
    offset = record.extra.get("start", 0)
    known = [
        [min(edge - offset, len(data)) for edge in span]
        for span in record.extra.get("matched") or []
        if span[0] - offset < len(data)
    ]
    parts = [
        Span(text, "mark") if seen else text
        for text, seen in matched_parts(data, 0, len(data), known)
    ]
    about: list[str | Span] = [f"{record.id}, {language}, {len(whole):,} bytes"]
    if record.reason:
        about += [": ", Span(record.reason), f", {record.detail}"]
    if "hits" in record.extra:
        about.append(": {hits:,} of {ngrams:,} n-grams were known".format(**record.extra))
    cut = [" …"] if len(data) < len(whole) else []
    return [Paragraph(about, "dim"), Pre([*parts, *cut], tone, language)]
