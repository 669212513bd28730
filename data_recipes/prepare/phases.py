"""What each cleaning step consists of: pipeline steps to run one after another."""

from dataclasses import dataclass
from pathlib import Path

from datatrove.pipeline.base import PipelineStep

from ..decontaminate.step import BuildIndex, DecontaminateStep, WriteReport
from ..deduplicate.config import DedupConfig
from ..deduplicate.step import DedupStep
from ..deduplicate.whole_documents import whole_document_phases
from ..filter.step import FilterStep
from ..quality.apply import QualityStep
from ..quality.train import TrainClassifiers
from ..read.step import ReadStep
from .config import DataConfig

# In the order of KORMo's pipeline: heuristics, BFF, fastText; then what evaluation must not see.
STEPS = ("read", "filter", "deduplicate", "quality", "decontaminate")


@dataclass(frozen=True)
class Phase:
    """A pipeline step and the number of tasks that it is dealt into."""

    step: PipelineStep
    tasks: int


def phases(config: DataConfig, name: str, inputs: dict[str, Path]) -> list[Phase]:
    """The phases of cleaning step `name`.

    Args:
        config: the recipe.
        name: one of `STEPS`.
        inputs: folder of the step before, by source name; unused by `read`.
    """
    output, tasks = config.output_dir / name, config.executor.parts
    if name == "read":
        return [Phase(ReadStep(config.resolved_sources(), output, config.read), tasks)]
    if name == "filter":
        return [Phase(FilterStep(inputs, output, config.filter), tasks)]
    if name == "quality":
        return [
            Phase(TrainClassifiers(inputs, output, config.quality), 1),
            Phase(QualityStep(inputs, output, config.quality), tasks),
        ]
    if name == "decontaminate":
        return [
            Phase(BuildIndex(output, config.decontaminate), 1),
            Phase(DecontaminateStep(inputs, output, config.decontaminate), tasks),
            Phase(WriteReport(list(inputs), output, config.decontaminate), 1),
        ]
    if isinstance(config.deduplicate, DedupConfig):
        # A filter is one task: what it removes depends on all that it saw before.
        step = DedupStep(inputs, output, config.deduplicate)
        return [Phase(step, config.deduplicate.filters)]
    work = whole_document_phases(inputs, output, config.deduplicate, tasks)
    return [Phase(*phase) for phase in work]
