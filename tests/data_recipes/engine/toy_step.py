"""A step small enough to see through, for tests of the engine; importable by worker processes."""

import os
import sys
import time
from pathlib import Path

import pyarrow as pa

from data_recipes.common.errors import RecipeError
from data_recipes.engine.executors import ExecutorConfig, execute
from data_recipes.engine.steps import Outcome, ShardStep, StepFolder, decide

LIMIT = 400


class DropShort(ShardStep):
    """Rejects texts below `limit` characters; dies, fails, breaks or waits where a text says so."""

    name = "Drop short"

    def __init__(self, inputs: dict[str, Path], output_dir: Path, limit: int) -> None:
        super().__init__(inputs, output_dir)
        self.limit = limit

    def process(self, batch: pa.RecordBatch) -> Outcome:
        texts = batch.column("text").to_pylist()
        if "KILL" in texts and not (self.output_dir / "died").exists():
            (self.output_dir / "died").touch()
            os.kill(os.getpid(), 9)
        if "FAIL" in texts:
            raise RecipeError("a text says FAIL; take it out")
        if "BREAK" in texts:
            raise KeyError("a mistake in a step")
        if "WAIT" in texts:
            (self.output_dir / "waits").write_text(str(os.getpid()))
            time.sleep(60)
        reasons = ["too_short" if len(t) < self.limit else None for t in texts]
        details = [f"{len(t)} characters, at least {self.limit}" for t in texts]
        return decide(batch, reasons, details, characters=sum(map(len, texts)))


def count_kept(folder: Path, path: Path) -> None:
    """Writes how many documents a step kept."""
    path.write_text(str(StepFolder(folder).tally().documents_kept))


def run(root: Path, step: str, tasks: int = 1, workers: int = 1) -> StepFolder:
    """Drops the short texts of the source `web_ko`."""
    work = DropShort({"web_ko": root / "read" / "web_ko"}, root / step, LIMIT)
    execute(work, tasks, ExecutorConfig(workers=workers), root / step / "logs")
    return work.outputs["web_ko"]


if __name__ == "__main__":
    run(Path(sys.argv[1]), "filter")
