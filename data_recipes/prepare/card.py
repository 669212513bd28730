"""The dataset card of a prepared corpus: what is in it, from where, and what was taken out."""

from collections import defaultdict
from pathlib import Path

import yaml

from ..common.files import open_staged
from ..common.page import Block, Heading, Page, Paragraph, Span, Table, made
from ..engine.steps import Tally
from ..tokens.manifest import Manifest
from .chain import folder, steps_of
from .config import DataConfig

CARD = "README.md"
# Where a step that masks personal data counts what it masked, by kind.
PERSONAL = "personal"
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def size_category(documents: int) -> str:
    """Name the range of a number of documents as the Hub does."""
    for place, name in enumerate(_SIZES):
        if documents < 10 ** (place + 3):
            return f"{_SIZES[place - 1]}<n<{name}" if place else "n<1K"
    return "n>1T"


def _front_matter(config: DataConfig, manifests: list[Manifest]) -> str:
    train = [m for m in manifests if m.split == "train"]
    values = {
        "language": sorted({m.language for m in train}),
        "license": sorted({m.licence.lower() for m in train}),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(sum(m.documents for m in manifests))],
        "tags": ["kormo", *(["synthetic"] if any(m.synthesizer for m in train) else [])],
        "pretty_name": config.output_dir.name,
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"


def _sources(manifests: dict[str, dict[str, Manifest]]) -> Table:
    rows = []
    for name, splits in manifests.items():
        train, heldout = splits["train"], splits["heldout"]
        facts = [name, train.language, train.licence, train.synthesizer or "people", train.source]
        counts = (train.documents, train.tokens, heldout.documents, heldout.tokens)
        rows.append([*facts, *(f"{n:,}" for n in counts)])
    columns = "source|language|licence|written by|read from|documents>|tokens>"
    columns += "|documents held out>|tokens held out>"
    return Table(columns.split("|"), rows)


def _funnel(config: DataConfig, tallies: dict[str, dict[str, Tally]]) -> list[Block]:
    rows, reasons = [], []
    for step in steps_of(config):
        total = sum(tallies[step].values(), Tally())
        counts = (total.documents_in, total.documents_kept, total.documents_rejected)
        sizes = (total.bytes_in, total.bytes_kept)
        rows.append([step, *(f"{n:,}" for n in counts), *(f"{n / 1e6:,.2f}" for n in sizes)])
        for reason, lost in sorted(total.reasons.items(), key=lambda r: -r[1]["documents"]):
            reasons.append([step, reason, f"{lost['documents']:,}", f"{lost['bytes'] / 1e6:,.2f}"])
    columns = ["step", "documents in>", "kept>", "removed>", "MB in>", "MB kept>"]
    blocks: list[Block] = [Table(columns, rows)]
    if reasons:
        blocks.append(Table(["step", "removed because", "documents>", "MB>"], reasons))
    return blocks


def _synthesizers(manifests: dict[str, dict[str, Manifest]]) -> Table:
    tokens: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for splits in manifests.values():
        train = splits["train"]
        tokens[train.language][train.synthesizer or "people"] += train.tokens
    rows = [
        [language, who, f"{count:,}", f"{count / sum(own.values()):.1%}"]
        for language, own in sorted(tokens.items())
        for who, count in sorted(own.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(["language", "written by", "tokens>", "share of the language>"], rows)


def _personal(tallies: dict[str, dict[str, Tally]]) -> Block:
    counted: dict[str, int] = defaultdict(int)
    looked = False
    for own in tallies.values():
        for tally in own.values():
            looked |= PERSONAL in tally.counts
            for kind, number in tally.counts.get(PERSONAL, {}).items():
                counted[kind] += number
    if not looked:
        return Paragraph(
            [Span("Not searched for"), ": no step of this recipe looks for personal data."]
        )
    if not counted:
        return Paragraph("None was found.")
    return Table(["kind", "masked>"], [[k, f"{n:,}"] for k, n in sorted(counted.items())])


def write_card(config: DataConfig, manifests: dict[str, dict[str, Manifest]]) -> Path:
    """Write `README.md` beside the shards of a recipe, as the Hub reads it.

    Args:
        config: the recipe.
        manifests: of its shards, by source and split.

    Returns:
        The card.

    Raises:
        RecipeError: the disk is full.
    """
    tallies = {
        step: {source: folder(config, step, source).tally() for source in config.languages}
        for step in steps_of(config)
    }
    page = Page(f"Prepared corpus: {config.output_dir.name}")
    page.add(
        made(),
        Paragraph("Token shards of KORMo Recipes (datatrove's format), cleaned and tokenised."),
        Heading("Sources"),
        _sources(manifests),
        Heading("What was removed"),
        *_funnel(config, tallies),
        Heading("Who wrote the text"),
        _synthesizers(manifests),
        Heading("Personal data"),
        _personal(tallies),
    )
    every = [manifest for splits in manifests.values() for manifest in splits.values()]
    hashes = ", ".join(sorted({m.tokenizer_sha256 for m in every}))
    page.add(Heading("Tokenizer"), Paragraph(f"SHA-256 of tokenizer.json: {hashes}", "dim"))
    path = config.output_dir / CARD
    with open_staged(path) as file:
        file.write(_front_matter(config, every) + page.to_markdown())
    return path
