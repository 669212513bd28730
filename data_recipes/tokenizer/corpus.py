"""Text to train a tokenizer on: spread over its sources, without what is held out."""

import hashlib
import struct
from collections.abc import Iterator

from ..engine.documents import read_batches
from ..engine.steps import StepFolder
from .shards import is_heldout

# Longer documents are drawn from in pieces, in characters: a few huge ones would be hit or miss.
_PIECE = 20_000
# Asked for beyond the budget, because a sample of documents comes out a little larger or smaller.
_MARGIN = 1.05


def _unit(text: str) -> float:
    # Another hash than the one that holds documents out: this sample must not lean on that one.
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"tokenizer").digest()
    return struct.unpack("<Q", digest)[0] / 2**64


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= _PIECE:
        yield text
        return
    lines, size = [], 0
    for line in text.splitlines(keepends=True):
        lines.append(line)
        size += len(line)
        if size >= _PIECE:
            yield "".join(lines)
            lines, size = [], 0
    if lines:
        yield "".join(lines)


def spread_texts(folder: StepFolder, budget: float, heldout_fraction: float) -> Iterator[str]:
    """Documents from all over a source, chosen by a hash of their text, up to `budget` bytes.

    Of long documents, pieces of some 20,000 characters are chosen.

    One pass, nothing held but a batch. A source of less text than that gives all it has.

    Args:
        folder: of the last cleaning step for this source.
        budget: UTF-8 bytes.
        heldout_fraction: share of documents that training must not see.
    """
    size = folder.tally().bytes_kept * (1 - heldout_fraction)
    share = _MARGIN * budget / max(size, 1)
    left = budget
    for shard in folder.shards():
        for batch in read_batches(folder.kept(shard), ["text"]):
            for text in batch.column(0).to_pylist():
                if is_heldout(text, heldout_fraction):
                    continue
                for piece in _pieces(text):
                    if _unit(piece) < share:
                        yield piece
                        left -= len(piece.encode())
                        if left <= 0:
                            return
