"""What several workers of a run of the tests need is made by the first of them that needs it."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


def make_once(root: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Make a directory, unless a worker has; wait while one does.

    Args:
        root: the same for all workers of a run.
        name: of the directory below it.
        make: fills the directory, which is there and empty.

    Returns:
        The directory, for all to read and none to change.
    """
    directory, made = root / name, root / f"{name}.made"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(directory, ignore_errors=True)  # of a worker that failed
            directory.mkdir()
            make(directory)
            made.touch()
    return directory
