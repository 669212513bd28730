"""datatrove's deduplication blocks over our shards: signatures, matches, and the rows taken out.

datatrove ties the files of these blocks to the rank of a task. Here that rank is the number of an
input shard in a plan that is made first, so neither the number of tasks nor of workers matters, and
each unit of work (a shard, a bucket) is marked when it is finished and not done again.
"""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from ..common.errors import RecipeError
from ..common.files import write_json_atomically
from ..common.progress import Progress
from ..engine.documents import read_batches, text_bytes
from ..engine.steps import Outcome, ShardStep, StepFolder, Tally, decide
from .plan import PlannedShard, allow_open_files, read_plan, work_dir


class Stage(PipelineStep):
    """A stage between plan and filter: units of work, each done once.

    Args:
        output_dir: `<output_dir>/deduplicate`.
    """

    name: str
    type = "DEDUP"

    def __init__(self, output_dir: Path) -> None:
        super().__init__()
        self.output_dir = output_dir

    @property
    def folder(self) -> Path:
        """Where datatrove writes."""
        return work_dir(self.output_dir) / self.name

    def _done(self, unit: int) -> Path:
        return work_dir(self.output_dir) / "done" / self.name / f"{unit:05d}.json"

    @abstractmethod
    def units(self, plan: list[PlannedShard]) -> int:
        """Number of units."""

    @abstractmethod
    def work_on(self, unit: int, plan: list[PlannedShard], progress: Progress) -> dict[str, int]:
        """Do one unit, from its beginning. Returns what is worth knowing of it."""

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        plan = read_plan(self.output_dir)
        with Progress(self.output_dir, rank) as progress:
            for unit in range(rank, self.units(plan), world_size):
                if not self._done(unit).is_file():
                    self.folder.mkdir(parents=True, exist_ok=True)
                    facts = self.work_on(unit, plan, progress)
                    self._done(unit).parent.mkdir(parents=True, exist_ok=True)
                    write_json_atomically(self._done(unit), facts)
        yield from ()


class SignatureStage(Stage):
    """First stage: signatures of the documents, shard by shard.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/deduplicate`.
    """

    name = "signatures"

    def __init__(self, inputs: dict[str, Path], output_dir: Path) -> None:
        super().__init__(output_dir)
        self.inputs = {name: StepFolder(folder) for name, folder in inputs.items()}

    @abstractmethod
    def sign(self, documents: Iterator[Document], unit: int, units: int) -> dict[str, int]:
        """Write signatures of the documents of shard `unit`."""

    def units(self, plan: list[PlannedShard]) -> int:
        return len(plan)

    def work_on(self, unit: int, plan: list[PlannedShard], progress: Progress) -> dict[str, int]:
        path = self.inputs[plan[unit].source].kept(plan[unit].shard)

        def documents() -> Iterator[Document]:
            for batch in read_batches(path, columns=["text"]):
                for text in batch.column("text").to_pylist():
                    yield Document(text, id="", metadata={"shard": unit})
                progress.update(int(text_bytes(batch).sum()))

        return self.sign(documents(), unit, len(plan))


def check_survival(plan: list[PlannedShard], removed: list[int], max_removed: float) -> None:
    """Refuse to go on where a source is about to disappear.

    Args:
        plan: the shards.
        removed: documents to be taken out of each.
        max_removed: largest share of a source's documents.

    Raises:
        RecipeError: names the sources.
    """
    documents, lost = dict.fromkeys((s.source for s in plan), 0), {}
    for shard, count in zip(plan, removed, strict=True):
        documents[shard.source] += shard.documents
        lost[shard.source] = lost.get(shard.source, 0) + count
    bad = [s for s, count in lost.items() if count > max_removed * documents[s]]
    if bad:
        listed = "; ".join(
            f"{s} {lost[s]:,} of {documents[s]:,} ({lost[s] / documents[s]:.1%})" for s in bad
        )
        raise RecipeError(
            f"deduplicate would remove more than {max_removed:.0%} of the documents of {listed}. A "
            "source of copies, of boilerplate, or of documents too short to be told apart? If that "
            "is right, raise deduplicate.max_removed and run the same command again, which goes "
            "on from here"
        )


class ListStage(Stage):
    """Writes which documents of each shard go, and checks that no source goes with them. One task.

    Args:
        output_dir: `<output_dir>/deduplicate`.
        max_removed: largest share of a source's documents that may go.
    """

    def __init__(self, output_dir: Path, max_removed: float) -> None:
        super().__init__(output_dir)
        self.max_removed = max_removed

    @abstractmethod
    def list_removed(self, shards: int) -> None:
        """Write the lists."""

    @abstractmethod
    def path(self, number: int) -> Path:
        """The list of a shard, four bytes a document; it may be missing."""

    def units(self, plan: list[PlannedShard]) -> int:
        return 1

    def work_on(self, unit: int, plan: list[PlannedShard], progress: Progress) -> dict[str, int]:
        # datatrove opens the files of all shards at once, of up to three kinds.
        allow_open_files(3 * len(plan))
        self.list_removed(len(plan))
        return {"removed": sum(self._removed(i) for i in range(len(plan)))}

    def _removed(self, number: int) -> int:
        path = self.path(number)
        return path.stat().st_size // 4 if path.is_file() else 0

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        yield from super().run(data, rank, world_size)
        # Apart from the work, so that a bound which was raised is looked at anew.
        plan = read_plan(self.output_dir)
        check_survival(plan, [self._removed(i) for i in range(len(plan))], self.max_removed)


class Removed:
    """Takes the place of datatrove's exclusion writer: keeps what a filter has just taken out."""

    def __init__(self) -> None:
        self.documents: list[Document] = []

    def write(self, document: Document, rank: int = 0) -> None:
        """A document that the filter takes out."""
        self.documents.append(document)

    def __enter__(self) -> "Removed":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


class FilterStep(ShardStep):
    """Last stage: takes out the rows that a filter block of datatrove names."""

    reason: str

    @abstractmethod
    def block(self, removed: Removed) -> PipelineStep:
        """The filter block, which gives `removed` what it takes out."""

    @abstractmethod
    def detail(self, document: Document) -> str:
        """Why a document was taken out."""

    def setup(self) -> None:
        self._plan = read_plan(self.output_dir)
        self._numbers = {(s.source, s.shard): i for i, s in enumerate(self._plan)}

    def _verdicts(self, number: int) -> Iterator[str | None]:
        # The block decides by place alone, so it is given documents without text.
        removed = Removed()
        rows = (Document("", id=str(i)) for i in range(self._plan[number].documents))
        for _ in self.block(removed).run(rows, number, len(self._plan)):
            yield from map(self.detail, removed.documents)
            removed.documents.clear()
            yield None
        yield from map(self.detail, removed.documents)

    def _process_shard(self, name: str, shard: str, progress: Progress) -> Tally:
        self._left = self._verdicts(self._numbers[name, shard])
        return super()._process_shard(name, shard, progress)

    def process(self, batch: pa.RecordBatch) -> Outcome:
        details = [next(self._left) for _ in range(batch.num_rows)]
        reasons = [None if detail is None else self.reason for detail in details]
        return decide(batch, reasons, details)
