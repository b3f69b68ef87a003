"""Copying all facts of a ledger as they are, from either database to either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ConflictError
from .dialect import DEFAULT_TIMEOUT_S, Connection, SQLite
from .transaction import Tx


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


def copy_rows(source: Tx, target: Any, connection: Connection) -> int:
    """Copy every row of every table into the same tables of an open transaction; returns how many rows.

    Raises:
        ConflictError: the tables differ: one side is of another schema.
    """
    tables = source._dialect.table_columns(source._open())
    if tables != target.table_columns(connection):
        raise ConflictError("the two ledgers have different tables: bring both to one schema with 'hw upgrade' first.")
    return sum(_copy_table(source, target, connection, table, columns) for table, columns in tables.items())


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
