"""Documents with the same text, byte for byte, with datatrove's blocks.

Of copies, over all sources together, the one in the first source (in the order of the recipe), then
in the first shard, then in the first row is kept. Texts are compared by a hash of 64 bits: among a
billion different documents, one pair that is taken for a copy is expected in every 37 runs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import exact_dedup as blocks
from pydantic import Field

from ..common.config_files import Strict
from .blocks import FilterStep, ListStage, Removed, SignatureStage
from .plan import Plan, work_dir

_MOST_SHARDS = 65_535  # datatrove's priorities, 1 to 65,535, tell shards apart


class ExactConfig(Strict):
    """Copies of whole documents.

    Attributes:
        max_removed: largest share of a source's documents that may go; more is an error. Our
            choice, as for `minhash`.
    """

    method: Literal["exact"] = "exact"
    max_removed: float = Field(default=0.9, gt=0, le=1, exclude=True)


def _text(document: Document) -> str:
    return document.text


def _priority(document: Document) -> int:
    return _MOST_SHARDS - document.metadata["shard"]


def _block_config() -> blocks.ExactDedupConfig:
    return blocks.ExactDedupConfig(content_getter=_text, document_priority=_priority)


class Signatures(SignatureStage):
    """Writes `signatures/0000/<shard>.c4_sig`."""

    def sign(self, documents: Iterator[Document], unit: int, units: int) -> dict[str, int]:
        """Hash the documents."""
        blocks.ExactDedupSignature(str(self.folder), _block_config()).run(documents, unit, units)
        return {}


class Copies(ListStage):
    """Writes which documents go: all copies but the first. One task."""

    name = "copies"

    def path(self, number: int) -> Path:
        return self.folder / "00000" / f"{number:05d}.c4_dup"

    def list_removed(self, shards: int) -> None:
        signatures = work_dir(self.output_dir) / Signatures.name
        blocks.ExactFindDedups(str(signatures), str(self.folder), config=_block_config()).run()


class Filter(FilterStep):
    """Takes the documents out that `Copies` named."""

    name = "Copies"
    reason = "exact_duplicate"

    def block(self, removed: Removed) -> PipelineStep:
        folder = str(work_dir(self.output_dir) / Copies.name)
        return blocks.ExactDedupFilter(folder, _block_config(), exclusion_writer=removed)

    def detail(self, document: Document) -> str:
        return "the text of an earlier document, byte for byte"


def exact_phases(
    inputs: dict[str, Path], output_dir: Path, config: ExactConfig, tasks: int
) -> list[tuple[PipelineStep, int]]:
    """The stages in order, each with its number of tasks.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/deduplicate`.
        config: the section.
        tasks: parts that a stage which can be spread is dealt into.
    """
    return [
        (Plan(inputs, output_dir, config.model_dump(), _MOST_SHARDS), 1),
        (Signatures(inputs, output_dir), tasks),
        (Copies(output_dir, config.max_removed), 1),
        (Filter(inputs, output_dir), tasks),
    ]
