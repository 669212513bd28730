"""From decisions to shards: texts without the removed paragraphs, and a record of those."""

from typing import Any

import numba
import numpy as np
import pyarrow as pa

from ..common.errors import RecipeError
from ..engine.documents import reject, text_buffers
from ..engine.steps import Outcome
from ..text.words import is_blank, split_words, word_table
from .ngrams import Ngrams
from .old_both import Verdict

HITS = pa.field("bff_contained_ngrams", pa.int64())
# One row per paragraph that a kept document lost. Bytes are counted in the text as it came in.
REMOVED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("text", pa.large_string()),
        ("ngrams", pa.int64()),
        ("hits", pa.int64()),
        ("matched", pa.list_(pa.list_(pa.int64(), 2))),
    ]
)


def kept_schema(schema: pa.Schema, where: str) -> pa.Schema:
    """Schema of kept rows, given that of the input.

    Raises:
        RecipeError: the input was deduplicated before.
    """
    if HITS.name in schema.names:
        raise RecipeError(
            f"{where}: has a column {HITS.name!r} already; it was deduplicated before"
        )
    return schema.append(HITS)


def rewrite(
    batch: pa.RecordBatch, ngrams: Ngrams, verdict: Verdict
) -> tuple[Outcome, pa.RecordBatch]:
    """Make rows of a verdict on the texts of `batch`.

    Returns:
        kept rows, with what is left of their texts and the column `bff_contained_ngrams` (n-grams
        seen before, in the whole text; DCLM's BFF has it as
        `bff_contained_ngram_count_before_dedupe`), rejected rows as they came, and counts;
        and paragraphs that kept documents lost, as `REMOVED_SCHEMA`.
    """
    data, offsets = text_buffers(batch)
    texts, text_offsets = _join_kept(
        data, ngrams.starts, ngrams.documents, verdict.removed, verdict.dropped
    )
    blank = _blank(texts, text_offsets, word_table())
    keep = ~blank
    lost = np.add.reduceat(verdict.removed.astype(np.int64), ngrams.documents[:-1])
    column = batch.schema.get_field_index("text")
    left = batch
    if (lost[keep] > 0).any():
        left = batch.set_column(column, batch.schema.field(column), _strings(texts, text_offsets))
    left = left.append_column(HITS, pa.array(verdict.hits, HITS.type))
    totals = np.diff(ngrams.bounds[ngrams.documents])
    reasons, details = [], []
    for row in np.flatnonzero(blank):
        reason, detail = _reason(
            bool(verdict.dropped[row]), int(lost[row]), int(verdict.hits[row]), int(totals[row])
        )
        reasons.append(reason)
        details.append(detail)
    mask = pa.array(keep)
    rejected = reject(batch.filter(pa.array(blank)), reasons, details)
    per_document = np.diff(ngrams.documents)
    lost_bytes = np.diff(offsets)[keep] - np.diff(text_offsets)[keep]
    counts: dict[str, Any] = {
        "paragraphs": int(per_document.sum()),
        "paragraphs_rejected": int(per_document[blank].sum()),
        "paragraphs_removed": int(lost[keep].sum()),
        "bytes_removed": int(lost_bytes.sum()),
        "documents_shortened": int((lost[keep] > 0).sum()),
        "ngrams": len(ngrams.hashes),
        "ngrams_known": int(verdict.hits.sum()),
        "ngrams_inserted": verdict.inserted,
        "expected_false_removals": verdict.false_removals,
    }
    removed = _removed(batch, data, offsets, ngrams, verdict, keep)
    return Outcome(left.filter(mask), rejected, counts), removed


def _reason(dropped: bool, lost: int, hits: int, total: int) -> tuple[str, str]:
    share = f"{hits:,} of {total:,} n-grams ({hits / max(1, total):.1%}) were seen before"
    if dropped:
        return "duplicate_document", share
    if lost:
        return "all_paragraphs_duplicate", f"each paragraph with text was removed; {share}"
    return "empty_text", "white space alone"


def _strings(data: np.ndarray, offsets: np.ndarray) -> pa.LargeStringArray:
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data)
    )


