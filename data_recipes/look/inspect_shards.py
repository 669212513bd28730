"""`python -m data_recipes inspect`: look at documents, removed paragraphs and token windows."""

import argparse
from pathlib import Path

from ..common.config_files import CONFIGS, find_config, load_config
from ..common.errors import RecipeError
from ..common.terminal import Terminal
from ..deduplicate.config import DedupConfig
from ..engine.steps import StepFolder
from ..prepare import chain
from ..prepare.config import DataConfig
from .inspect_removed import Removed, show_removed
from .inspect_window import show_window
from .records import Record, Sample, fetch, finished_steps, one_of, places


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
    config = load_config(find_config(args.config, CONFIGS), DataConfig, args.overrides)
    steps = finished_steps(config.output_dir)
    one_of("finished step", args.step, steps, str(config.output_dir))
    sources = steps[args.step]
    if args.source is not None:
        one_of("source", args.source, sources, str(config.output_dir / args.step))
        sources = {args.source: sources[args.source]}
    if args.removed:
        if args.step != "deduplicate" or not isinstance(config.deduplicate, DedupConfig):
            raise RecipeError("--removed: only `deduplicate` with method bff removes paragraphs")
        step = chain.step_before(config, args.step)
        before = {s: chain.folder(config, step, s) for s in config.languages}
        show_removed(
            terminal,
            Removed(before, steps[args.step]),
            list(sources),
            args.id,
            args.number,
            args.seed,
        )
        return
    records = _documents(sources, args)
    for record in records:
        print_record(terminal, args.step, record)


def _shards(folder: StepFolder, rejected: bool) -> list[Path]:
    # Only finished shards: counts come last, so the two others are whole.
    return [(folder.rejected if rejected else folder.kept)(shard) for shard in folder.done()]


def _documents(sources: dict[str, StepFolder], args: argparse.Namespace) -> list[Record]:
    kind = "rejected" if args.rejected else "kept"
    where = f"step {args.step}, {kind} documents of {', '.join(sources)}"
    if args.reason:
        known = sorted({r for folder in sources.values() for r in folder.tally().reasons})
        one_of("reason", args.reason, known, where)
    sample = Sample(args.number, args.seed)
    column = "reason" if args.reason else "id"
    for name, folder in sources.items():
        for place, id_, value in places(name, _shards(folder, args.rejected), column):
            if args.id in (None, id_) and (args.reason is None or value == args.reason):
                sample.add(id_, place)
    chosen = fetch(sample.values())
    if not chosen:
        raise RecipeError(_not_found(where, sources, args))
    return chosen


def _not_found(where: str, sources: dict[str, StepFolder], args: argparse.Namespace) -> str:
    if args.id is None:
        return f"{where}: none"
    example = None
    for rejected in (args.rejected, not args.rejected):
        for name, folder in sources.items():
            for place, id_, _ in places(name, _shards(folder, rejected)):
                example = example or id_
                if id_ != args.id:
                    continue
                (record,) = fetch([place])
                did = f"removed it ({record.reason})" if rejected else "kept it"
                remedy = "leave --reason out" if rejected == args.rejected else "add --rejected"
                return (
                    f"{where}: no id {id_!r} there, the step {did}; "
                    f"{remedy if rejected else 'leave --rejected out'}"
                )
    return f"{where}: no id {args.id!r}; ids look like {example!r}"


def print_record(terminal: Terminal, step: str, record: Record) -> None:
    """Print a document: what is known about it, then its text."""
    size = len(record.text.encode())
    terminal.print(
        terminal.marked(f"── {record.id}", "heading"),
        terminal.marked(f" {step}, {record.source} {record.language}, {size:,} bytes", "facts"),
    )
    if record.reason:
        terminal.print(terminal.marked(record.reason, "reason"), f": {record.detail}")
    for name, value in record.extra.items():
        if value not in (None, "{}"):
            terminal.print(terminal.marked(f"{name}: {value}", "facts"))
    terminal.print(record.text)
    terminal.print()
