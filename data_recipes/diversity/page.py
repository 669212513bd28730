"""The page of the diversity report."""

from collections.abc import Iterator

import yaml

from ..common.page import (
    Block,
    Bullets,
    Cell,
    Details,
    Heading,
    Page,
    Paragraph,
    Pre,
    Span,
    Table,
    made,
)
from ..engine.documents import SCALES
from .config import MEASURES, DiversityConfig
from .report import Breach, Measured

_EXAMPLES = 2
_CHARACTERS = 600  # of an example


def _measures(own: list[Measured], found: list[Breach], config: DiversityConfig) -> Table:
    """Lay the measures out, each with bars from zero to its highest."""
    bad = {(id(breach.measured), breach.measure) for breach in found}
    rows: list[list[str | Cell]] = []
    for name, measure in MEASURES.items():
        values = [r.values.get(name) for r in own]
        highest = max((v for v in values if v), default=1.0)
        limit = config.limits.get(name)
        cells = [
            Cell(
                "" if value is None else f"{value:.3f}",
                bar=None if value is None else value / highest,
                tone="bad" if (id(result), name) in bad else "",
            )
            for result, value in zip(own, values)
        ]
        if any(value is not None for value in values):
            arrow = "↑" if measure.varied_is_more else "↓"
            rows.append([f"{measure.title} {arrow}", str(limit or ""), *cells])
    facts = {
        "documents in the sample": [f"{len(r.sample.documents):,}" for r in own],
        "MB in the sample": [f"{r.sample.size / 1e6:,.2f}" for r in own],
        "MB read": [f"{r.sample.total / 1e6:,.2f}" for r in own],
        "different words": [f"{r.types:,}" for r in own],
        "of them once": [f"{r.once:.0%}" for r in own],
        "words in a document, median": [f"{r.lengths['p50']:,.0f}" for r in own],
        "10 % and 90 %": [f"{r.lengths['p10']:,.0f}–{r.lengths['p90']:,.0f}" for r in own],
    }
    if bits := [r.bits_per_byte for r in own if r.bits_per_byte]:
        facts["bits per byte, mean"] = [f"{b['mean']:.3f}" for b in bits]
        facts["bits per byte, 10 % and 90 %"] = [f"{b['p10']:.2f}–{b['p90']:.2f}" for b in bits]
    rows += [[name, "", *cells] for name, cells in facts.items()]
    return Table(["measure", "limit>", *(f"{r.sample.name}>" for r in own)], rows)


def _distribution(
    column: str, names: list[str], shares: list[list[float]], bins: list[str]
) -> Table:
    """Lay distributions out side by side: a row for each bin, with bars."""
    highest = max(map(max, shares))
    rows = [
        [name, *(Cell(f"{own[i]:.1%}" if own[i] else "", bar=own[i] / highest) for own in shares)]
        for i, name in enumerate(bins)
    ]
    return Table([column, *(f"{name}>" for name in names)], rows)


def _lengths(own: list[Measured]) -> Table:
    edges = SCALES["count"].edges
    used = [i for r in own for i, count in enumerate(r.length_histogram) if count]
    first, end = min(used), max(used) + 1
    shares = [[n / sum(r.length_histogram) for n in r.length_histogram[first:end]] for r in own]
    bins = [f"{edge:,.0f} words and up" for edge in edges[first:end]]
    return _distribution("documents of", [r.sample.name for r in own], shares, bins)


def _ranks(own: list[Measured]) -> Table:
    bands = max(len(r.rank_shares) for r in own)
    shares = [[*r.rank_shares, *[0.0] * (bands - len(r.rank_shares))] for r in own]
    bins = [f"rank {2**i:,}" + (f" to {2 ** (i + 1) - 1:,}" if i else "") for i in range(bands)]
    return _distribution("words of", [r.sample.name for r in own], shares, bins)


def _language(own: list[Measured], found: list[Breach], config: DiversityConfig) -> Iterator[Block]:
    single = [r for r in own if not r.mixture]
    sources = "; ".join(f"{r.sample.name}: {', '.join(r.sample.sources)}" for r in single)
    yield Heading(own[0].sample.language)
    yield _measures(own, found, config)
    yield Paragraph(
        "↑ varied text has more of it, ↓ less. Limits hold for text by models and programs. "
        f"{sources}.",
        "dim",
    )
    yield Heading("Lengths of documents", 3)
    yield _lengths(own)
    yield Heading("Vocabulary", 3)
    yield Paragraph(
        "Share of all words by rank. Varied text has its weight further down.",
        "dim",
    )
    yield _ranks(own)
    if names := [r.sample.name for r in own if r.overlap]:
        rows = [
            [r.sample.name, *(f"{r.overlap[n]:.1%}" if n in r.overlap else "–" for n in names)]
            for r in own
            if r.overlap
        ]
        yield Heading("Overlap", 3)
        yield Table(
            [f"of the {config.overlap_words}-grams of", *(f"in {name}>" for name in names)], rows
        )
    yield Heading("Commonest openings", 3)
    yield Bullets(
        [
            [Span(r.sample.name), ": ", " · ".join(f"{text} {n:.1%}" for text, n in r.openings)]
            for r in own
        ]
    )
    yield Heading("Examples", 3)
    for r in single:
        texts = [d.text[:_CHARACTERS] for d in r.sample.documents[:_EXAMPLES]]
        yield Details(r.sample.name, [Pre(text, language=r.sample.language) for text in texts])


def build_page(config: DiversityConfig, results: list[Measured], found: list[Breach]) -> Page:
    """Lay out the report.

    Args:
        config: sizes and limits.
        results: what was measured.
        found: values beyond a limit.
    """
    page = Page("Diversity of synthetic text")
    page.add(made())
    if found:
        page.add(Paragraph("Beyond the limits:", "bad"), Bullets([*map(str, found)], "bad"))
    else:
        given = "Everything lies within the limits." if config.limits else "No limits were given."
        page.add(Paragraph(given))
    for language in dict.fromkeys(result.sample.language for result in results):
        own = [r for r in results if r.sample.language == language]
        page.add(*_language(own, found, config))
    settings = yaml.safe_dump(config.model_dump(exclude_none=True), sort_keys=False)
    page.add(
        Heading("How it was measured"),
        Paragraph(
            "Documents are drawn by a hash, and all samples of a language are cut to the same "
            "number of bytes, since most measures depend on it. Words are those of Unicode that "
            "have a letter or a digit: a Korean eojeol is one. Numbers compare within a language, "
            "not between languages. Near-duplicates in a sample are fewer than in all of the text."
        ),
        Table(["measure", "what it is"], [[m.title, m.about] for m in MEASURES.values()]),
        Details("Settings", [Pre(settings)]),
    )
    return page
