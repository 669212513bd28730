"""The index: the n-grams of all evaluation sets, and which items of which tasks they stand in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import RecipeError
from ..common.files import check_settings, staged_folder, write_json_atomically
from ..engine.documents import BATCH_BYTES
from ..read.files import contents_of
from ..text.kernels import kernel
from ..text.ngrams import hash_ngrams, hash_stretches
from ..text.words import Words, grown
from .compare import Compared, compare, compared_by, is_korean
from .config import DecontaminateConfig, EvaluationSet
from .items import passages, read_items

INDEX = "index"
_RECORD = "index.json"
_ARRAYS = ("ngrams", "starts", "owners", "item_tasks", "anchors", "ngram_bits", "anchor_bits")
_KINDS = ("words", "characters")  # attributes of `Compared`
# Bits of a filter per n-gram: some 6 % of unknown n-grams pass it and are looked up.
_FILTER_BITS = 16


class Finds(NamedTuple):
    """N-grams of evaluation items that stand in texts: a row for every text, n-gram and item.

    Attributes:
        texts: number of the text, int64 [rows].
        ngrams: number of the n-gram, int64 [rows].
        items: number of the item, int32 [rows].
        starts: byte of `Compared.data` where the n-gram first stands in the text, int64 [rows].
        ends: byte after its last, int64 [rows].
    """

    texts: np.ndarray
    ngrams: np.ndarray
    items: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Index:
    """An index that was built.

    Attributes:
        tasks: names.
        first_items: number of each task's first item; those of a task follow each other.
        ngrams: hashes, ascending, uint64 [n].
        starts: where the items of each n-gram start in `owners`, int64 [n + 1].
        owners: items, int32.
        item_tasks: task of each item, int32 [items].
        anchors: hashes of the first words or characters of short texts, ascending, uint64.
        ngram_bits: filter of `ngrams`.
        anchor_bits: filter of `anchors`.
        record: settings, kinds of n-grams (`_KINDS`), and what was counted per task.
    """

    tasks: list[str]
    first_items: list[int]
    ngrams: np.ndarray
    starts: np.ndarray
    owners: np.ndarray
    item_tasks: np.ndarray
    anchors: np.ndarray
    ngram_bits: np.ndarray
    anchor_bits: np.ndarray
    record: dict[str, Any]

    @staticmethod
    def load(directory: Path) -> "Index":
        """Read an index; its arrays are mapped, and shared by the processes of a machine.

        Raises:
            RecipeError: it is missing or damaged, or was made by other rules for words.
        """
        try:
            record = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
            arrays = {n: np.load(directory / f"{n}.npy", mmap_mode="r") for n in _ARRAYS}
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"{directory}: missing or damaged index ({error}); delete it and run the step again"
            ) from error
        if record["settings"]["words"] != compared_by():
            raise RecipeError(
                f"{directory}: made with another release of `regex`, whose words are not those of "
                "this machine; install the same everywhere, or delete it and run the step again"
            )
        first = [task["first_item"] for task in record["tasks"].values()]
        return Index(list(record["tasks"]), first, record=record, **arrays)

    def find(self, compared: Compared) -> Finds:
        """Find every n-gram of an evaluation item in texts; in order, those of words first."""
        sizes = self.record["settings"]["sizes"]
        # What no item is made of is not looked for; an index of before does not say.
        held = self.record.get("kinds", _KINDS)
        parts = [self._find(getattr(compared, kind), *sizes[kind]) for kind in held]
        texts, ngrams, starts, ends = map(np.concatenate, zip(*parts))
        once = first_rows(texts * len(self.ngrams) + ngrams)
        first, after = self.starts[ngrams[once]], self.starts[ngrams[once] + 1]
        rows = np.repeat(once, after - first)
        # The items of n-grams, one n-gram after the other.
        places = np.arange(len(rows)) + np.repeat(after - np.cumsum(after - first), after - first)
        return Finds(texts[rows], ngrams[rows], self.owners[places], starts[rows], ends[rows])

    def _find(
        self, units: Words, size: int, shortest: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Find text, n-gram and stretch in bytes of each place where one of these units stands."""
        firsts, hashes = _at_places(units, size, self.ngram_bits)
        lengths = np.full(len(firsts), size)
        if len(self.anchors) and shortest < size:
            # Short texts are known by their beginning, and then looked up at each of their lengths.
            heads, beginnings = _at_places(units, shortest, self.anchor_bits)
            heads = heads[_look_up(beginnings, self.anchors)[0]]
            own = np.tile(np.arange(shortest, size), len(heads))
            heads = np.repeat(heads, size - shortest)
            ends = units.bounds[np.searchsorted(units.bounds, heads, side="right")]
            inside = heads + own <= ends
            heads, own = heads[inside], own[inside]
            firsts, lengths = np.append(firsts, heads), np.append(lengths, own)
            hashes = np.append(hashes, hash_stretches(units.hashes, heads, own))
        found, ngrams = _look_up(hashes, self.ngrams)
        firsts, lasts = firsts[found], firsts[found] + lengths[found] - 1
        texts = np.searchsorted(units.bounds, firsts, side="right") - 1
        return texts, ngrams, units.starts[firsts], units.ends[lasts]

    def task_of(self, item: int) -> tuple[str, int]:
        """Name of an item's task, and its number in it."""
        task = int(self.item_tasks[item])
        return self.tasks[task], int(item) - self.first_items[task]


