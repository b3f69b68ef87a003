"""Transactions: what may be asked of one snapshot, and what may be recorded at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from ..errors import InvalidInputError
from ..ids import new_id
from . import chain, leases, lineage, pointers
from .dialect import Connection, Cursor, Dialect, insert_statement
from .rows import Row, row_class

_PAGE = 1000
_LIST = 500


class Tx:
    """One snapshot of the ledger. ``?`` stands for a value on both databases; it ends with its ``with`` block."""

    def __init__(self, dialect: Dialect, connection: Connection) -> None:
        self._dialect = dialect
        self._connection: Connection | None = connection
        self._failed: BaseException | None = None

    # ---- asking

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        """Return the first row, or None."""
        cursor = self._run(sql, params)
        try:
            found = cursor.fetchone()
            return None if found is None else _class_of(cursor)(found)
        finally:
            cursor.close()

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Return every row. For what may be long use ``stream`` or page by key."""
        cursor = self._run(sql, params)
        try:
            return list(map(_class_of(cursor), cursor.fetchall()))
        except self._dialect.errors as error:
            self._fail(error)
        finally:
            cursor.close()

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None."""
        cursor = self._run(sql, params)
        try:
            found = cursor.fetchone()
            return None if found is None else found[0]
        finally:
            cursor.close()

    def stream(self, sql: str, params: Sequence[Any] = ()) -> Iterator[Row]:
        """Yield the rows of a SELECT as they come, holding a thousand at a time; use them inside the transaction."""
        connection = self._open()
        try:
            cursor = self._dialect.stream(connection, sql, params)
            try:
                made = _class_of(cursor)
                while page := cursor.fetchmany(_PAGE):
                    yield from map(made, page)
                    self._open()
            finally:
                cursor.close()
        except self._dialect.errors as error:
            self._fail(error)

    def all_in(self, sql: str, values: Iterable[Any], params: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of ``... IN (??) ...`` for any number of values, asked for in lists that a database takes.

        ``params`` fill the ``?`` that stand before ``(??)``. The order is that of the values' lists, so sort after.
        """
        before, mark, after = sql.partition("(??)")
        if not mark:
            raise InvalidInputError("all_in needs a statement with 'IN (??)', where the values go.", sql=sql)
        waiting = list(dict.fromkeys(values))
        found: list[Row] = []
        for start in range(0, len(waiting), _LIST):
            part = waiting[start : start + _LIST]
            # The list is filled up to a power of two with its first value, so that few different statements arise.
            part += part[:1] * ((1 << (len(part) - 1).bit_length()) - len(part))
            found += self.all(f"{before}({', '.join('?' * len(part))}){after}", [*params, *part])
        return found

    @property
    def clock_sql(self) -> str:
        """An SQL expression for the database's own time, UTC microseconds: what leases compare."""
        return self._dialect.clock_sql

    def database_now(self) -> int:
        """Return the database's own time, UTC microseconds."""
        return int(self.value(f"SELECT {self._dialect.clock_sql}"))

    def tables(self) -> dict[str, list[str]]:
        """Return the ledger's tables by name, each with its columns."""
        return self._dialect.table_columns(self._open())

    # ---- pointers and lineage

    def pointer(self, kind: str, name: str) -> str | None:
        """Return where a pointer points, or None when there is none of that name."""
        return pointers.pointer(self, kind, name)

    def pointers(self, kind: str, prefix: str = "") -> list[Row]:
        """Return ``(name, head, moved_at)`` of the pointers whose names begin with ``prefix``, by name, bytewise."""
        return pointers.pointers(self, kind, prefix)

    def pointer_as_of(self, kind: str, name: str, at: int) -> str | None:
        """Return where a pointer pointed at a time (a move at that very time counts), or None."""
        return pointers.pointer_as_of(self, kind, name, at)

    def pointer_history(self, kind: str, name: str) -> list[Row]:
        """Return ``(seq, old, new, at, by, why)`` of each move, first to last; ``new`` is None for a removal."""
        return pointers.pointer_history(self, kind, name)

    def edges_of(self, ref: str) -> list[Row]:
        """Return ``(role, parent)`` of what this ref came from, by role and parent."""
        return lineage.edges_of(self, ref)

    def children_of(self, ref: str) -> list[Row]:
        """Return ``(role, child)`` of what came from this ref, by role and child."""
        return lineage.children_of(self, ref)

    def announcements_since(self, seq: int, kinds: Sequence[str] | None = None, limit: int = 1000) -> list[Row]:
        """Return ``(seq, kind, ref, at)`` of what was announced after ``seq``, in order, at most ``limit``."""
        return lineage.announcements_since(self, seq, kinds, limit)

    # ---- within

    def _run(self, sql: str, params: Sequence[Any]) -> Cursor:
        connection = self._open()
        try:
            return self._dialect.execute(connection, sql, params)
        except self._dialect.errors as error:
            self._fail(error)

    def _open(self) -> Connection:
        if self._failed is not None:
            raise InvalidInputError(
                f"this transaction already failed ({self._failed}): nothing of it is recorded. Leave its block."
            )
        if self._connection is None:
            raise InvalidInputError("this transaction has ended: its rows must be read inside its 'with' block.")
        return self._connection

    def _fail(self, error: BaseException) -> NoReturn:
        # Postgres takes nothing more after an error; SQLite would, so it is made to agree.
        self._failed = ours = self._dialect.error(error)
        raise ours from error

    def _end(self) -> None:
        self._connection = None


