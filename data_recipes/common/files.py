"""Files and run directories: whole or absent, one run at a time, its settings, and what made it."""

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
LOCK = ".lock"
SETTINGS = "settings.json"
MANIFEST = "manifest.json"  # of a set that was made: data, pictures, a graph
_SHOWN = 80  # characters of a value in a message
# Mappings of which the first that fits is taken: of a filter profile, kinds of documents.
_ORDERED = ("kinds",)


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


class DirectoryLock(AbstractContextManager):
    """Keeps a second run out of a directory for as long as this object is open.

    The system lets go when the process dies, however it dies. Who holds it stands in the file, and
    in the message to whoever comes second.

    Args:
        directory: made if it is not there.
        option: what the user set to choose it (`output_dir`, `--out`); begins the messages.
        name: of the lock's file. One of another name stands beside what it is for, among files of
            others, and is removed at the end.
        wait: wait for the other run, for work that is short and that both may do.

    Raises:
        RecipeError: another run holds it, or it cannot be written.
    """

    def __init__(
        self, directory: Path, option: str = "output_dir", name: str = LOCK, wait: bool = False
    ) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._path, self._remove = directory / name, name != LOCK
            self._file = _take(self._path, option, wait)
            self._file.truncate(0)
            json.dump({"process": os.getpid(), "host": socket.gethostname()}, self._file)
            self._file.flush()
        except OSError as error:
            raise RecipeError(
                f"{option} {directory}: cannot be written to ({error.strerror}); choose another "
                "directory or free space"
            ) from error

    def close(self) -> None:
        """Let another run in."""
        if self._remove and not self._file.closed:
            self._path.unlink(missing_ok=True)
        self._file.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _take(path: Path, option: str, wait: bool) -> IO[str]:
    """Open and lock a file; again if whoever held it has removed it meanwhile.

    Raises:
        RecipeError: another process holds it, and this one is not to wait.
    """
    while True:
        # Not "w", which would wipe out who holds it before it is known that nobody does.
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            with file:
                holder = _holder(file)
            raise RecipeError(
                f"{option} {path.parent} is in use by {holder}: another run is writing there; "
                "wait for it, stop it, or choose another directory"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        record = json.load(file)
        process, host = int(record["process"]), record["host"]
    except (ValueError, KeyError, TypeError):
        return "a process that left no name"  # of an older version, or just starting
    # Forked children (workers of a data loader) inherit the lock, and may outlive who took it.
    if host == socket.gethostname() and not Path("/proc", str(process)).exists():
        return f"a child of process {process} on {host}, which itself has ended"
    return f"process {process} on {host}"


def _without_empty(value: Any) -> Any:
    """Drop keys that say nothing: a key that came or went since, unset, is no difference."""
    if isinstance(value, dict):
        kept = {key: _without_empty(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, {}, [], "")}
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _differences(was: Any, now: Any, key: str) -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [*was, *(name for name in now if name not in was)]
        if key.rpartition(".")[2] in _ORDERED and set(was) == set(now) and list(was) != list(now):
            return [f"{key}: were in the order {', '.join(was)}, are in {', '.join(now)}"]
        inner = (_differences(was.get(k), now.get(k), f"{key}.{k}" if key else k) for k in keys)
        return [line for lines in inner for line in lines]
    return [] if was == now else [f"{key}: was {_shown(was)}, is {_shown(now)}"]


def find_differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Compare two nested dicts of settings, as JSON has them.

    An absent key equals one whose value is null or empty, so that records of older versions, which
    lacked a key or had one more, still match. The order of keys counts where it decides.

    Returns:
        A line per value that differs: `optimizer.learning_rate: was 0.001, is 0.01`.
    """
    now = json.loads(json.dumps(now))
    return _differences(_without_empty(was), _without_empty(now), "")


def check_settings(
    where: Path,
    was: dict[str, Any],
    now: dict[str, Any],
    remedy: str,
    what: str = "holds work done with other settings",
) -> None:
    """Refuse settings that differ from those that something was made with.

    Args:
        where: named first in the message.
        was: as recorded.
        now: as asked for.
        remedy: what to do, the last part of the message.
        what: said of `where`.

    Raises:
        RecipeError: names the sections that differ, then every value.
    """
    if lines := find_differences(was, now):
        sections = sorted({line.partition(":")[0].partition(".")[0] for line in lines})
        raise RecipeError(
            "\n  ".join([f"{where}: {what} ({', '.join(sections)}); {remedy}", *lines])
        )


def read_settings(record: Path, remedy: str = "") -> dict[str, Any] | None:
    """Read a record of settings, or any JSON object; `None` if there is none.

    Args:
        record: its file.
        remedy: what to do about a damaged one; by default to delete its directory.

    Raises:
        RecipeError: it is damaged.
    """
    if not record.is_file():
        return None
    try:
        settings = json.loads(record.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        remedy = remedy or f"delete {record.parent}"
        raise RecipeError(f"{record}: damaged ({error}); {remedy}") from error
    return settings


def bind_settings(
    directory: Path,
    settings: dict[str, Any],
    remedy: str,
    finished: Collection[str] | None = None,
    what: str = "holds work done with other settings",
) -> None:
    """Bind a directory to the settings that its contents are made with, before the first of them.

    Args:
        directory: made if it is not there.
        settings: what JSON can hold.
        remedy: what to do about settings that differ.
        finished: patterns (`Path.glob`) of what a finished piece of work leaves. As long as there
            is none, other settings may take the place of those that failed; without patterns the
            first settings hold.
        what: said of the directory when they differ.

    Raises:
        RecipeError: it holds work that was done with others, or a damaged record.
    """
    path = directory / SETTINGS
    if finished is None or any(any(directory.glob(pattern)) for pattern in finished):
        was = read_settings(path)
        if was is not None:
            check_settings(directory, was, settings, remedy, what)
            return
    write_json_atomically(path, settings)


def git_commit() -> str | None:
    """Commit of the recipes, with `+changes` if the tree differs; `None` outside a checkout."""
    here = Path(__file__).parent
    try:
        commit, status = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if status else commit


def processor() -> str:
    """Name the processor, as the system does."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            names = (line.partition(":")[2].strip() for line in handle if "model name" in line)
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()
