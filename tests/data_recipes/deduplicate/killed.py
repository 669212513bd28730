"""A run that is killed on the way: `python -m tests.data_recipes.deduplicate.killed …`.

Without anything that pytest needs, so that it starts fast.
"""

import json
import os
import signal
import sys
from pathlib import Path
from unittest import mock

from data_recipes.deduplicate import bloom, step
from data_recipes.deduplicate.config import DedupConfig
from data_recipes.deduplicate.step import DedupStep
from data_recipes.engine import steps

# In the middle of a shard; with all of its files but the counts; while the filter is saved, with
# the bits on disk and not the header.
PLACES = {
    "write": (step.DedupOutput, "add"),
    "counts": (steps, "write_json_atomically"),
    "save": (bloom, "write_json_atomically"),
}


def step_of(root: Path, output_dir: Path, **settings: object) -> DedupStep:
    """The step over the sources in `<root>/read`, in alphabetical order."""
    inputs = {path.name: path for path in sorted((root / "read").iterdir())}
    return DedupStep(inputs, output_dir, DedupConfig(**settings))


def main(root: str, output_dir: str, place: str, count: str, settings: str) -> None:
    """Run, and die at the `count`-th call at `place`."""
    owner, name = PLACES[place]
    real, calls = getattr(owner, name), 0

    def dies(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    with mock.patch.object(owner, name, dies):
        list(step_of(Path(root), Path(output_dir), **json.loads(settings)).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
