"""What deduplication writes for one shard: kept, rejected, removed paragraphs, and counts."""

import time
from pathlib import Path

import pyarrow as pa

from ..common.files import write_json_atomically
from ..common.progress import Progress
from ..engine.documents import REJECTION, ShardWriter
from ..engine.steps import StepFolder, Tally
from .ngrams import Ngrams
from .old_both import Verdict
from .rewrite import REMOVED_SCHEMA, kept_schema, rewrite


def removed_path(folder: StepFolder, shard: str) -> Path:
    """Where the paragraphs are that kept documents of a shard lost (`rewrite.REMOVED_SCHEMA`)."""
    return folder.root / "removed" / f"{shard}.parquet"


class ShardOutput:
    """The files of one shard; the counts come last and mark it as finished.

    All methods are for one thread, which may lag behind the one that decides. After an error
    nothing is written any more, so that no shard is finished with rows missing.

    Args:
        folder: of the source.
        shard: its name.
        schema: of the input.
        progress: is told of bytes worked through.

    Raises:
        RecipeError: the disk is full, or the input was deduplicated before.
    """

    def __init__(
        self, folder: StepFolder, shard: str, schema: pa.Schema, progress: Progress
    ) -> None:
        self._stats = folder.stats(shard)
        self._progress = progress
        self._tally = Tally()
        self._start = time.perf_counter()
        self._writers: list[ShardWriter] = []
        kept = kept_schema(schema, f"{folder.root.name}, shard {shard}")
        try:
            for path, own in (
                (folder.kept(shard), kept),
                (folder.rejected(shard), pa.schema([*schema, *REJECTION])),
                (removed_path(folder, shard), REMOVED_SCHEMA),
            ):
                self._writers.append(ShardWriter(path, own))
        except BaseException:
            self.discard()
            raise

    def write(self, batch: pa.RecordBatch, ngrams: Ngrams, verdict: Verdict) -> None:
        """Write what becomes of a batch.

        Raises:
            RecipeError: the disk is full.
        """
        if not self._writers:
            return
        try:
            outcome, removed = rewrite(batch, ngrams, verdict)
            before = self._tally.bytes_in
            self._tally.add(batch, outcome)
            for writer, rows in zip(self._writers, (outcome.kept, outcome.rejected, removed)):
                writer.write(rows)
            self._progress.update(self._tally.bytes_in - before)
        except BaseException:
            self.discard()
            raise

    def close(self) -> None:
        """Finish the shard.

        Raises:
            RecipeError: the disk is full.
            RuntimeError: bytes appeared or disappeared.
        """
        if not self._writers:
            return
        tally = self._tally
        try:
            removed = tally.counts.get("bytes_removed", 0)
            if tally.bytes_in != tally.bytes_kept + tally.bytes_rejected + removed:
                raise RuntimeError(
                    f"{tally.bytes_in:,} bytes became {tally.bytes_kept:,} kept, "
                    f"{tally.bytes_rejected:,} rejected and {removed:,} removed"
                )
            for writer in self._writers:
                writer.close()
            tally.seconds = time.perf_counter() - self._start
            self._stats.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomically(self._stats, vars(tally))
            self._writers = []
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Give up: no temporary files stay."""
        for writer in self._writers:
            writer.discard()
        self._writers = []
