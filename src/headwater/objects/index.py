"""The local index: where each object lies, in an SQLite file that can always be rebuilt from the packs' footers.

It is a cache: when the file is missing, damaged, of another format or of another store, it is made anew. Packs not
yet in the ledger's list are marked so; any process of this machine sees them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from headwater.errors import StorageError

from .packs import Footer
from .values import Location, PackRecord

FORMAT = 2
_GROUP = 500
_BUSY_S = 60
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE packs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    recorded INTEGER NOT NULL
);
CREATE INDEX packs_waiting ON packs (number) WHERE recorded = 0;
CREATE TABLE entries (
    digest BLOB PRIMARY KEY,
    pack INTEGER NOT NULL,
    at INTEGER NOT NULL,
    length INTEGER NOT NULL,
    size INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    list BLOB
) WITHOUT ROWID;
CREATE TABLE damaged (digest BLOB PRIMARY KEY, pack TEXT NOT NULL) WITHOUT ROWID;
"""
_FIND = (
    "SELECT e.digest, p.id, e.at, e.length, e.size, e.kind, e.list "
    "FROM entries e JOIN packs p ON p.number = e.pack WHERE e.digest IN "
)
# Connections made before a fork must neither be used nor closed after it: closing would drop the parent's locks.
_from_before_a_fork: list[sqlite3.Connection] = []
T = TypeVar("T")


