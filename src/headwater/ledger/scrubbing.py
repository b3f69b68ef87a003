"""Leaving nothing of erased facts in the database's own files: free pages, the write-ahead log, dead rows."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from ..durable import crash_point
from ..errors import ConflictError
from .dialect import SQLite

if TYPE_CHECKING:
    from .ledger import Ledger


def scrub(ledger: Ledger) -> None:
    """Write the database anew without its free space, so that what was deleted or changed is in none of its files.

    SQLite: VACUUM, then the write-ahead log is emptied. Postgres: VACUUM FULL; its archived log and its backups are
    the operator's.

    Raises:
        ConflictError: somebody reads an old state: the log cannot be emptied now.
    """
    crash_point("ledger.scrub")
    dialect = ledger._dialect
    if not isinstance(dialect, SQLite):
        connection = dialect.connect(writing=True)
        try:
            with contextlib.suppress(Exception):
                connection.rollback()
            connection.autocommit = True
            connection.execute("VACUUM (FULL)")
        except dialect.errors as error:
            raise dialect.error(error) from error
        finally:
            connection.close()
        return
    ledger.close()  # the pools' connections would keep the log in use; they open again by themselves
    try:
        with contextlib.closing(sqlite3.connect(dialect.path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        raise dialect.error(error) from error
    if busy:
        raise ConflictError(
            f"the log of '{dialect.shown}' cannot be emptied: somebody is reading an old state of the ledger. "
            "Stop other programs of this project, then run it again.",
            ledger=dialect.shown,
        )
