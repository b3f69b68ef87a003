"""Copying all facts of a ledger as they are, from either database to either."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from ..durable import crash_point
from ..errors import ConflictError
from .dialect import DEFAULT_TIMEOUT_S, Connection, SQLite, dialect_of
from .statements import schema_statements
from .transaction import Tx, WriteTx

_MAKES = re.compile(r"\s*CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?\"?(\w+)", re.IGNORECASE)


def copy_to_new(source: Tx, path: Path, statements: list[str]) -> None:
    """Write a snapshot as a new SQLite ledger with these tables.

    Raises:
        ConflictError: there is a file of that name, or the source has tables that ``statements`` do not make.
    """
    target = SQLite(path, DEFAULT_TIMEOUT_S)

    def fill(connection: Connection) -> None:
        for statement in statements:
            connection.execute(target.ddl(statement))
        copy_rows(source, target, connection)

    try:
        target.create(fill)
    except target.errors as error:
        raise target.error(error) from error


def copy_ledger(
    source: Tx,
    url: str | Path,
    *,
    leave_out: Collection[str] = (),
    also: Callable[[WriteTx, dict[str, int]], None] | None = None,
) -> dict[str, int]:
    """Write a snapshot as a new ledger in either database, wholly or not at all; returns the rows of each table.

    Tables come in the order of ``table_order``, each streamed; those of ``leave_out`` are made and stay empty.
    ``also`` is called before the commit, with the new ledger's transaction and the counts: what it raises undoes all.

    Raises:
        ConflictError: there is a ledger already, or the two are of different schemas.
        StorageError: the disk is full or not writable.
        UnavailableError: the database does not answer.
    """
    target = dialect_of(url)
    counts: dict[str, int] = {}

    def fill(connection: Connection) -> None:
        for statement in schema_statements():
            target.execute(connection, target.ddl(statement), ())
        counts.update(_copy_tables(source, target, connection, leave_out))
        crash_point("ledger.copy.filled")
        if also is not None:
            also(WriteTx(target, connection, 0), counts)

    try:
        target.create(fill)
    except target.errors as error:
        raise target.error(error) from error
    return counts


def table_order(tables: Collection[str]) -> list[str]:
    """Return tables as the schema makes them: what a table refers to comes before it."""
    made = [found[1] for statement in schema_statements() if (found := _MAKES.match(statement))]
    return [*(table for table in made if table in tables), *sorted(set(tables) - set(made))]


def copy_rows(source: Tx, target: Any, connection: Connection) -> int:
    """Copy every row of every table into the same tables of an open transaction; returns how many rows.

    Raises:
        ConflictError: the tables differ: one side is of another schema.
    """
    return sum(_copy_tables(source, target, connection, ()).values())


def _copy_tables(source: Tx, target: Any, connection: Connection, leave_out: Collection[str]) -> dict[str, int]:
    tables = source._dialect.table_columns(source._open())
    if tables != target.table_columns(connection):
        raise ConflictError("the two ledgers have different tables: bring both to one schema with 'hw upgrade' first.")
    return {
        table: 0 if table in leave_out else _copy_table(source, target, connection, table, tables[table])
        for table in table_order(tables)
    }


def _copy_table(source: Tx, target: Any, connection: Connection, table: str, columns: list[str]) -> int:
    names = ", ".join(f'"{column}"' for column in columns)
    copied = 0

    def counted() -> Iterator[Any]:
        nonlocal copied
        for row in source.stream(f'SELECT {names} FROM "{table}"'):
            copied += 1
            yield row

    target.insert_many(connection, table, columns, counted())
    return copied
