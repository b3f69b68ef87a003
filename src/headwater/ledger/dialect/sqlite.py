"""The ledger in an SQLite file."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...durable import crash_point, link_new, make_directory, sync_file
from ...errors import (
    ConflictError,
    CorruptError,
    HeadwaterError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from ..filesystem import file_system_of, refuse_network
from ..values import refused_text
from .seam import Connection, Cursor, Dialect, Mode, already, busy, disk_full, insert_statement, unfit

if TYPE_CHECKING:
    import sqlite3

_CREATE_TABLE = r"\s*CREATE\s+(TEMPORARY\s+)?TABLE\b"
_WITHOUT_ROWID = r"\)\s*WITHOUT\s+ROWID\s*$"
_SQLITE_FLOOR = (3, 37, 0)  # the first with STRICT tables; RETURNING is older
_WAITS_S = (0.0003, 0.0011, 0.0005, 0.0017, 0.0007, 0.0023, 0.0013)
_SQLITE_SETTINGS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA case_sensitive_like = ON",
    "PRAGMA cache_size = -8000",
    "PRAGMA journal_size_limit = 67108864",
)


class SQLite(Dialect):
    """A file beside its write-ahead log: one writer at a time, readers never wait."""

    name = "sqlite"
    # strftime's %f has milliseconds; unixepoch('subsec') is younger than our floor.
    clock_sql = (
        "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)"
    )
    most_connections = 256

    def __init__(self, path: Path, timeout_s: float, file_system: Callable[[Path], str] = file_system_of) -> None:
        import sqlite3

        self.path = path.absolute()
        self.timeout_s = timeout_s
        self.shown = str(path)
        self.errors = (sqlite3.Error, UnicodeEncodeError, OverflowError)
        self._file_system = file_system

    def connect(self, *, writing: bool) -> Connection:
        if not self.path.is_file():
            raise NotFoundError(
                f"there is no ledger at '{self.shown}'. 'hw init' makes a project.",
                path=self.shown,
            )
        refuse_network(self.path.parent, self._file_system)
        return self._connect(self.path, writing=writing)

    def _connect(self, path: Path, *, writing: bool) -> sqlite3.Connection:
        import sqlite3

        if sqlite3.sqlite_version_info < _SQLITE_FLOOR:
            raise UnavailableError(
                f"this Python brings SQLite {sqlite3.sqlite_version}; Headwater needs 3.37 or newer. "
                "Use a newer Python, or a Postgres ledger."
            )
        mode = "rwc" if path != self.path else "rw"
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={mode}", uri=True, timeout=self.timeout_s, isolation_level=None,
            check_same_thread=False, cached_statements=512,
        )  # fmt: skip
        try:
            for setting in _SQLITE_SETTINGS:
                connection.execute(setting)
            journal = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if journal != "wal":
                raise StorageError(
                    f"SQLite could not switch '{self.shown}' to its write-ahead log (it uses '{journal}'). "
                    "Put the project on a local disk.",
                    path=self.shown,
                )
            connection.execute("PRAGMA busy_timeout = 0" if writing else "PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def create(self, fill: Callable[[Connection], None]) -> None:
        # Made beside its place and linked to its name when whole: whoever opens it sees all of it or nothing.
        if self.path.exists():
            raise self._taken()
        make_directory(self.path.parent, "ledger.create")
        refuse_network(self.path.parent, self._file_system)
        temporary = self.path.parent / f".{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        try:
            with contextlib.closing(self._connect(temporary, writing=True)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                fill(connection)
                crash_point("ledger.create.commit")
                connection.execute("COMMIT")
            self._name(temporary)
        finally:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{temporary}{suffix}").unlink(missing_ok=True)

    def _name(self, temporary: Path) -> None:
        with open(temporary, "rb+") as file:
            sync_file(file.fileno(), "ledger.create")
        if not link_new(temporary, self.path, "ledger.create"):
            raise self._taken()

    def _taken(self) -> ConflictError:
        return ConflictError(
            f"there is already a ledger at '{self.shown}'. Open it, or choose another place.", path=self.shown
        )

    def begin(self, connection: Connection, mode: Mode) -> int:
        if mode == "read":
            connection.execute("BEGIN")
        else:
            self._begin_alone(connection)
        return int(connection.execute("SELECT schema FROM ledger_meta").fetchone()[0])

    def _begin_alone(self, connection: sqlite3.Connection) -> None:
        # SQLite's own waiting sleeps up to 100 ms a time. With 8 processes writing all the time (2 busy cores), the
        # longest wait was 4 s; looking every millisecond or so made it 0.7 s, and the sum of transactions 2.5 times.
        import sqlite3

        give_up_at = time.monotonic() + self.timeout_s
        for wait_s in itertools.cycle(_WAITS_S):
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_at:
                    raise
            time.sleep(wait_s)

    def rollback(self, connection: Connection) -> None:
        # A full disk makes SQLite roll back by itself: then there is nothing left to forget.
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def execute(self, connection: Connection, sql: str, params: Sequence[Any]) -> Cursor:
        for value in params:
            if value.__class__ is str and "\0" in value:
                raise refused_text("it has a NUL character")
        return connection.execute(sql, params)

    def insert_many(
        self, connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        self.executemany(connection, insert_statement(table, tuple(columns)), rows)

    def executemany(self, connection: Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        connection.executemany(sql, _without_nul(rows))

    def stream(self, connection: Connection, sql: str, params: Sequence[Any]) -> Cursor:
        return self.execute(connection, sql, params)

    def ddl(self, statement: str) -> str:
        # STRICT makes SQLite refuse what Postgres refuses: text in an INTEGER column.
        if not re.match(_CREATE_TABLE, statement, re.IGNORECASE):
            return statement
        return statement + (", STRICT" if re.search(_WITHOUT_ROWID, statement, re.IGNORECASE) else " STRICT")

    def table_columns(self, connection: Connection) -> dict[str, list[str]]:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
        )
        return {
            table: [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for (table,) in tables.fetchall()
        }

    def error(self, error: BaseException) -> HeadwaterError:
        if isinstance(error, UnicodeEncodeError):
            return refused_text("it is not Unicode (a lone surrogate)")
        if isinstance(error, OverflowError):
            return InvalidInputError("the ledger cannot hold this number: it has more than 64 bits.")
        return _sqlite_error(error, self.shown, self.timeout_s)

    def broken(self, connection: Connection) -> bool:
        return False

    def backup(self, target: Path) -> None:
        """Write a whole, consistent copy to a new file, durably; writers do not wait for it.

        Raises:
            ConflictError: the file exists.
            StorageError: it could not be written.
        """
        if target.exists():
            raise ConflictError(f"'{target}' exists: a backup never overwrites. Choose another name.", path=str(target))
        make_directory(target.absolute().parent, "ledger.backup")
        temporary = target.absolute().parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        try:
            with contextlib.closing(self._connect(self.path, writing=True)) as connection:
                connection.execute("VACUUM INTO ?", (str(temporary),))
            with open(temporary, "rb+") as file:
                sync_file(file.fileno(), "ledger.backup")
            if not link_new(temporary, target, "ledger.backup"):
                raise ConflictError(f"'{target}' exists: a backup never overwrites.", path=str(target))
        except self.errors as error:
            raise self.error(error) from error
        finally:
            temporary.unlink(missing_ok=True)


def _without_nul(rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    for row in rows:
        for value in row:
            if value.__class__ is str and "\0" in value:
                raise refused_text("it has a NUL character")
        yield row


def _sqlite_error(error: BaseException, shown: str, timeout_s: float) -> HeadwaterError:
    import sqlite3

    code = getattr(error, "sqlite_errorname", None) or ""
    if code in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"):
        return already(str(error).rpartition(": ")[2])
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError):
        return unfit(str(error))
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return busy(shown, timeout_s)
    if code == "SQLITE_FULL":
        return disk_full(shown)
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return CorruptError(
            f"the ledger '{shown}' is damaged: {error}. Copy it aside as it is, then restore the last backup.",
            path=shown,
        )
    if code == "SQLITE_READONLY" and "attempt to write" in str(error):
        return StorageError(
            f"nothing was written to the ledger '{shown}': {error}. A transaction begun with read() cannot write; "
            "otherwise check the owner and the permissions of the file.",
            path=shown,
        )
    return StorageError(
        f"the ledger '{shown}' failed: {error}. Nothing acknowledged is lost; check the disk and the permissions of "
        "the project's folder.",
        path=shown,
        code=code,
    )
