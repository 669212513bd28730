"""The plan of a deduplication that works through files: its input shards, numbered."""

import json
import resource
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.hashing import HashConfig, create_hash_func

from ..common.errors import RecipeError
from ..engine.documents import damaged_shard_is_an_error
from ..engine.steps import SETTINGS, StepFolder, claim

# Open files of a task besides those that grow with the number of shards; our choice, generous.
_OTHER_FILES = 128


@dataclass(frozen=True)
class PlannedShard:
    """An input shard, known to datatrove by its place in the plan.

    Attributes:
        source: name of the source.
        shard: name of the shard.
        documents: rows in it.
    """

    source: str
    shard: str
    documents: int


def work_dir(output_dir: Path) -> Path:
    """Where signatures and matches lie; no source can have this name."""
    return output_dir / ".work"


def read_plan(output_dir: Path) -> list[PlannedShard]:
    """The shards in the order of the plan."""
    plan = json.loads((work_dir(output_dir) / SETTINGS).read_text(encoding="utf-8"))
    return [PlannedShard(**shard) for shard in plan["shards"]]


class Plan(PipelineStep):
    """Numbers the input shards and binds the work to them and to the settings. One task.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/deduplicate`.
        settings: what the outcome depends on.
        most_shards: of a plan.
    """

    name = "Plan"
    type = "DEDUP"

    def __init__(
        self, inputs: dict[str, Path], output_dir: Path, settings: dict[str, Any], most_shards: int
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.output_dir = output_dir
        self.settings = settings
        self.most_shards = most_shards

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        _check_hashing()
        shards = []
        for source, root in self.inputs.items():
            folder = StepFolder(root)
            for shard in folder.shards():
                with damaged_shard_is_an_error(folder.kept(shard)):
                    rows = pq.read_metadata(folder.kept(shard)).num_rows
                shards.append(PlannedShard(source, shard, rows))
        if len(shards) > self.most_shards:
            raise RecipeError(
                f"deduplicate: {len(shards):,} shards, but datatrove's files can tell "
                f"{self.most_shards:,} apart; make larger shards in the first step"
            )
        work = {"settings": self.settings, "shards": [asdict(shard) for shard in shards]}
        folder = work_dir(self.output_dir)
        if not any(folder.glob("done/*/*.json")):
            # datatrove takes every file it finds, also those of a killed run with another plan.
            shutil.rmtree(folder, ignore_errors=True)
        claim(folder, work)
        yield from ()


def _check_hashing() -> None:
    try:
        create_hash_func(HashConfig())("text")
    except TypeError as error:
        raise RecipeError(
            f"datatrove cannot hash with the xxhash that is installed ({error}); "
            "`pip install 'xxhash<4'`, as the extra datatrove[processing] does"
        ) from error


def allow_open_files(count: int) -> None:
    """Raise this process's limit of open files to what a block needs that opens all shards at once.

    Raises:
        RecipeError: the system does not let us.
    """
    needed = count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RecipeError(
            f"deduplicate: {needed:,} files have to be open at once, and the limit is {hard:,}; "
            "raise it (`ulimit -Hn`, LimitNOFILE, limits.conf), or make larger shards in the "
            "first step"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
