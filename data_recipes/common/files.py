"""Files written whole, their checksums, and a disk that is full."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import RecipeError


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_json_atomically(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(value, handle, ensure_ascii=False, indent=2)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


# No space, no quota, and a file larger than the system lets it be.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_full_is_an_error(path: Path) -> Iterator[None]:
    """Turns "no space left" while writing `path` into an error that says how to go on."""
    try:
        yield
    except OSError as error:
        # Arrow raises its own OSError, not always with a number.
        if error.errno not in _FULL and not any(os.strerror(n) in str(error) for n in _FULL):
            raise
        raise RecipeError(
            f"{path}: the disk is full. Shards that were finished are kept; free some space and "
            "run the same command to go on"
        ) from error