class WriteTx(Tx):
    """A transaction that has the ledger to itself: all of it is recorded when its block ends, or nothing.

    ``now`` is the ledger's time when it began, UTC microseconds; it is the same for everything recorded in it.
    """

    def __init__(self, dialect: Dialect, connection: Connection, now: int) -> None:
        super().__init__(dialect, connection)
        self.now = now

    def new_id(self) -> str:
        """Return a fresh id of the transaction's time."""
        return new_id(self.now)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        cursor = self._run(sql, params)
        try:
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once per row of values."""
        self._bulk(self._dialect.executemany, sql, rows)

    def insert(self, table: str, **columns: Any) -> None:
        """Insert one row, a keyword per column.

        Raises:
            ConflictError: a row of the same key is there.
            InvalidInputError: a value does not fit its column.
        """
        self._run(insert_statement(table, tuple(columns)), tuple(columns.values())).close()

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert many rows at the database's full speed; raises as ``insert``."""
        self._bulk(self._dialect.insert_many, table, columns, rows)

    def next(self, counter: str) -> int:
        """Return the counter's next number, from 1: without gaps, and in the order of commits."""
        found = self.value("UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value", (counter,))
        if found is None:
            found = self.value(
                "INSERT INTO counters (name, value) VALUES (?, 1)"
                " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
                (counter,),
            )
        return int(found)

    def edge(self, child: str, role: str, parent: str) -> None:
        """Record that ``child`` came from ``parent`` in a role; recording it again changes nothing."""
        lineage.edges(self, ((child, role, parent),))

    def edges(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Record many edges ``(child, role, parent)``."""
        lineage.edges(self, rows)

    def announce(self, kind: str, ref: str) -> int:
        """Record a fact that others may react to; returns its seq, gap-free and in the order of commits."""
        return lineage.announce(self, kind, ref)

    def govern(self, kind: str, ref: str, body: Mapping[str, Any]) -> str:
        """Add a fact to the chain of governance; returns the hash of its link."""
        return chain.govern(self, kind, ref, body)

    def move_pointer(
        self, kind: str, name: str, *, expected: str | None, new: str, why: str = "", by: str = ""
    ) -> None:
        """Move a pointer from where the caller last saw it (None: create it).

        Raises:
            ConflictError: it points elsewhere; ``values["head"]`` says where (None: nowhere).
        """
        pointers.move_pointer(self, kind, name, expected=expected, new=new, why=why, by=by)

    def remove_pointer(self, kind: str, name: str, *, expected: str, why: str = "", by: str = "") -> None:
        """Remove a pointer, if it still points there; its history stays. Raises as ``move_pointer``."""
        pointers.remove_pointer(self, kind, name, expected=expected, why=why, by=by)

    def fence(self, lease: str, token: int) -> None:
        """Let this transaction commit only for the current holder of a lease.

        Raises:
            ConflictError: somebody else took the lease since, or it was released.
        """
        leases.fence(self, lease, token)

    def exclude_others(self) -> None:
        """Keep everybody out of the ledger, readers too, until this ends: for an upgrade."""
        self._bulk(self._dialect.exclude)

    def _bulk(self, act: Callable[..., None], *arguments: Any) -> None:
        connection = self._open()
        try:
            act(connection, *arguments)
        except self._dialect.errors as error:
            self._fail(error)
        except BaseException as error:
            # The caller's rows raised halfway: what went in before them must not stay.
            self._failed = error
            raise


def _class_of(cursor: Cursor) -> type[Row]:
    return row_class(tuple([column[0] for column in cursor.description]))
