"""Reading Postgres and SQLite through ADBC: the driver's Arrow stream goes into Parquet as it comes, no row loop."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..duck import connect
from ..errors import InvalidInputError, MissingExtraError
from ..lake.table import quote
from .arrow_stream import Field, SharedStream, fields
from .reading_sql import Mark, Reading, refusal
from .row_files import copy_to_parquet, literal

_SQLITE_BATCH_ROWS = 65_536  # the driver takes the types of a column from the first batch
_CONNECT_TIMEOUT_S = 10
# What the driver hands out as values of Arrow; anything else would come as the bytes of Postgres' own protocol, and
# money as a bare number of cents.
_NUMBERS = {"bool", "int2", "int4", "int8", "float4", "float8", "numeric"}
_TEXTS = {"text", "varchar", "bpchar", "name", "json", "jsonb", "bytea", "uuid"}
_TIMES = {"date", "time", "timestamp", "timestamptz", "interval"}
_KNOWN = frozenset(_NUMBERS | _TEXTS | _TIMES)
# Infinity in Postgres is the largest integer; moved from its epoch (2000) to Arrow's (1970) the driver lets it wrap.
_EPOCHS_APART_US, _EPOCHS_APART_DAYS = 946_684_800_000_000, 10_957
_ENDLESS_US = -(2**63) + _EPOCHS_APART_US
_ENDLESS_DAYS = -(2**31) + _EPOCHS_APART_DAYS


class PostgresReader:
    """Postgres by a ``postgresql://`` URL, as libpq reads it."""

    def __init__(self, url: str, where: str, timeout_s: float) -> None:
        self._url = _with_connect_timeout(url)
        self._where = where
        self._timeout_s = timeout_s

    def quoted(self, table: str) -> str:
        return ".".join(quote(part) for part in table.split("."))

    def ping(self) -> str:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            target = Path(folder) / "version.parquet"
            self.write(Reading("SELECT current_setting('server_version') AS version", None, None), target)
            return f"Postgres {_only_value(target)}"

    def write(self, reading: Reading, target: Path) -> dict[str, str]:
        with _told(self._where), self._connected() as connection:
            columns = self._columns(connection, reading.query)
            _require_column(columns, reading.cursor)
            chosen = ", ".join(
                quote(each.name) if _is_known(each) else f"{quote(each.name)}::text AS {quote(each.name)}"
                for each in columns
            )
            query = _wrapped(reading, chosen)
            with _executed(connection, query) as stream:
                copy_to_parquet(f"SELECT {', '.join(map(_finite, columns))} FROM pulled", target, {"pulled": stream})
        return {each.name: _decimal(each) for each in columns if _type(each) == "numeric"}

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        driver, manager = _driver("adbc_driver_postgresql"), _manager()
        with manager.AdbcDatabase(driver=driver, uri=self._url) as database, manager.AdbcConnection(database) as found:
            found.set_autocommit(False)
            _run(found, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            _run(found, f"SET LOCAL statement_timeout = {max(1, int(self._timeout_s * 1000))}")
            _run(found, "SET LOCAL TimeZone = 'UTC'")
            try:
                yield found
            finally:
                found.rollback()

    def _columns(self, connection: Any, query: str) -> list[Field]:
        with _manager().AdbcStatement(connection) as statement:
            statement.set_sql_query(query)
            handle = statement.execute_schema()
            found = fields(handle)
        if not found:
            raise InvalidInputError("the query gives no columns: a pull needs a SELECT.")
        return found


class SqliteReader:
    """A SQLite file, opened read-only. SQLite has no statement timeout; the file is local."""

    def __init__(self, path: Path, where: str) -> None:
        self._path = path
        self._where = where

    def quoted(self, table: str) -> str:
        return ".".join(quote(part) for part in table.split("."))

    def ping(self) -> str:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            target = Path(folder) / "version.parquet"
            self.write(Reading("SELECT sqlite_version() AS version", None, None), target)
            return f"SQLite {_only_value(target)}"

    def write(self, reading: Reading, target: Path) -> dict[str, str]:
        manager = _manager()
        uri = f"file:{urllib.parse.quote(str(self._path))}?mode=ro"
        options = {"adbc.sqlite.query.batch_rows": _SQLITE_BATCH_ROWS}
        with (
            _told(self._where),
            manager.AdbcDatabase(driver=_driver("adbc_driver_sqlite"), uri=uri) as database,
            manager.AdbcConnection(database) as connection,
            _executed(connection, _wrapped(reading, "*"), **options) as stream,
        ):
            copy_to_parquet("SELECT * FROM pulled", target, {"pulled": stream})
        return {}


def _wrapped(reading: Reading, chosen: str) -> str:
    query = f"SELECT {chosen} FROM ({reading.query}\n) AS pulled"
    if reading.cursor is None:
        return query
    cursor = f"pulled.{quote(reading.cursor)}"
    if reading.since is not None:
        # Rows without a cursor are fetched each time, so that they are refused and not forgotten.
        query += f" WHERE {cursor} >= {_literal(reading.since)} OR {cursor} IS NULL"
    return f"{query} ORDER BY {cursor}"


def _literal(mark: Mark) -> str:
    return mark.text if mark.kind == "number" else literal(mark.text)


@contextmanager
def _executed(connection: Any, query: str, **options: object) -> Iterator[SharedStream]:
    with _manager().AdbcStatement(connection) as statement:
        if options:
            statement.set_options(**{name: str(value) for name, value in options.items()})
        statement.set_sql_query(query)
        handle, _ = statement.execute_query()
        yield SharedStream(handle)


def _run(connection: Any, command: str) -> None:
    with _manager().AdbcStatement(connection) as statement:
        statement.set_sql_query(command)
        statement.execute_update()


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Raise what the driver or the stream raised as an error of ours."""
    try:
        yield
    except _manager().Error as error:
        raise refusal(error, where) from None  # the driver's own text may hold the password
    except InvalidInputError as error:
        if "reading the stream" in error.message or "stream registered" in error.message:
            raise refusal(error, where) from None
        raise


def _type(field: Field) -> str:
    return field.metadata.get("POSTGRESQL:type", field.metadata.get("ADBC:postgresql:typname", ""))


def _is_known(field: Field) -> bool:
    return _type(field).removeprefix("_") in _KNOWN


def _decimal(field: Field) -> str:
    """Return the type that a numeric column declares, or DECIMAL where its digits tell.

    Source: the type modifier of numeric is ((precision << 16) | scale) + 4; utils/adt/numeric.c of Postgres.
    """
    modifier = int(field.metadata.get("POSTGRESQL:typmod", "-1"))
    if modifier < 4:
        return "DECIMAL"
    precision, scale = ((modifier - 4) >> 16) & 0xFFFF, (modifier - 4) & 0x7FF
    return f"DECIMAL({precision}, {scale})" if scale <= precision <= 38 else "DECIMAL"


def _finite(field: Field) -> str:
    """Return the SQL of a column in which wrapped infinities are infinity again."""
    name, kind = quote(field.name), _type(field)
    if kind in ("timestamp", "timestamptz"):
        number, endless = f"epoch_us({name})", _ENDLESS_US
    elif kind == "date":
        number, endless = f"date_diff('day', DATE '1970-01-01', {name})", _ENDLESS_DAYS
    else:
        return name
    target = {"timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ", "date": "DATE"}[kind]
    return (
        f"CASE {number} WHEN {endless - 1} THEN {target} 'infinity' WHEN {endless} THEN {target} '-infinity' "
        f"ELSE {name} END AS {name}"
    )


def _require_column(columns: list[Field], name: str | None) -> None:
    names = [each.name for each in columns]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise InvalidInputError(f"the query gives the column '{twice[0]}' twice: name them apart with AS.")
    if name is not None and name not in names:
        raise InvalidInputError(f"the cursor '{name}' is no column of the query, which gives: {', '.join(names)}.")


def _only_value(file: Path) -> str:
    found = connect().execute("SELECT * FROM read_parquet(?)", (str(file),)).fetchone()
    return str(found[0]) if found else ""


def _with_connect_timeout(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if "connect_timeout" in parts.query or "PGCONNECT_TIMEOUT" in os.environ:
        return url
    query = f"{parts.query}&" if parts.query else ""
    return urllib.parse.urlunsplit(parts._replace(query=f"{query}connect_timeout={_CONNECT_TIMEOUT_S}"))


def _manager() -> Any:
    try:
        import adbc_driver_manager
    except ImportError:
        raise MissingExtraError("adbc-driver-manager", "databases", "pulling from a database") from None
    return adbc_driver_manager


def _driver(package: str) -> str:
    import importlib

    try:
        return str(importlib.import_module(package)._driver_path())
    except ImportError:
        raise MissingExtraError(package.replace("_", "-"), "databases", "pulling from this database") from None
