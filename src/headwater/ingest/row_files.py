"""Rows of Python values as a Parquet file, of any number and in bounded memory.

The rows are written as lines of JSON into a file beside the target, and DuckDB casts them into Parquet in one go: by
then every value was seen, so a column's type rests on all of its values and not on the first few.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from ..duck import connect, exact
from ..errors import InvalidInputError
from ..lake.table import quote

ROW_GROUP_ROWS = 122_880
_INT64 = 2**63
_DEC38 = 10**38
_EXACT_IN_DOUBLE = 2**53
_LARGEST_PRECISION = 38
_LEAST_LINE_BYTES = 16 * 2**20


class RowFile:
    """Takes rows, then writes them: ``with RowFile(folder, columns) as rows: rows.add(...); rows.write(target)``.

    ``columns`` gives each name its DuckDB type, or None for a type that follows from the values. Where the values of
    such a column are of several kinds they are all kept as text, bytes among them as base64. Lists and dicts become
    JSON. A column without any value is INTEGER, all null.
    """

    def __init__(self, folder: Path, columns: Mapping[str, str | None]) -> None:
        if not columns:
            raise InvalidInputError("a table needs at least one column.")
        self.columns = dict(columns)
        self.rows = 0
        self._path = folder / f"rows-{uuid.uuid4().hex}.jsonl"
        self._file = self._path.open("wb")
        self._keys = [f"c{number}" for number in range(len(self.columns))]
        self._kinds = [_Kind() for _ in self.columns]
        self._longest = 0

    def add(self, values: Sequence[Any]) -> int:
        """Add a row, values in the order of the columns; return how many bytes it took."""
        row = {
            key: None if value is None else kind.text(value)
            for key, kind, value in zip(self._keys, self._kinds, values, strict=True)
        }
        line = msgspec.json.encode(row)
        self._file.write(line + b"\n")
        self._longest = max(self._longest, len(line))
        self.rows += 1
        return len(line)

    def types(self) -> dict[str, str]:
        """Return the DuckDB type of each column, as far as the rows so far tell."""
        return {
            name: given if given is not None else kind.type()
            for (name, given), kind in zip(self.columns.items(), self._kinds, strict=True)
        }

    def write(self, target: Path, *, order_by: Sequence[str] = ()) -> dict[str, str]:
        """Write the rows to a Parquet file and return the types of its columns.

        Raises:
            InvalidInputError: a value does not fit the type that its column was given.
        """
        self._file.flush()
        types = self.types()
        chosen = ", ".join(
            f"{_cast(key, kind)} AS {quote(name)}" for (name, kind), key in zip(types.items(), self._keys, strict=True)
        )
        texts = ", ".join(f"{key}: 'VARCHAR'" for key in self._keys)
        size = max(_LEAST_LINE_BYTES, 2 * self._longest)
        source = (
            f"read_json({literal(self._path)}, format='newline_delimited', maximum_object_size={size}, "
            f"columns={{{texts}}})"
        )
        if not self.rows:
            source = f"(SELECT {', '.join(f'NULL::VARCHAR AS {key}' for key in self._keys)} LIMIT 0)"
        order = f" ORDER BY {', '.join(quote(name) for name in order_by)}" if order_by else ""
        copy_to_parquet(f"SELECT {chosen} FROM {source}{order}", target)
        return types

    def close(self) -> None:
        """Remove the lines."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copy_to_parquet(select: str, target: Path, views: Mapping[str, Any] | None = None) -> int:
    """Write what a query gives to a Parquet file, row group by row group, and return the number of rows.

    One thread writes, so that the same rows give the same bytes. ``views`` are frames that the query names.

    Raises:
        InvalidInputError: the query cannot be answered, or a value cannot be cast.
    """
    import duckdb

    with open_duckdb(target.parent) as connection:
        try:
            for name, frame in (views or {}).items():
                connection.register(name, frame)
            copied = connection.execute(
                f"COPY ({exact(connection, select)}) TO {literal(target)} "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
            ).fetchone()
        except duckdb.Error as error:
            raise InvalidInputError(f"these rows cannot be written as Parquet: {error}") from error
    return int(copied[0]) if copied else 0


