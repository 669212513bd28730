"""Files and folders that appear under their names only when whole, checksums, and a full disk."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import RecipeError

GO_ON = "free some space and run the same command to go on"
# No space, no quota, and a file larger than the system lets it be; and what torch's and numpy's
# writers say instead, as seen on a full disk: neither passes the system's words on.
_FULL = [re.escape(os.strerror(code)) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
_FULL += ["PytorchStreamWriter failed", r"unexpected pos \d+ vs \d+"]
_FULL += [r"\d+ requested and \d+ written"]
_FULL_DISK = re.compile("|".join(_FULL))


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def disk_full_reason(error: BaseException | None) -> str | None:
    """Return the words that say so if an error came of a full disk, else `None`.

    Arrow, safetensors, tokenizers, torch and numpy raise exceptions of their own without an
    `errno`, so the text is searched; and what they raise may be the cause of something else, so the
    chain is followed.
    """
    while error is not None:
        if found := _FULL_DISK.search(str(error)):
            return found[0]
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def disk_full_is_an_error(path: Path) -> Iterator[None]:
    """Turn any exception that says "no space left" into an error that says how to go on.

    Args:
        path: what is being written; the message names it.

    Raises:
        RecipeError: the disk, or the user's share of it, is full.
    """
    try:
        yield
    except RecipeError:
        raise
    except Exception as error:
        reason = disk_full_reason(error)
        if reason is None:
            raise
        raise RecipeError(
            f"{path}: the disk is full ({reason}). What was finished is kept: {GO_ON}"
        ) from error


def _flush_to_disk(path: Path, readable: int = 0) -> None:
    with path.open("rb") as handle:
        mode = os.fstat(handle.fileno()).st_mode
        if mode | readable != mode:
            os.fchmod(handle.fileno(), stat.S_IMODE(mode | readable))
        os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def staging_of(final: Path) -> Path:
    """Return where a file or folder lies until it is whole: `NAME.tmp`."""
    return final.with_name(final.name + ".tmp")


def publish(staged: Path, final: Path) -> None:
    """Flush a staged file or folder to the disk, then give it its name.

    What bears the name already is replaced; a folder is renamed before it is removed, so that a
    deletion that is cut short never leaves half of it under its name. Whoever the umask lets into
    a folder can read its files: safetensors writes them for their owner alone.
    """
    if staged.is_dir():
        readable = staged.stat().st_mode & 0o666
        for path in staged.rglob("*"):
            if path.is_file():
                _flush_to_disk(path, readable)
    else:
        _flush_to_disk(staged)
    if final.is_dir():
        old = final.with_name(final.name + ".old")
        _remove(old)
        final.rename(old)
        staged.replace(final)
        _remove(old)
    else:
        staged.replace(final)


@contextmanager
def staged_file(final: Path) -> Iterator[Path]:
    """Yield the path to write a file to; on a clean exit it is flushed and renamed to `final`.

    After an error nothing is left, and what was there under the name stays.

    Raises:
        RecipeError: the disk is full.
    """
    staging = staging_of(final)
    with disk_full_is_an_error(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove(staging)
        try:
            yield staging
            publish(staging, final)
        except BaseException:
            _remove(staging)
            raise


@contextmanager
def open_staged(final: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that gets its name when the block ends well (see `staged_file`).

    Args:
        final: the file.
        mode: `w` for UTF-8 text with `\\n` at line ends, `wb` for bytes.

    Raises:
        RecipeError: the disk is full.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with staged_file(final) as path, path.open(mode, **text) as handle:
        yield handle


@contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder to fill that becomes `final` when the block ends well: `staged_file`.

    Raises:
        RecipeError: the disk is full.
    """
    with staged_file(final) as path:
        path.mkdir()
        yield path


def write_json_atomically(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one.

    Raises:
        RecipeError: the disk is full.
    """
    with open_staged(path) as handle:
        json.dump(value, handle, ensure_ascii=False, indent=2)
        handle.write("\n")