def _removed(
    batch: pa.RecordBatch,
    data: np.ndarray,
    offsets: np.ndarray,
    ngrams: Ngrams,
    verdict: Verdict,
    keep: np.ndarray,
) -> pa.RecordBatch:
    rows = np.repeat(np.arange(len(keep)), np.diff(ngrams.documents))
    units = np.flatnonzero(verdict.removed & keep[rows])
    rows = rows[units]
    starts, ends = ngrams.starts[units], ngrams.starts[units + 1]
    texts, text_offsets = _gather(data, starts, ends)
    words = split_words(texts, text_offsets)
    spans, span_bounds = _spans(
        units,
        ngrams.bounds,
        verdict.known,
        words.starts,
        words.ends,
        words.bounds,
        ngrams.size,
        starts - offsets[rows] - text_offsets[:-1],
    )
    cumulated = np.concatenate(([0], np.cumsum(verdict.known)))
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(spans.ravel()), 2)
    values = {
        "id": batch.column("id").take(pa.array(rows)),
        "source": batch.column("source").take(pa.array(rows)),
        "start": pa.array(starts - offsets[rows]),
        "end": pa.array(ends - offsets[rows]),
        "text": _strings(texts, text_offsets),
        "ngrams": pa.array(ngrams.bounds[units + 1] - ngrams.bounds[units]),
        "hits": pa.array(cumulated[ngrams.bounds[units + 1]] - cumulated[ngrams.bounds[units]]),
        "matched": pa.ListArray.from_arrays(pa.array(span_bounds, pa.int32()), pairs),
    }
    return pa.RecordBatch.from_arrays(
        [values[f.name].cast(f.type) for f in REMOVED_SCHEMA], schema=REMOVED_SCHEMA
    )


@numba.njit(cache=True, nogil=True)
def _gather(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of a buffer, one after the other, and where each starts."""
    offsets = np.zeros(len(starts) + 1, np.int64)
    for i in range(len(starts)):
        offsets[i + 1] = offsets[i] + ends[i] - starts[i]
    result = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        result[offsets[i] : offsets[i + 1]] = data[starts[i] : ends[i]]
    return result, offsets


@numba.njit(cache=True, nogil=True)
def _join_kept(
    data: np.ndarray,
    starts: np.ndarray,
    documents: np.ndarray,
    removed: np.ndarray,
    dropped: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Each document without its removed units; nothing of a dropped one."""
    texts = len(documents) - 1
    result = np.empty(starts[-1] - starts[0], np.uint8)
    offsets = np.zeros(texts + 1, np.int64)
    size = 0
    for text in range(texts):
        unit, last = documents[text], documents[text + 1]
        while unit < last and not dropped[text]:
            run = unit
            while run < last and not removed[run]:
                run += 1
            length = starts[run] - starts[unit]
            result[size : size + length] = data[starts[unit] : starts[run]]
            size += length
            unit = run + 1
        offsets[text + 1] = size
    return result[:size], offsets


@numba.njit(cache=True, nogil=True)
def _blank(data: np.ndarray, offsets: np.ndarray, table: np.ndarray) -> np.ndarray:
    result = np.empty(len(offsets) - 1, np.bool_)
    for text in range(len(result)):
        result[text] = is_blank(data, offsets[text], offsets[text + 1], table)
    return result


@numba.njit(cache=True, nogil=True)
def _spans(
    units: np.ndarray,
    bounds: np.ndarray,
    known: np.ndarray,
    word_starts: np.ndarray,
    word_ends: np.ndarray,
    word_bounds: np.ndarray,
    size: int,
    shifts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Bytes that the known n-grams of each unit cover, moved by `shifts`; [n, 2], and bounds."""
    room = 0
    for unit in units:
        for n in range(bounds[unit], bounds[unit + 1]):
            if known[n] and (n == bounds[unit] or not known[n - 1]):
                room += 1
    spans = np.empty((room, 2), np.int64)
    span_bounds = np.zeros(len(units) + 1, np.int64)
    count = 0
    for i, unit in enumerate(units):
        own = count
        for n in range(bounds[unit], bounds[unit + 1]):
            if not known[n]:
                continue
            word = word_bounds[i] + n - bounds[unit]
            start = word_starts[word] + shifts[i]
            end = word_ends[word + size - 1] + shifts[i]
            if count > own and start <= spans[count - 1, 1]:
                spans[count - 1, 1] = end
            else:
                spans[count] = start, end
                count += 1
        span_bounds[i + 1] = count
    return spans[:count], span_bounds
