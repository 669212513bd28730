"""`python -m data_recipes packing`: pack documents into windows, and what either way of it costs.

Windows that cut the stream wherever it is (`concat`) truncate documents: what follows a cut is
learned without what came before it. Best fit cuts only documents longer than a window, and pays in
padding (Ding et al. 2024, arXiv 2404.10830).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.errors import RecipeError
from ..common.terminal import align
from ..tokens.best_fit import BLOCK_DOCUMENTS, make_plan
from ..tokens.shards import MANIFEST, TokenSource


@dataclass(frozen=True)
class Truncation:
    """What a way of packing does to the documents of a data set.

    Attributes:
        method: "concat" or "best_fit".
        documents: number of documents.
        tokens: number of tokens.
        windows: number of windows.
        cut_documents: documents that lie in more than one window, or end where the windows do.
        tokens_after_cut: tokens that are not in the first window of their document.
        padding_tokens: tokens of the windows that are no text.
    """

    method: str
    documents: int
    tokens: int
    windows: int
    cut_documents: int
    tokens_after_cut: int
    padding_tokens: int


def measure_truncation(source: TokenSource, sequence_length: int) -> tuple[Truncation, Truncation]:
    """Truncation of `concat` and of `best_fit`; makes the plan of the latter if it is not there.

    The tail that `concat` leaves out, less than a window, counts here as a window of its own.
    """
    windows = {
        "concat": source.windows(sequence_length),
        "best_fit": make_plan(source, sequence_length).windows,
    }
    cut = {method: np.zeros(2, np.int64) for method in windows}
    for starts, lengths in source.document_blocks(BLOCK_DOCUMENTS):
        room = {"concat": sequence_length - starts % sequence_length, "best_fit": sequence_length}
        for method, tokens in room.items():
            beyond = np.maximum(lengths - tokens, 0)
            cut[method] += (beyond > 0).sum(), beyond.sum()
    documents, tokens = source.manifest.documents, source.manifest.tokens
    concat, best_fit = (
        Truncation(
            method=method,
            documents=documents,
            tokens=tokens,
            windows=number,
            cut_documents=int(cut[method][0]),
            tokens_after_cut=int(cut[method][1]),
            padding_tokens=max(0, number * sequence_length - tokens),
        )
        for method, number in windows.items()
    )
    return concat, best_fit


def format_truncation(rows: list[tuple[str, Truncation]], sequence_length: int) -> str:
    """Both ways of packing side by side, one pair of lines per data set."""
    head = ["data set", "packing", "documents", "tokens", "windows", "documents cut"]
    cells = [
        [name, t.method, f"{t.documents:,}", f"{t.tokens:,}", f"{t.windows:,}"]
        + [f"{t.cut_documents / t.documents:.2%}", f"{t.tokens_after_cut / t.tokens:.2%}"]
        + [f"{t.padding_tokens / (t.windows * sequence_length or 1):.3%}"]
        for name, t in rows
    ]
    lines = align([[*head, "tokens after a cut", "padding"], *cells], left=(0, 1))
    return f"windows of {sequence_length:,} tokens\n{lines}"


def _data_sets(shards: Path) -> list[Path]:
    if (shards / MANIFEST).is_file():
        return [shards]
    # What is held out is measured in windows of the stream, however training packs.
    found = sorted(p.parent for p in shards.glob(f"**/train/{MANIFEST}"))
    if not found:
        raise RecipeError(
            f"{shards}: no token data set in or below this directory; make one with "
            "`python -m data_recipes prepare --config …`"
        )
    return found


def run(args: argparse.Namespace) -> None:
    """Pack every data set that is not packed yet, and print the report.

    Raises:
        RecipeError: no data set there, or a bad one.
    """
    rows = []
    for directory in _data_sets(args.shards):
        source = TokenSource(directory)
        name = f"{source.manifest.name}/{source.manifest.split}"
        rows += [(name, t) for t in measure_truncation(source, args.sequence_length)]
    print(format_truncation(rows, args.sequence_length))
