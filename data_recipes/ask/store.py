"""Answers on disk, one SQLite file per endpoint.

SQLite because it keeps what was committed when the process is killed, drops what was half written,
and holds the index outside of memory; an answer is committed before the next request is sent in its
place. The write-ahead log is not flushed to the disk at every answer: a machine that loses power
loses the last ones and asks them again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, fields
from pathlib import Path

from ..common.errors import RecipeError
from .exchange import Answer, Spent

_COLUMNS = [field.name for field in fields(Answer)]
_SPENT = [field.name for field in fields(Spent)]
# The long columns last: SQLite reads a row up to the last column that is asked for.
_ORDER = [name for name in _COLUMNS if name not in ("text", "reasoning")] + ["text", "reasoning"]
_TABLES = f"""
CREATE TABLE IF NOT EXISTS answers (id BLOB PRIMARY KEY, {", ".join(_ORDER)});
CREATE TABLE IF NOT EXISTS spent (one INTEGER PRIMARY KEY CHECK (one = 1), {", ".join(_SPENT)});
INSERT OR IGNORE INTO spent VALUES (1, 0, 0, 0, 0.0);
"""
_ADD = (
    f"INSERT INTO answers (id, {', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join('?' * (len(_COLUMNS) + 1))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
    + " WHERE answers.status <> 'answered'"
)
_PAY = "UPDATE spent SET " + ", ".join(f"{name} = {name} + ?" for name in _SPENT)


class AnswerStore(AbstractContextManager):
    """The answers of a run, and of the runs that went before it.

    One process at a time uses an endpoint's file.

    Args:
        folder: where the files are, `<folder>/<endpoint>.sqlite`; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, sqlite3.Connection] = {}

    def get(self, endpoint: str, key: bytes) -> Answer | None:
        """Return the answer to a request, if there is one."""
        with self._open(endpoint) as file:
            select = f"SELECT {', '.join(_COLUMNS)} FROM answers WHERE id = ?"
            row = file.execute(select, (key,)).fetchone()
        return Answer(*row) if row else None

    def settled(self, endpoint: str, key: bytes) -> bool:
        """Tell whether there is an answer that will not be asked for again.

        A refusal is one from an endpoint that ever answered. One that did not may have refused the
        name of the model or a setting, and not the prompts.
        """
        with self._open(endpoint) as file:
            row = file.execute("SELECT status FROM answers WHERE id = ?", (key,)).fetchone()
            if row is not None and row[0] == "refused":
                return bool(file.execute("SELECT answers FROM spent").fetchone()[0])
        return row is not None and row[0] == "answered"

    def add(self, endpoint: str, key: bytes, answer: Answer) -> None:
        """Keep an answer and what it cost; what was answered already stays."""
        paid = Spent(
            int(answer.status == "answered"),
            answer.prompt_tokens,
            answer.completion_tokens,
            answer.cost,
        )
        with self._open(endpoint) as file, _transaction(file):
            file.execute(_ADD, (key, *astuple(answer)))
            file.execute(_PAY, astuple(paid))

    def pay(self, endpoint: str, answer: Answer) -> None:
        """Count what an answer cost that cannot be used."""
        paid = Spent(1, answer.prompt_tokens, answer.completion_tokens, answer.cost)
        with self._open(endpoint) as file:
            file.execute(_PAY, astuple(paid))

    def spent(self) -> Spent:
        """Return what was paid so far, by this run and those before it, over all endpoints."""
        total = Spent()
        for path in sorted(self.folder.glob("*.sqlite")):
            with self._open(path.stem) as file:
                row = file.execute(f"SELECT {', '.join(_SPENT)} FROM spent").fetchone()
            total += Spent(*row)
        return total

    @contextmanager
    def _open(self, endpoint: str) -> Iterator[sqlite3.Connection]:
        path = self.folder / f"{endpoint}.sqlite"
        try:
            if endpoint not in self._files:
                self._files[endpoint] = _connect(path)
            yield self._files[endpoint]
        except sqlite3.DatabaseError as error:
            raise RecipeError(f"{path}: {error}; {_remedy(path, error)}") from error

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.popitem()[1].close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _remedy(path: Path, error: sqlite3.DatabaseError) -> str:
    code = (error.sqlite_errorcode or 0) & 0xFF  # without what SQLite adds about the place
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another run is at work there; wait for it"
    if code == sqlite3.SQLITE_FULL:
        return "free some space and run the same command to go on"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        name = path.name
        return (
            "the file is damaged. Its answers were paid for, so save what can be read: "
            f"`cd {path.parent} && mkdir damaged && mv {name}* damaged && sqlite3 damaged/{name} "
            # Half a dump ends with a rollback of what it could read.
            f".dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 {name}`; then run the same command, "
            "which asks for the rest"
        )
    return "look at the disk and at who may write there; the answers in it stay"


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(path, timeout=1, isolation_level=None)
    try:
        # Exclusive: no shared memory, which network file systems lack, and no second run.
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        file.executescript(_TABLES)
        file.execute("BEGIN EXCLUSIVE")
        file.execute("COMMIT")
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN")
    try:
        yield
    except BaseException:
        file.execute("ROLLBACK")
        raise
    file.execute("COMMIT")
