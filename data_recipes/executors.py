"""Where steps run: datatrove's executors behind one config section."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from pydantic import Field

from .strict_yaml import Strict


class ExecutorConfig(Strict):
    """How the work of a step is spread.

    Attributes:
        kind: `local`: processes on this machine.
        workers: processes at a time.
    """

    kind: Literal["local"] = "local"
    workers: int = Field(default=1, gt=0)


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    # By descriptor, so that it holds for worker processes too: datatrove describes every step and
    # prints every traceback there, and its files under `logs` have the same.
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def execute(pipeline: list[PipelineStep], tasks: int, config: ExecutorConfig, logs: Path) -> None:
    """Run `pipeline` as `tasks` tasks and wait for them.

    The steps themselves know what is done already, so every task is started again on every call.

    Raises:
        RecipeError: whatever a step raised.
    """
    executor = LocalPipelineExecutor(
        pipeline=pipeline,
        tasks=tasks,
        workers=min(config.workers, tasks),
        logging_dir=str(logs),
        skip_completed=False,
        # Not forkserver, whose children would keep the first step's stderr for good.
        start_method="spawn",
    )
    with _stderr_to(logs / "console.txt"):
        executor.run()
