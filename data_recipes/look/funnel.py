"""How many documents and bytes came through each step, and whether that adds up."""

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from ..engine.documents import damaged_shard_is_an_error
from ..engine.steps import StepFolder, Tally
from ..prepare.chain import folder, step_before
from ..prepare.config import DataConfig
from ..tokenizer.shards import SPLITS
from ..tokens.shards import MANIFEST, read_manifest


@dataclass
class FunnelRow:
    """A line of the funnel.

    Attributes:
        step: its name.
        group: a source, or a language.
        tally: what was counted.
        read: what the first step was given, to compare with.
        left: shards of the step before that this one has not finished.
        problems: what does not add up, each as a sentence.
    """

    step: str
    group: str
    tally: Tally
    read: Tally
    left: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def documents_share(self) -> float:
        """Documents left, of all that were read."""
        return self.tally.documents_kept / max(1, self.read.documents_in)

    @property
    def bytes_share(self) -> float:
        """Bytes left, of all that were read."""
        return self.tally.bytes_kept / max(1, self.read.bytes_in)

    @property
    def bytes_changed(self) -> int:
        """Bytes taken out of documents that were kept."""
        return self.tally.bytes_in - self.tally.bytes_kept - self.tally.bytes_rejected

    @property
    def rate(self) -> float | None:
        """Text in 1e6 bytes per second of one process; `None` if there was nothing to time."""
        return self.tally.bytes_in / 1e6 / self.tally.seconds if self.tally.seconds else None


class ShardFunnel:
    """The finished shards of a recipe, step by step. Memory holds sums, not shards.

    Args:
        config: the recipe.
        steps: names of the steps to count, in order.
    """

    def __init__(self, config: DataConfig, steps: list[str]) -> None:
        self.steps = steps
        self.sources: dict[str, list[FunnelRow]] = {step: [] for step in steps}
        for source in config.languages:
            kept: dict[str, tuple[int, int]] = {}
            read = Tally()
            for step in steps:
                own = folder(config, step, source)
                given = kept if step_before(config, step) else None
                row, kept = _count(own, step, source, given)
                read = row.tally if step == steps[0] else read
                row.read = read
                self.sources[step].append(row)
            row.problems += _check_tokens(config.shards_dir / source, row)
        self.languages = {
            step: _by_language(config, step, rows) for step, rows in self.sources.items()
        }

    @property
    def problems(self) -> list[str]:
        """Everything that does not add up."""
        return [p for step in self.steps for row in self.sources[step] for p in row.problems]

    def total(self, step: str) -> Tally:
        """Sum over all sources."""
        return sum((row.tally for row in self.sources[step]), Tally())


def _count(
    own: StepFolder, step: str, source: str, given: dict[str, tuple[int, int]] | None
) -> tuple[FunnelRow, dict[str, tuple[int, int]]]:
    """A step on a source, and documents and bytes that it kept by shard.

    Args:
        own: folder of the step.
        step: its name.
        source: name.
        given: documents and bytes by shard, as the step before kept them.
    """
    row = FunnelRow(step, source, Tally(), Tally())
    kept = {}
    done = own.done()
    for shard in done:
        tally = Tally.read(own.stats(shard))
        row.tally += tally
        kept[shard] = (tally.documents_kept, tally.bytes_kept)
        row.problems += [f"{step}, {source}, shard {shard}: {p}" for p in _check(own, shard, tally)]
        if given is None:
            continue
        if shard not in given:
            row.problems.append(f"{step}, {source}, shard {shard}: the step before has none")
        elif given[shard] != (tally.documents_in, tally.bytes_in):
            row.problems.append(
                f"{step}, {source}, shard {shard}: {tally.documents_in:,} documents of "
                f"{tally.bytes_in:,} bytes came in, the step before kept {given[shard][0]:,} of "
                f"{given[shard][1]:,}"
            )
    row.left = len(set(given) - set(done)) if given is not None else 0
    return row, kept


def _check(own: StepFolder, shard: str, tally: Tally) -> list[str]:
    problems = []
    if tally.documents_in != tally.documents_kept + tally.documents_rejected:
        problems.append(
            f"{tally.documents_in:,} documents came in, {tally.documents_kept:,} were kept and "
            f"{tally.documents_rejected:,} rejected"
        )
    counted = sum(reason["documents"] for reason in tally.reasons.values())
    if counted != tally.documents_rejected:
        problems.append(
            f"{tally.documents_rejected:,} documents were rejected, {counted:,} with a reason"
        )
    for path, wanted in (
        (own.kept(shard), tally.documents_kept),
        (own.rejected(shard), tally.documents_rejected),
    ):
        with damaged_shard_is_an_error(path):
            rows = pq.read_metadata(path).num_rows
        if rows != wanted:
            problems.append(f"{wanted:,} documents were counted, {path} has {rows:,}")
    return problems


def _check_tokens(shards: Path, last: FunnelRow) -> list[str]:
    """Compare the documents of token shards with those that the last step kept."""
    directories = [shards / split for split in SPLITS]
    if last.left or not all((d / MANIFEST).is_file() for d in directories):
        return []
    documents = sum(read_manifest(d).documents for d in directories)
    if documents == last.tally.documents_kept:
        return []
    return [
        f"shards, {last.group}: {documents:,} documents were tokenised, {last.step} kept "
        f"{last.tally.documents_kept:,}"
    ]


def _by_language(config: DataConfig, step: str, rows: list[FunnelRow]) -> list[FunnelRow]:
    languages: dict[str, FunnelRow] = {}
    for row in rows:
        language = config.languages[row.group]
        total = languages.setdefault(language, FunnelRow(step, language, Tally(), Tally()))
        total.tally += row.tally
        total.read += row.read
        total.left += row.left
        total.problems += row.problems
    return list(languages.values())