def open_duckdb(folder: Path) -> Any:
    """Return a DuckDB connection in UTC that holds at most 1 GB in memory and spills into ``folder``."""
    connection = connect({"threads": 1, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET memory_limit = '1GB'")
    connection.execute(f"SET temp_directory = {literal(folder / 'spilled')}")
    return connection


def literal(value: object) -> str:
    """Return a text as SQL quotes it."""
    return "'" + str(value).replace("'", "''") + "'"


def _cast(key: str, kind: str) -> str:
    if kind == "BLOB":
        return f"from_base64({key})"
    if kind == "INTERVAL":
        return f"to_microseconds(CAST({key} AS BIGINT))"
    if kind.endswith("[]"):
        return f"CAST(CAST({key} AS JSON) AS {kind})"
    return key if kind == "VARCHAR" else f"CAST({key} AS {kind})"


class _Kind:
    """What the values of one column have been so far."""

    __slots__ = ("_digits", "_largest", "_scale", "_seen")

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._largest = 0
        self._digits = 0
        self._scale = 0

    def text(self, value: Any) -> Any:
        """Return how a value is written, and take note of its kind."""
        if type(value) is str:  # by far the most usual
            self._seen.add("VARCHAR")
            return value
        kind, write = _WRITTEN.get(type(value)) or _of_subclass(value)
        if kind == "BIGINT":
            self._largest = max(self._largest, value if value >= 0 else -value)
        elif kind == "DECIMAL":
            kind = self._note_decimal(value)
        elif kind == "TIMESTAMP" and value.tzinfo is not None:
            kind = "TIMESTAMPTZ"
        self._seen.add(kind)
        return write(value)

    def _note_decimal(self, value: decimal.Decimal) -> str:
        if not value.is_finite():
            return "VARCHAR"
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        self._scale = max(self._scale, -exponent)
        self._digits = max(self._digits, len(digits) + exponent)
        return "DECIMAL"

    def type(self) -> str:
        """Return the narrowest DuckDB type that keeps each value as it was."""
        seen = self._seen
        if not seen:
            return "INTEGER"
        if seen == {"BIGINT"}:
            # DuckDB writes HUGEINT to Parquet as DOUBLE, which would round it.
            return "BIGINT" if self._largest < _INT64 else "DECIMAL(38, 0)" if self._largest < _DEC38 else "VARCHAR"
        if seen == {"BIGINT", "DOUBLE"} and self._largest <= _EXACT_IN_DOUBLE:
            return "DOUBLE"
        if "DECIMAL" in seen and seen <= {"BIGINT", "DECIMAL"}:
            digits = max(self._digits, len(str(self._largest)) if "BIGINT" in seen else 0)
            fits = digits + self._scale <= _LARGEST_PRECISION
            return f"DECIMAL({_LARGEST_PRECISION}, {self._scale})" if fits else "VARCHAR"
        if seen == {"DATE", "TIMESTAMP"}:
            return "TIMESTAMP"
        return next(iter(seen)) if len(seen) == 1 else "VARCHAR"


def _number(value: float) -> Any:
    return value if value - value == 0 else str(value)  # JSON has no nan and no inf


def _integer(value: int) -> Any:
    return value if -_INT64 <= value < _INT64 else str(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


_WRITTEN: dict[type, tuple[str, Callable[[Any], Any]]] = {
    bool: ("BOOLEAN", lambda value: "true" if value else "false"),
    int: ("BIGINT", _integer),
    float: ("DOUBLE", _number),
    str: ("VARCHAR", lambda value: value),
    decimal.Decimal: ("DECIMAL", lambda value: format(value, "f")),
    dt.datetime: ("TIMESTAMP", lambda value: value.isoformat(" ")),
    dt.date: ("DATE", lambda value: value.isoformat()),
    dt.time: ("TIME", lambda value: value.isoformat()),
    dt.timedelta: ("INTERVAL", lambda value: str(value // dt.timedelta(microseconds=1))),
    bytes: ("BLOB", lambda value: base64.b64encode(value).decode()),
    uuid.UUID: ("UUID", str),
    list: ("JSON", _json),
    tuple: ("JSON", _json),
    dict: ("JSON", _json),
}


def _of_subclass(value: Any) -> tuple[str, Callable[[Any], Any]]:
    if isinstance(value, bytearray | memoryview):
        return "BLOB", lambda each: base64.b64encode(bytes(each)).decode()
    for kind, written in _WRITTEN.items():
        if isinstance(value, kind):
            return written
    return "VARCHAR", str
