"""The ledger: opening, creating, and its transactions."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Self

from ..durable import crash_point
from ..errors import HeadwaterError, InvalidInputError, UpgradeNeededError
from . import chain
from .dialect import DEFAULT_TIMEOUT_S, Connection, Dialect, Mode, SQLite, busy, dialect_of, unknown_outcome
from .pool import Pool
from .transaction import Tx, WriteTx

SCHEMA = 1
Clock = Callable[[], int]


class Ledger:
    """The facts of one project, behind SQLite or Postgres; may be used from many threads, and after a fork.

    ``before_commit`` hooks run inside each write transaction, just before it commits, and may record more or refuse
    by raising; ``after_commit`` hooks run when the facts are durable: what they raise is logged, since it cannot undo.
    """

    def __init__(self, dialect: Dialect, clock: Clock, schema: int = SCHEMA) -> None:
        self.clock = clock
        self.schema = schema
        self.before_commit: list[Callable[[WriteTx], None]] = []
        self.after_commit: list[Callable[[], None]] = []
        self.project_id = ""
        self.name = ""
        self.created_at = 0
        self._dialect = dialect
        self._readers = Pool(dialect, writing=False)
        self._writers = Pool(dialect, writing=True)
        self._turn = threading.Lock()
        self._mine = threading.local()
        self._process = os.getpid()

    @property
    def dialect(self) -> Literal["sqlite", "postgres"]:
        """Which of the two databases it is."""
        return self._dialect.name

    @property
    def where(self) -> str:
        """The address as people may see it, without a password."""
        return self._dialect.shown

    @property
    def writing_here(self) -> bool:
        """Whether this thread is inside a write transaction of this ledger."""
        self._after_fork()
        return bool(getattr(self._mine, "writing", False))

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """Begin a snapshot: everything asked in its block is of one moment. It never waits for writers.

        Raises:
            UnavailableError: the database does not answer.
            UpgradeNeededError: the ledger was upgraded since it was opened.
        """
        self._after_fork()
        with self._begun(self._readers, "read") as connection:
            tx = Tx(self._dialect, connection)
            try:
                yield tx
            finally:
                tx._end()

    @contextlib.contextmanager
    def write(self, *, alone: bool = True) -> Iterator[WriteTx]:
        """Begin a transaction that is durable when its block ends, or forgotten when the block raises.

        It has the ledger to itself, on Postgres too, so that looking first and recording then is safe. ``alone=False``
        is for rows that nobody else writes and that take no number (the tail of events): on Postgres such
        transactions run beside others; SQLite has one writer at a time in any case.

        Raises:
            ConflictError: on Postgres, another transaction came in between (only with ``alone=False``).
            UnavailableError: others kept the ledger busy, or the database does not answer.
            StorageError: the disk is full or failed.
            UpgradeNeededError: the ledger was upgraded since it was opened.
        """
        self._after_fork()
        if getattr(self._mine, "writing", False):
            raise InvalidInputError(
                "this thread is already writing to this ledger: a second write() would wait for the first for ever. "
                "Pass the open transaction to the function that needs it."
            )
        self._mine.writing = True
        try:
            with self._in_turn(alone):
                yield from self._writing("write" if alone else "write beside")
        finally:
            self._mine.writing = False
        self._run_after_commit()

    @contextlib.contextmanager
    def fenced(self, lease: str, token: int) -> Iterator[None]:
        """Let what this thread records, until the block ends, commit only for the current holder of a lease.

        Whatever rooms take part in long work need not know of its lease: none of their transactions outlives it.

        Raises:
            ConflictError: in a transaction of the block, when somebody else took the lease since; nothing is recorded.
        """
        self._after_fork()
        before = getattr(self._mine, "fence", None)
        self._mine.fence = (lease, token)
        try:
            yield
        finally:
            self._mine.fence = before

    def export_head(self) -> chain.Head:
        """Return the head of the chain of governance, to be kept where the ledger's owner is not."""
        with self.read() as tx:
            return chain.head_of(tx)

    def backup(self, path: Path) -> None:
        """Write a whole, consistent copy as a new SQLite ledger; readers and writers go on meanwhile.

        Raises:
            ConflictError: there is a file of that name.
            StorageError: it could not be written.
        """
        if isinstance(self._dialect, SQLite):
            self._dialect.backup(path)
            return
        from .statements import schema_statements
        from .transfer import copy_to_new

        with self.read() as tx:
            copy_to_new(tx, path, schema_statements())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; those in use close when their transaction ends."""
        self._readers.close()
        self._writers.close()

    # ---- within

    def _writing(self, mode: Mode) -> Iterator[WriteTx]:
        with self._begun(self._writers, mode) as connection:
            tx = WriteTx(self._dialect, connection, self.clock())
            try:
                yield tx
                for hook in self.before_commit:
                    hook(tx)
                if (fence := getattr(self._mine, "fence", None)) is not None:
                    tx.fence(*fence)
                if tx._failed is not None:
                    # The block caught the error of a statement; what it recorded cannot be kept all the same.
                    raise tx._failed
            finally:
                tx._end()
            self._commit(connection)

    def _commit(self, connection: Connection) -> None:
        crash_point("ledger.commit")
        try:
            self._dialect.commit(connection)
        except self._dialect.errors as error:
            if self._dialect.broken(connection):
                unknown_outcome(self.where, error)
            raise self._dialect.error(error) from error
        crash_point("ledger.committed")

    @contextlib.contextmanager
    def _begun(self, pool: Pool, mode: Mode) -> Iterator[Connection]:
        connection, schema = self._begin(pool, mode)
        self._mine.held = getattr(self._mine, "held", 0) + 1
        broken = True
        try:
            if schema != self.schema:
                raise upgrade_needed(self.where, schema, self.schema)
            yield connection
            # A reader has all it asked for: that the connection went away at its end takes nothing from it.
            broken = self._forget(connection) if mode == "read" else False
        except BaseException:
            broken = self._forget(connection)
            raise
        finally:
            self._mine.held -= 1
            pool.give_back(connection, broken=broken)

    def _begin(self, pool: Pool, mode: Mode) -> tuple[Connection, int]:
        """Begin on a pooled connection; one that turns out dead is replaced once, since nothing was asked of it yet."""
        for last in (False, True):
            connection = pool.take(holding=getattr(self._mine, "held", 0) > 0)
            try:
                return connection, self._dialect.begin(connection, mode)
            except BaseException as error:
                dead = self._forget(connection)
                pool.give_back(connection, broken=dead)
                if not isinstance(error, self._dialect.errors):
                    raise
                if last or not dead:
                    raise self._dialect.error(error) from error
                pool.clear()
        raise AssertionError("unreachable")

    def _forget(self, connection: Connection) -> bool:
        """Roll back; returns whether the connection is of no more use."""
        if self._dialect.broken(connection):
            return True
        try:
            self._dialect.rollback(connection)
        except self._dialect.errors:
            return True
        return self._dialect.broken(connection)

    @contextlib.contextmanager
    def _in_turn(self, alone: bool) -> Iterator[None]:
        # Threads queue here rather than at the database: SQLite's own waiting sleeps, and on Postgres each
        # waiting transaction would hold a connection.
        if not alone and self.dialect == "postgres":
            yield
            return
        if not self._turn.acquire(timeout=self._dialect.timeout_s):
            raise busy(self.where, self._dialect.timeout_s)
        try:
            yield
        finally:
            self._turn.release()

    def _run_after_commit(self) -> None:
        for hook in self.after_commit:
            try:
                hook()
            except Exception:  # any hook may raise anything; it is logged
                import logging

                logging.getLogger("headwater.ledger").exception("a hook failed after its facts were committed")

    def _after_fork(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._turn = threading.Lock()
            self._mine = threading.local()


def open_ledger(url: str | Path, clock: Clock, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Ledger:
    """Open a ledger: the path of an SQLite file, or ``postgresql://...``. Nothing is ever migrated by opening.

    ``clock`` gives the time in UTC microseconds; ``timeout_s`` is how long a writer waits for others.

    Raises:
        NotFoundError: there is none.
        UpgradeNeededError: it has an older or a newer schema than this program.
        StorageError: it is damaged, or lies on a network file system.
        UnavailableError: the database does not answer.
    """
    ledger = Ledger(dialect_of(url, timeout_s), clock)
    return _introduced(ledger)


def create_ledger(
    url: str | Path, clock: Clock, project_id: str, name: str, *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> Ledger:
    """Create a ledger of the current schema, wholly or not at all, and open it.

    Raises:
        ConflictError: there is one already.
        StorageError: the disk is full, not writable, or shared over a network.
        UnavailableError: the database does not answer.
    """
    from .statements import schema_statements

    dialect = dialect_of(url, timeout_s)

    def fill(connection: Connection) -> None:
        for statement in schema_statements():
            dialect.execute(connection, dialect.ddl(statement), ())
        meta = "INSERT INTO ledger_meta (id, project, name, schema, created_at) VALUES (1, ?, ?, ?, ?)"
        dialect.execute(connection, meta, (project_id, name, SCHEMA, clock()))

    try:
        dialect.create(fill)
    except dialect.errors as error:
        raise dialect.error(error) from error
    return _introduced(Ledger(dialect, clock))


def upgrade_needed(where: str, found: int, wanted: int) -> UpgradeNeededError:
    """Return the error for a ledger whose schema is not the program's."""
    if found < wanted:
        advice = "The ledger is older: run 'hw upgrade', which backs up first."
    else:
        advice = "The ledger is newer: install the Headwater that upgraded it (pip install --upgrade headwater)."
        advice += " 'hw upgrade' never goes back."
    return UpgradeNeededError(
        f"the ledger '{where}' has schema {found}, this program has {wanted}. {advice}", found=found, wanted=wanted
    )


def _introduced(ledger: Ledger) -> Ledger:
    try:
        with ledger.read() as tx:
            meta = tx.one("SELECT project, name, created_at FROM ledger_meta")
        assert meta is not None  # read() found its schema number in this very row
        ledger.project_id, ledger.name, ledger.created_at = meta
    except HeadwaterError:
        ledger.close()
        raise
    return ledger
