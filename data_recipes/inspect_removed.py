"""What deduplication took out of kept documents, and where it had been seen before."""

from typing import Any

import numpy as np
import pyarrow as pa

from .dedup.config import DedupConfig
from .dedup.ngrams import cut_ngrams
from .dedup.output import removed_path
from .documents import read_batches, text_buffers
from .errors import RecipeError
from .records import Record, Sample, find_records
from .steps import StepFolder
from .terminal import Terminal

_STEP = "deduplicate"
_CONTEXT = 200  # bytes shown on either side of an origin


def show_removed(
    terminal: Terminal,
    inputs: dict[str, StepFolder],
    outputs: dict[str, StepFolder],
    sources: list[str],
    config: DedupConfig,
    id_: str | None,
    number: int,
    seed: int,
    find_origin: bool,
) -> None:
    """Print documents with the paragraphs they lost, and the n-grams that were known already.

    Args:
        terminal: where to.
        inputs: folders of the step before, in the order of the recipe.
        outputs: folders of the step.
        sources: those to show.
        config: the step.
        id_: this document only.
        number: documents to draw otherwise.
        seed: another one draws others.
        find_origin: search for the first document that holds a matched n-gram.

    Raises:
        RecipeError: no such document, or none that lost a paragraph.
    """
    chosen = _choose(outputs, sources, id_, number, seed)
    if not chosen:
        what = f"document {id_!r} lost none" if id_ else "no kept document lost any"
        raise RecipeError(
            f"{_STEP}, removed paragraphs of {', '.join(sources)}: {what}. Whole documents are "
            "shown with --rejected"
        )
    for source, shard, name in chosen:
        record = find_records(inputs[source].kept(shard), {name}, source)[name]
        rows = _removed(outputs[source], shard, name)
        terminal.print(terminal.marked(f"── {name}", "heading"))
        terminal.print(*_marked(terminal, record, rows))
        for row in rows:
            terminal.print(
                terminal.marked(
                    f"bytes {row['start']:,} to {row['end']:,}: {row['hits']} of {row['ngrams']} "
                    "n-grams were known",
                    "facts",
                )
            )
        if find_origin:
            terminal.print(*_origin(terminal, inputs, config, (source, shard, name), rows[0]))
        terminal.print("")


def _choose(
    outputs: dict[str, StepFolder], sources: list[str], id_: str | None, number: int, seed: int
) -> list[tuple[str, str, str]]:
    sample, seen = Sample(number, seed), set()
    for source in sources:
        for shard in outputs[source].done():
            path = removed_path(outputs[source], shard)
            for batch in read_batches(path, ["id"]) if path.is_file() else ():
                for name in batch.column(0).to_pylist():
                    if name in seen or id_ not in (None, name):
                        continue
                    key = sample.key(name)
                    if sample.wants(key):
                        seen.add(name)
                        sample.add(key, name, (source, shard, name))
    return sample.values()


def _removed(folder: StepFolder, shard: str, name: str) -> list[dict[str, Any]]:
    batches = read_batches(removed_path(folder, shard))
    return [row for batch in batches for row in batch.to_pylist() if row["id"] == name]


def _marked(terminal: Terminal, record: Record, rows: list[dict[str, Any]]) -> list[Any]:
    """The document as it came, removed paragraphs struck, known n-grams highlighted."""
    data, parts, place = record.text.encode(), [], 0
    for row in rows:
        parts.append(data[place : row["start"]].decode())
        place = row["start"]
        for start, end in row["matched"]:
            parts.append(terminal.marked(data[place:start].decode(), "removed"))
            parts.append(terminal.marked(data[start:end].decode(), "removed", "matched"))
            place = end
        parts.append(terminal.marked(data[place : row["end"]].decode(), "removed"))
        place = row["end"]
    return [*parts, data[place:].decode()]


def _origin(
    terminal: Terminal,
    inputs: dict[str, StepFolder],
    config: DedupConfig,
    here: tuple[str, str, str],
    row: dict[str, Any],
) -> list[Any]:
    """Where the first known n-gram of a paragraph stands for the first time."""
    text = pa.array([row["text"]], pa.large_string())
    data, offsets = text_buffers(pa.RecordBatch.from_arrays([text], ["text"]))
    wanted = np.unique(cut_ngrams(data, offsets, config.ngram_size, config.mode).hashes)
    for source, folder in inputs.items():
        for shard in folder.shards():
            for batch in read_batches(folder.kept(shard)):
                data, offsets = text_buffers(batch)
                for number in range(batch.num_rows):
                    own = offsets[number : number + 2]
                    found = cut_ngrams(data, own, config.ngram_size, config.mode).hashes
                    share = np.isin(wanted, found).mean() if len(wanted) else 0.0
                    name = batch.column("id")[number].as_py()
                    if (source, shard, name) == here:
                        return ["known from this document itself, or a false positive"]
                    if share > 0:
                        head = bytes(data[own[0] : own[0] + 2 * _CONTEXT]).decode("utf-8", "ignore")
                        return [
                            terminal.marked(f"{share:.0%} of its n-grams first in {name}", "facts"),
                            "\n",
                            head,
                        ]
    return ["not found: the filter came from an earlier run"]