class Index:
    """Lookups by digest over thousands of packs. Safe from threads and from several processes."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._path = folder / "index.sqlite"
        self._identity = identity
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._guard = threading.RLock()
        self.rebuild: Callable[[], None] = lambda: None

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        """Return the locations of those of the digests that are known."""

        def look(connection: sqlite3.Connection) -> dict[bytes, Location]:
            found: dict[bytes, Location] = {}
            if connection.execute("SELECT 1 FROM packs LIMIT 1").fetchone() is None:
                return found
            for first in range(0, len(digests), _GROUP):
                group = digests[first : first + _GROUP]
                marks = ",".join("?" * len(group))
                for row in connection.execute(f"{_FIND} ({marks})", group):
                    found[row[0]] = Location._make(row[1:])
            return found

        return self._with(look)

    def find_one(self, digest: bytes) -> Location | None:
        """Return the location of a digest, None when it is not known."""
        row = self._with(lambda connection: connection.execute(f"{_FIND} (?)", (digest,)).fetchone())
        return None if row is None else Location(*row[1:])

    def add(self, record: PackRecord, footer: Footer, *, recorded: bool) -> None:
        """Take in a pack with its entries; an entry known already moves to a pack that the ledger lists."""

        def insert(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                row = connection.execute("SELECT number, recorded FROM packs WHERE id = ?", (record.id,)).fetchone()
                if row is not None:
                    if recorded and not row[1]:
                        connection.execute("UPDATE packs SET recorded = 1 WHERE number = ?", (row[0],))
                    return
                number = connection.execute(
                    "INSERT INTO packs (id, size, entries, created_at, recorded) VALUES (?, ?, ?, ?, ?)",
                    (record.id, record.size, record.entries, record.created_at, int(recorded)),
                ).lastrowid
                # The list's packs win over those that may never be listed, and the newest of them over those that were
                # written anew into it and went.
                verb = "REPLACE" if recorded else "IGNORE"
                self._heal(connection, record.id, footer)
                connection.executemany(
                    f"INSERT OR {verb} INTO entries VALUES (?, {number}, ?, ?, ?, ?, ?)",
                    zip(
                        footer.digests(), footer.offsets, footer.lengths, footer.sizes, footer.kinds, footer.checks(),
                        strict=True,
                    ),
                )  # fmt: skip

        self._with(insert)

    def _heal(self, connection: sqlite3.Connection, pack: str, footer: Footer) -> None:
        """Let the entries of a new pack take the place of those that were found damaged in another."""
        damaged = connection.execute("SELECT digest FROM damaged WHERE pack <> ?", (pack,)).fetchall()
        if damaged:
            here = set(footer.digests())
            for (digest,) in damaged:
                if digest in here:
                    connection.execute("DELETE FROM entries WHERE digest = ?", (digest,))
                    connection.execute("DELETE FROM damaged WHERE digest = ?", (digest,))

    def mark_damaged(self, digest: bytes, pack: str) -> None:
        """Note that an entry's bytes in this pack are not what its digest says, if that is where it is looked for."""

        def mark(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO damaged SELECT e.digest, p.id FROM entries e JOIN packs p ON p.number = e.pack "
                "WHERE e.digest = ? AND p.id = ?",
                (digest, pack),
            )

        self._with(mark)

    def mend(self, pack: str) -> None:
        """Note that a pack was read whole: it was brought back, and nothing in it is damaged any longer."""
        self._with(lambda c: c.execute("DELETE FROM damaged WHERE pack = ?", (pack,)))

    def damaged(self) -> dict[bytes, str]:
        """Return the digests whose entries were found damaged, and no other put since, with their packs."""
        return dict(self._with(lambda c: c.execute("SELECT digest, pack FROM damaged").fetchall()))

    def waiting(self) -> list[PackRecord]:
        """Return the packs that the ledger does not list yet, oldest first."""
        return self._records("SELECT id, size, entries, created_at FROM packs WHERE recorded = 0 ORDER BY number")

    def _records(self, query: str, values: tuple[str, ...] = ()) -> list[PackRecord]:
        rows = self._with(lambda connection: connection.execute(query, values).fetchall())
        return [
            PackRecord(id=pack, size=size, entries=entries, footer_digest=pack, created_at=created_at)
            for pack, size, entries, created_at in rows
        ]

    def mark_recorded(self, packs: Sequence[str]) -> None:
        """Note that the ledger lists these packs now."""

        def mark(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.executemany("UPDATE packs SET recorded = 1 WHERE id = ?", [(pack,) for pack in packs])

        if packs:
            self._with(mark)

    def known(self) -> set[str]:
        """Return the ids of all packs that were taken in."""
        return {
            pack for (pack,) in self._with(lambda connection: connection.execute("SELECT id FROM packs").fetchall())
        }

    def chunked(self) -> list[tuple[bytes, Location]]:
        """Return every object that is kept as a chunk list."""
        query = _FIND.replace("e.digest IN ", "e.kind = 1")
        return [(row[0], Location(*row[1:])) for row in self._with(lambda c: c.execute(query).fetchall())]

    def locations(self, pack: str) -> list[tuple[bytes, Location]]:
        """Return the entries whose place is this pack."""
        query = _FIND.replace("WHERE e.digest IN ", "WHERE p.id = ?")
        return [(row[0], Location(*row[1:])) for row in self._with(lambda c: c.execute(query, (pack,)).fetchall())]

    def record(self, pack: str) -> PackRecord | None:
        """Return a pack that was taken in, None when it was not."""
        found = self._records("SELECT id, size, entries, created_at FROM packs WHERE id = ?", (pack,))
        return found[0] if found else None

    def records(self) -> list[PackRecord]:
        """Return every pack that was taken in, oldest first."""
        return self._records("SELECT id, size, entries, created_at FROM packs ORDER BY number")

    def forget(self, pack: str) -> None:
        """Leave out a pack and its entries: it is no longer there, or is to be read again."""

        def remove(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                row = connection.execute("SELECT number FROM packs WHERE id = ?", (pack,)).fetchone()
                if row is not None:
                    connection.execute("DELETE FROM entries WHERE pack = ?", row)
                    connection.execute("DELETE FROM packs WHERE number = ?", row)
                    connection.execute("DELETE FROM damaged WHERE pack = ?", (pack,))

        self._with(remove)

    @property
    def seq(self) -> int:
        """How far the ledger's list of packs was followed."""
        row = self._with(lambda c: c.execute("SELECT value FROM meta WHERE name = 'seq'").fetchone())
        return int(row[0]) if row else 0

    def follow(self, seq: int) -> None:
        """Note how far the ledger's list was followed; it never goes back."""
        if seq > self.seq:
            self._with(lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES ('seq', ?)", (str(seq),)))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._guard:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _with(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``act`` on the open file; where the file proves damaged, make it anew and run once more."""
        if self._process != os.getpid():
            self._after_fork()
        with self._guard:
            try:
                return act(self._opened())
            except sqlite3.OperationalError as error:
                if "malformed" not in str(error) and "no such" not in str(error):
                    raise _failed(error, self._path) from error
            except sqlite3.DatabaseError:
                pass
            self._discard()
            try:
                return act(self._opened())
            except sqlite3.Error as error:
                raise _failed(error, self._path) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
            try:
                self._build()
            except BaseException:  # an index that is half built must not be taken for a whole one
                self.close()
                raise
        return self._connection

    def _build(self) -> None:
        """Fill a new file, once; ``rebuild`` adds to it through this same connection."""
        assert self._connection is not None
        if not self._connection.execute("SELECT 1 FROM meta WHERE name = 'built'").fetchone():
            self.rebuild()
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('built', 'yes')")

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                # NORMAL syncs at checkpoints alone: a power cut loses the last rows, never the file's structure.
                _use_write_ahead_log(connection)
                connection.execute("PRAGMA synchronous = NORMAL")
                with _transaction(connection):
                    if self._fits(connection):
                        return connection
            except sqlite3.DatabaseError as error:
                connection.close()
                if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                    raise
                self._discard()
                continue
            connection.close()
            self._discard()
        raise sqlite3.DatabaseError("the index could not be made anew")

    def _fits(self, connection: sqlite3.Connection) -> bool:
        """Tell whether the file is an index of this format and store; an empty one is made so."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('store', ?)", (self._identity,))
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            return True
        if version != FORMAT:
            return False
        row = connection.execute("SELECT value FROM meta WHERE name = 'store'").fetchone()
        return row is not None and row[0] == self._identity

    def _discard(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _after_fork(self) -> None:
        if self._connection is not None:
            _from_before_a_fork.append(self._connection)
        self._connection = None
        self._guard = threading.RLock()
        self._process = os.getpid()


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # While another process makes the same switch, SQLite says "locked" at once, whatever the timeout.
    give_up_at = time.monotonic() + _BUSY_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.002)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _failed(error: sqlite3.Error, path: Path) -> StorageError:
    return StorageError(
        f"the index of objects '{path}' could not be used: {error}. Nothing acknowledged is lost; free space or check "
        "who may write there, then run it again. The file is a cache and may be removed.",
        path=str(path),
    )
