"""Payloads and Parquet objects, as DuckDB reads and writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import StorageError

from .schema import LARGEST_ROW_BYTES, ColumnType, Schema, json_columns, typed

if TYPE_CHECKING:
    import duckdb

ROW_GROUP_ROWS = 122_880


def read_payload_sql(columns: dict[str, ColumnType], path: Path) -> str:
    """Return the SELECT that gives the typed rows of a file of payloads."""
    fields = ", ".join(typed(column, kind) for column, kind in columns.items())
    return (
        f"SELECT {fields} FROM read_json({quote(path)}, format='newline_delimited', "
        f"maximum_object_size={2 * LARGEST_ROW_BYTES}, columns={json_columns(columns)})"
    )


def read_parquet_sql(paths: Sequence[Path]) -> str:
    """Return the table function that reads some Parquet files of the same columns."""
    return f"read_parquet([{', '.join(quote(path) for path in paths)}])"


def write_payloads(path: Path, payloads: Iterable[bytes]) -> None:
    """Write payloads one after the other into a file for DuckDB to read."""
    with open(path, "wb") as file:
        for payload in payloads:
            file.write(payload)


def to_parquet(connection: duckdb.DuckDBPyConnection, schema: Schema, select: str, target: Path, rows: int) -> None:
    """Write what ``select`` gives as a Parquet file, sorted as the stream declares.

    Raises:
        StorageError: the file has another number of rows than was appended; nothing may be dropped.
    """
    order = f" ORDER BY {', '.join(_name(column) for column in schema.order)}" if schema.order else ""
    copied = connection.execute(
        f"COPY (SELECT * FROM ({select}){order}) TO {quote(target)} "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
    ).fetchone()
    written = copied[0] if copied else None
    if written != rows:
        raise StorageError(
            f"sealing stream '{schema.name}' wrote {written} of {rows} rows, so it was given up; nothing is lost. "
            "Run 'hw verify', and report this with its output.",
            stream=schema.name,
        )


def quote(path: Path) -> str:
    """Return a path as an SQL text literal."""
    return "'" + str(path).replace("'", "''") + "'"


def _name(column: str) -> str:
    return f'"{column}"'
