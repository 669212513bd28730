"""`python -m data_recipes inspect`: look at documents, removed paragraphs and token windows."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from ..common.config_files import CONFIGS, find_recipe, load_config
from ..common.errors import RecipeError
from ..common.terminal import Terminal
from ..deduplicate.config import DedupConfig
from ..deduplicate.step import removed_path
from ..engine.steps import StepFolder
from ..prepare import chain
from ..prepare.config import DataConfig
from .inspect_window import show_window
from .records import Place, Record, Sample, fetch, finished_steps, matched_parts, one_of, places


def run(args: argparse.Namespace) -> None:
    """Print what is asked for.

    Raises:
        RecipeError: options that do not go together, or something that is not there.
    """
    terminal = Terminal()
    if args.shards is not None:
        if args.window is None or args.config or args.step:
            raise RecipeError("inspect --shards: give --window, and neither --config nor --step")
        show_window(
            terminal, args.shards, args.window, args.sequence_length, args.packing, args.tokenizer
        )
        return
    if args.config is None or args.step is None:
        raise RecipeError("inspect: give --config and --step, or --shards and --window")
    if args.removed and (args.rejected or args.reason):
        raise RecipeError("--removed shows what kept documents lost; leave --rejected out")
    if args.reason and not args.rejected:
        raise RecipeError("--reason: kept documents have none; add --rejected")
    config = load_config(find_recipe(args.config, CONFIGS), DataConfig, args.overrides)
    steps = finished_steps(config.output_dir)
    one_of("finished step", args.step, steps, str(config.output_dir))
    sources = steps[args.step]
    if args.source is not None:
        one_of("source", args.source, sources, str(config.output_dir / args.step))
        sources = {args.source: sources[args.source]}
    if not args.removed:
        _show_documents(terminal, sources, args)
        return
    if args.step != "deduplicate" or not isinstance(config.deduplicate, DedupConfig):
        raise RecipeError("--removed: only `deduplicate` with method bff removes paragraphs")
    step = chain.step_before(config, args.step)
    before = {source: chain.folder(config, step, source) for source in sources}
    _show_removed(terminal, before, sources, args)


def _show_documents(
    terminal: Terminal, sources: dict[str, StepFolder], args: argparse.Namespace
) -> None:
    kind = "rejected" if args.rejected else "kept"
    where = f"step {args.step}, {kind} documents of {', '.join(sources)}"
    if args.reason:
        known = sorted({r for folder in sources.values() for r in folder.tally().reasons})
        one_of("reason", args.reason, known, where)
    sample: Sample[Place] = Sample(args.number, args.seed)
    for place, id_, reason in _rows(sources, args.rejected):
        if args.id in (None, id_) and args.reason in (None, reason):
            sample.offer(id_, place)
    if not sample.items():
        raise RecipeError(_not_found(where, sources, args))
    for record in fetch(sample.items()):
        size = f"{len(record.text.encode()):,} bytes"
        terminal.print(
            terminal.marked(f"── {record.id}", "heading"),
            terminal.marked(f" {args.step}, {record.source} {record.language}, {size}", "facts"),
        )
        if record.reason:
            terminal.print(terminal.marked(record.reason, "reason"), f": {record.detail}")
        for name, value in record.extra.items():
            if value not in (None, "{}"):
                terminal.print(terminal.marked(f"{name}: {value}", "facts"))
        terminal.print(record.text)
        terminal.print()


def _rows(sources: dict[str, StepFolder], rejected: bool) -> Iterator[tuple[Place, str, str]]:
    """Yield place, id and reason of all documents of finished shards."""
    for name, folder in sources.items():
        # Only finished shards: counts come last, so the two others are whole.
        paths = [(folder.rejected if rejected else folder.kept)(shard) for shard in folder.done()]
        yield from places(name, paths, "reason" if rejected else "id")


def _not_found(where: str, sources: dict[str, StepFolder], args: argparse.Namespace) -> str:
    if args.id is None:
        return f"{where}: none"
    example = None
    for rejected in (args.rejected, not args.rejected):
        for _, id_, reason in _rows(sources, rejected):
            example = example or id_
            if id_ != args.id:
                continue
            did = f"removed it ({reason})" if rejected else "kept it"
            same = rejected == args.rejected
            remedy = "leave --reason out" if same else "add --rejected"
            return (
                f"{where}: no id {id_!r} there, the step {did}; "
                f"{remedy if rejected else 'leave --rejected out'}"
            )
    return f"{where}: no id {args.id!r}; ids look like {example!r}"


def _show_removed(
    terminal: Terminal,
    before: dict[str, StepFolder],
    after: dict[str, StepFolder],
    args: argparse.Namespace,
) -> None:
    """Print documents with the paragraphs they lost, and the n-grams that were known already.

    Args:
        terminal: where to.
        before: folders of the step before deduplication, by source.
        after: those of deduplication.
        args: of the command.
    """
    sample: Sample[Place] = Sample(args.number, args.seed)
    for source, folder in after.items():
        paths = [removed_path(folder, shard) for shard in folder.done()]
        for place, name, _ in places(source, paths):
            if args.id in (None, name):
                sample.offer(name, place)
    if not sample.items():
        what = f"document {args.id!r} lost none" if args.id else "no kept document lost any"
        raise RecipeError(
            f"step deduplicate, paragraphs removed from {', '.join(after)}: {what}. Documents "
            "that were removed whole are shown with --rejected"
        )
    for place in sample.items():
        (first,) = fetch([place])
        (document,) = _with_id(first, before[place.source].kept(place.path.stem))
        paragraphs = _with_id(first, place.path)
        terminal.print(
            terminal.marked(f"── {document.id}", "heading"),
            terminal.marked(f" {place.source} {document.language}", "facts"),
        )
        terminal.print(*_marked(terminal, document, paragraphs))
        for paragraph in paragraphs:
            known = "bytes {start:,} to {end:,}: {hits:,} of {ngrams:,} n-grams were known"
            terminal.print(terminal.marked(known.format(**paragraph.extra), "facts"))
        terminal.print()


def _with_id(record: Record, path: Path) -> list[Record]:
    return fetch([place for place, id_, _ in places(record.source, [path]) if id_ == record.id])


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