def _by_task(sets: list[EvaluationSet]) -> dict[str, list[EvaluationSet]]:
    tasks: dict[str, list[EvaluationSet]] = {}
    for own in sets:
        tasks.setdefault(own.task, []).append(own)
    return tasks


def _settings(config: DecontaminateConfig, sets: list[EvaluationSet]) -> dict[str, Any]:
    """Everything that decides what is in an index."""
    return {
        "sets": [s.model_dump() for s in sets],
        "contents": [[contents_of(path) for path in s.paths] for s in sets],
        "sizes": config.sizes(),
        "words": compared_by(),
    }


def first_rows(keys: np.ndarray) -> np.ndarray:
    """Find the rows at which a key is met for the first time, ascending, int64."""
    return np.sort(np.unique(keys, return_index=True)[1])


def _look_up(hashes: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the hashes that are known, and their places in `known`, ascending; int64 [n]."""
    places = np.searchsorted(known, hashes)
    rows = np.flatnonzero(known[np.minimum(places, len(known) - 1)] == hashes)
    return rows, places[rows]


def _at_places(units: Words, size: int, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First unit and hash of the n-grams that may be in a filter, int64 and uint64 [n]."""
    ngrams, bounds = hash_ngrams(units.hashes, units.bounds, size)
    rows = filter_ngrams(ngrams, bits)
    texts = np.searchsorted(bounds, rows, side="right") - 1
    return rows - bounds[texts] + units.bounds[texts], ngrams[rows]


def _hash_passages(
    texts: list[str], items: np.ndarray, sizes: dict[str, tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Hash what is searched for, some megabytes at a time.

    Returns:
        n-grams, their items, anchors, and the kinds that any of these are of.
    """
    parts, start = [], 0
    found = dict.fromkeys(_KINDS, False)
    while start < len(texts):
        end, room = start, 0
        while end < len(texts) and room < BATCH_BYTES:
            room += len(texts[end])
            end += 1
        korean = np.array([is_korean(text) for text in texts[start:end]])
        own, wanted = items[start:end], {"characters": korean, "words": ~korean}
        compared = compare(texts[start:end])
        for kind in _KINDS:
            units, (size, shortest) = getattr(compared, kind), sizes[kind]
            ngrams, bounds = hash_ngrams(units.hashes, units.bounds, size)
            owners = np.repeat(np.arange(end - start), np.diff(bounds))
            ngrams, owners = ngrams[wanted[kind][owners]], owners[wanted[kind][owners]]
            # A text of fewer units is one n-gram, if it is not too short.
            lengths = np.diff(units.bounds)
            short = np.flatnonzero(wanted[kind] & (lengths >= shortest) & (lengths < size))
            firsts = units.bounds[short]
            whole = hash_stretches(units.hashes, firsts, lengths[short])
            anchors = hash_stretches(units.hashes, firsts, np.full(len(short), shortest))
            parts.append((np.append(ngrams, whole), own[np.append(owners, short)], anchors))
            found[kind] = found[kind] or len(parts[-1][0]) > 0
        start = end
    ngrams, items, anchors = map(np.concatenate, zip(*parts))
    return ngrams, items, anchors, [kind for kind in _KINDS if found[kind]]


def make_filter(values: np.ndarray) -> np.ndarray:
    """Make a bitmap of known hashes, small enough to be asked at every word.

    Args:
        values: uint64 [n].

    Returns:
        uint64 [a power of two].
    """
    size = 1 << max(0, len(values) * _FILTER_BITS // 64).bit_length()
    bits = np.zeros(size, np.uint64)
    words = (values >> np.uint64(6)) & np.uint64(size - 1)
    np.bitwise_or.at(bits, words, np.uint64(1) << (values & np.uint64(63)))
    return bits


@kernel
def filter_ngrams(ngrams: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Rows of the n-grams that a filter lets through: all that are known, and few others; int64."""
    rows = np.empty(len(ngrams) // 8 + 64, np.int64)
    mask = np.uint64(len(bits) - 1)
    count = 0
    for row in range(len(ngrams)):
        word = bits[(ngrams[row] >> np.uint64(6)) & mask]
        if (word >> (ngrams[row] & np.uint64(63))) & np.uint64(1):
            if count == len(rows):
                rows = grown(rows, 2 * count)
            rows[count] = row
            count += 1
    return rows[:count]


def build_index(config: DecontaminateConfig, output_dir: Path) -> None:
    """Make `<output_dir>/index`, unless it is there; it appears whole or not at all.

    Args:
        config: the step.
        output_dir: directory of the step.

    Raises:
        RecipeError: an evaluation set that cannot be read or has no text long enough to search
            for, or an index there that was made from other sets.
    """
    directory, sets = output_dir / INDEX, config.sets()
    settings = _settings(config, sets)
    if directory.is_dir():
        was = Index.load(directory).record["settings"]
        remedy = f"delete {output_dir} to do the step again, or choose another output_dir"
        check_settings(
            directory, was, settings, remedy, "made from other evaluation sets or settings"
        )
        return
    tasks = _by_task(sets)
    texts: list[str] = []
    owners: list[int] = []
    item_tasks: list[int] = []
    record: dict[str, dict[str, int]] = {}
    for number, (task, own) in enumerate(tasks.items()):
        items = [item for s in own for item in read_items(s)]
        for item, columns in enumerate(items, start=len(item_tasks)):
            own_texts = passages(columns)
            texts += own_texts
            owners += [item] * len(own_texts)
        record[task] = {"first_item": len(item_tasks), "items": len(items)}
        item_tasks += [number] * len(items)
    ngrams, items, anchors, kinds = _hash_passages(
        texts, np.array(owners, np.int32), config.sizes()
    )
    limits = np.array([max(s.max_items for s in own) for own in tasks.values()])
    arrays = _arrange(ngrams, items, np.array(item_tasks, np.int32), limits, record)
    for task, counts in record.items():
        if not counts["items_searchable"]:
            raise RecipeError(
                f"evaluation set {task!r}: none of {counts['items']:,} items can be searched for "
                f"({counts['items_too_short']:,} have no text of {config.min_words} words or "
                f"{config.min_characters} Korean characters, the "
                "n-grams of the others are boilerplate); name other columns, or raise max_items"
            )
    arrays["anchors"] = np.unique(anchors)
    arrays["ngram_bits"] = make_filter(arrays["ngrams"])
    arrays["anchor_bits"] = make_filter(arrays["anchors"])
    with staged_folder(directory) as staging:
        for name, array in arrays.items():
            np.save(staging / f"{name}.npy", array)
        index = {"settings": settings, "kinds": kinds, "tasks": record}
        write_json_atomically(staging / _RECORD, index)


def _arrange(
    ngrams: np.ndarray,
    items: np.ndarray,
    item_tasks: np.ndarray,
    limits: np.ndarray,
    record: dict[str, dict[str, int]],
) -> dict[str, np.ndarray]:
    """Sort n-grams, take out boilerplate, and count per task into `record`."""
    order = np.lexsort((items, ngrams))
    ngrams, items = ngrams[order], items[order]
    # Once per item; items of one task follow each other, so a task's are a run.
    once = np.ones(len(ngrams), bool)
    once[1:] = (ngrams[1:] != ngrams[:-1]) | (items[1:] != items[:-1])
    ngrams, items = ngrams[once], items[once]
    tasks = item_tasks[items]
    first = np.ones(len(ngrams), bool)
    first[1:] = (ngrams[1:] != ngrams[:-1]) | (tasks[1:] != tasks[:-1])
    runs = np.flatnonzero(first)
    lengths = np.diff(np.append(runs, len(ngrams)))
    common = lengths > limits[tasks[runs]]
    keep = ~np.repeat(common, lengths)
    has_ngram = np.bincount(items, minlength=len(item_tasks)) > 0
    searchable = np.bincount(items[keep], minlength=len(item_tasks)) > 0
    for number, counts in enumerate(record.values()):
        own = item_tasks == number
        counts["items_searchable"] = int((own & searchable).sum())
        counts["items_too_short"] = int((own & ~has_ngram).sum())
        counts["items_boilerplate_only"] = int((own & has_ngram & ~searchable).sum())
        counts["ngrams"] = int(((tasks[runs] == number) & ~common).sum())
        counts["boilerplate_ngrams"] = int(((tasks[runs] == number) & common).sum())
    known, starts = np.unique(ngrams[keep], return_index=True)
    return {
        "ngrams": known,
        "starts": np.append(starts, keep.sum()).astype(np.int64),
        "owners": items[keep],
        "item_tasks": item_tasks,
    }
