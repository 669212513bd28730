"""Find paragraphs and documents that were seen before, as DCLM's BFF does, and take them out."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import regex

from ..common.errors import RecipeError
from ..engine.documents import reject, text_buffers
from ..engine.steps import Outcome
from ..text.kernels import kernel
from ..text.words import split_words
from .bloom import BloomFilter, contains, insert
from .config import Mode
from .ngrams import Ngrams

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
_BLANK = regex.compile(r"\p{White_Space}*")
# Bytes that white space begins with: no other text has to be looked at.
_BLANK_BEGINS = np.unique([c.encode()[0] for c in map(chr, range(0x3001)) if _BLANK.fullmatch(c)])

# N-grams of a unit beyond which false positives alone do not remove it: at a rate of 0.01 and a
# threshold of 0.8, five false ones in five are one in 10**10 units already.
_MANY = 32


@dataclass(frozen=True)
class Duplicates:
    """What of some documents was seen before.

    Attributes:
        known: whether each n-gram was seen before, bool [n-grams].
        removed: whether each unit goes, bool [units].
        hits: n-grams of each document that were seen before, int64 [documents].
        dropped: whether each document goes by the n-grams of all its units, bool [documents].
        inserted: n-grams put into the filter.
        false_removals: units among the removed that, to be expected, hold nothing seen before: new
            ones of which the filter took more than the threshold for known. Of units that share
            some n-grams with earlier text without being above the threshold, more may be.
    """

    known: np.ndarray
    removed: np.ndarray
    hits: np.ndarray
    dropped: np.ndarray
    inserted: int
    false_removals: float


def find_duplicates(ngrams: Ngrams, mode: Mode, threshold: float, bloom: BloomFilter) -> Duplicates:
    """Decide on documents, after those that the filter has seen, and put what stays into it.

    The rule of DCLM's BFF (`dedup/bff`, `process_line_oldboth` and its siblings): a unit goes if
    more than `threshold` of its n-grams are in the filter when it is read. If it stays, they enter
    at once, so that later paragraphs of the same document are compared with it, and it is not
    compared with itself. With `old-both`, a document goes too if that holds for the n-grams of all
    its units together; what its kept paragraphs put in, stays in.
    """
    known, removed, hits, dropped, inserted, changed = _judge(
        ngrams.hashes,
        ngrams.bounds,
        ngrams.documents,
        mode == "old-both",
        threshold,
        bloom.words,
        bloom.hashes,
    )
    bloom.inserted += inserted
    bloom.bits_set += changed
    if mode == "document":
        dropped = removed
    sizes = np.diff(ngrams.bounds)[~removed]
    false_removals = _expected_false_removals(sizes, threshold, bloom.rate)
    return Duplicates(known, removed, hits, dropped, inserted, false_removals)


def _expected_false_removals(sizes: np.ndarray, threshold: float, rate: float) -> float:
    """False removals beside the units that stayed, of `sizes` n-grams each, int64 [n]."""
    counts = np.bincount(sizes[sizes <= _MANY], minlength=_MANY + 1)
    expected = 0.0
    for size in range(1, _MANY + 1):
        chance = sum(
            math.comb(size, hits) * rate**hits * (1 - rate) ** (size - hits)
            for hits in range(size + 1)
            if hits / size > threshold
        )
        # Of new units, 1 - chance stayed.
        expected += int(counts[size]) * chance / max(1 - chance, 1e-9)
    return expected


@kernel
def _judge(
    ngrams: np.ndarray,
    bounds: np.ndarray,
    documents: np.ndarray,
    whole_documents: bool,
    threshold: float,
    words: np.ndarray,
    hashes: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
    known = np.zeros(len(ngrams), np.bool_)
    removed = np.zeros(len(bounds) - 1, np.bool_)
    hits = np.zeros(len(documents) - 1, np.int64)
    dropped = np.zeros(len(documents) - 1, np.bool_)
    inserted = changed = 0
    for document in range(len(documents) - 1):
        total = 0
        for unit in range(documents[document], documents[document + 1]):
            first, last = bounds[unit], bounds[unit + 1]
            if first == last:
                continue
            own = 0
            for n in range(first, last):
                if contains(words, hashes, ngrams[n]):
                    known[n] = True
                    own += 1
            total += last - first
            hits[document] += own
            if own / (last - first) > threshold:
                removed[unit] = True
                continue
            for n in range(first, last):
                changed += insert(words, hashes, ngrams[n])
            inserted += last - first
        if whole_documents and total > 0:
            dropped[document] = hits[document] / total > threshold
    return known, removed, hits, dropped, inserted, changed


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
    batch: pa.RecordBatch, ngrams: Ngrams, found: Duplicates
) -> tuple[Outcome, pa.RecordBatch]:
    """Take duplicates out of the texts of `batch`.

    Returns:
        kept rows, with what is left of their texts and the column `bff_contained_ngrams` (n-grams
        seen before, in the whole text; DCLM's BFF has it as
        `bff_contained_ngram_count_before_dedupe`), rejected rows as they came, and counts;
        and paragraphs that kept documents lost, as `REMOVED_SCHEMA`.
    """
    data, offsets = text_buffers(batch)
    texts, text_offsets = _join_kept(
        data, ngrams.starts, ngrams.documents, found.removed, found.dropped
    )
    left_texts = _strings(texts, text_offsets)
    blank = _blank(texts, text_offsets)
    keep = ~blank
    lost = np.add.reduceat(found.removed.astype(np.int64), ngrams.documents[:-1])
    column = batch.schema.get_field_index("text")
    left = batch
    if (lost[keep] > 0).any():
        left = batch.set_column(column, batch.schema.field(column), left_texts)
    left = left.append_column(HITS, pa.array(found.hits, HITS.type))
    totals = np.diff(ngrams.bounds[ngrams.documents])
    reasons, details = [], []
    for row in np.flatnonzero(blank):
        reason, detail = _reason(
            bool(found.dropped[row]), int(lost[row]), int(found.hits[row]), int(totals[row])
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
        "ngrams_known": int(found.hits.sum()),
        "ngrams_inserted": found.inserted,
        "expected_false_removals": found.false_removals,
    }
    removed = _removed(batch, data, offsets, ngrams, found, keep)
    return Outcome(left.filter(mask), rejected, counts), removed


def _reason(dropped: bool, lost: int, hits: int, total: int) -> tuple[str, str]:
    share = f"{hits:,} of {total:,} n-grams ({hits / max(1, total):.1%}) were seen before"
    if dropped:
        return "duplicate_document", share
    if lost:
        return "all_paragraphs_duplicate", f"each paragraph with text was removed; {share}"
    return "empty_text", "white space alone"


def _blank(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Whether each text is nothing but white space, bool [texts]."""
    blank = np.diff(offsets) == 0
    begins = data[offsets[:-1][~blank]]
    blank[~blank] = np.isin(begins, _BLANK_BEGINS)
    for row in np.flatnonzero(blank):
        text = data[offsets[row] : offsets[row + 1]].tobytes().decode()
        blank[row] = _BLANK.fullmatch(text) is not None
    return blank


def _strings(data: np.ndarray, offsets: np.ndarray) -> pa.LargeStringArray:
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data)
    )


def _removed(
    batch: pa.RecordBatch,
    data: np.ndarray,
    offsets: np.ndarray,
    ngrams: Ngrams,
    found: Duplicates,
    keep: np.ndarray,
) -> pa.RecordBatch:
    rows = np.repeat(np.arange(len(keep)), np.diff(ngrams.documents))
    units = np.flatnonzero(found.removed & keep[rows])
    rows = rows[units]
    starts, ends = ngrams.starts[units], ngrams.starts[units + 1]
    texts, text_offsets = _gather(data, starts, ends)
    texts.flags.writeable = text_offsets.flags.writeable = False  # the types of `text_buffers`
    words = split_words(texts, text_offsets)
    spans, span_bounds = _spans(
        units,
        ngrams.bounds,
        found.known,
        words.starts,
        words.ends,
        words.bounds,
        ngrams.size,
        starts - offsets[rows] - text_offsets[:-1],
    )
    cumulated = np.concatenate(([0], np.cumsum(found.known)))
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


@kernel
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


@kernel
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


@kernel
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
