"""Reading any database that SQLAlchemy knows, row by row in bounded memory."""

from __future__ import annotations

import datetime as dt
import decimal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import HeadwaterError, InvalidInputError, MissingExtraError
from .reading_sql import Mark, Reading, refusal
from .row_files import RowFile

_ROWS_AT_ONCE = 10_000
_STEPS_BETWEEN_LOOKS = 100_000


class SqlalchemyReader:
    """A database by its SQLAlchemy URL.

    The session is read-only and statements end after ``timeout_s`` on Postgres, MySQL, MariaDB and SQLite. On others
    neither is known how, so the user that the URL names should have no right to write; nothing is ever committed.
    """

    def __init__(self, url: str, where: str, timeout_s: float) -> None:
        self._url = url
        self._where = where
        self._timeout_s = timeout_s

    def quoted(self, table: str) -> str:
        with self._told():
            preparer = self._engine().dialect.identifier_preparer
            return ".".join(preparer.quote_identifier(part) for part in table.split("."))

    def ping(self) -> str:
        with self._connected() as connection:
            version = connection.dialect.server_version_info or ()
            return f"{connection.dialect.name} {'.'.join(map(str, version))}".strip()

    def write(self, reading: Reading, target: Path) -> dict[str, str]:
        with self._connected() as connection:
            result = self._executed(connection, reading)
            names = list(result.keys())
            if len(set(names)) < len(names):
                raise InvalidInputError("the query gives two columns of one name: name them apart with AS.")
            if reading.cursor is not None and reading.cursor not in names:
                raise InvalidInputError(
                    f"the cursor '{reading.cursor}' is no column of the query, which gives: {', '.join(names)}."
                )
            with RowFile(target.parent, dict.fromkeys(names)) as rows:
                for row in result:
                    rows.add(row)
                rows.write(target)
        return {}

    def _executed(self, connection: Any, reading: Reading) -> Any:
        import sqlalchemy

        # A colon in the query is a colon: only :since is a parameter of ours.
        query, values = reading.query.replace(":", "\\:"), {}
        if reading.cursor is not None:
            cursor = f"pulled.{connection.dialect.identifier_preparer.quote_identifier(reading.cursor)}"
            query = f"SELECT * FROM ({query}\n) pulled"
            if reading.since is not None:
                query += f" WHERE {cursor} >= :since OR {cursor} IS NULL"
                values = {"since": _value(reading.since)}
            query += f" ORDER BY {cursor}"
        streaming = connection.execution_options(stream_results=True, max_row_buffer=_ROWS_AT_ONCE)
        result = streaming.execute(sqlalchemy.text(query), values)
        if not result.returns_rows:
            raise InvalidInputError("the query gives no columns: a pull needs a SELECT.")
        return result.yield_per(_ROWS_AT_ONCE)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with self._told():
            engine = self._engine()
            try:
                with engine.connect() as connection:
                    self._forbid_writing(connection)
                    try:
                        yield connection
                    finally:
                        connection.rollback()
            finally:
                engine.dispose()

    def _engine(self) -> Any:
        try:
            import sqlalchemy
        except ImportError:
            raise MissingExtraError("sqlalchemy", "databases", "pulling from a database") from None
        try:
            return sqlalchemy.create_engine(self._url, poolclass=sqlalchemy.NullPool)
        except ImportError as error:
            raise InvalidInputError(
                f"{self._where} needs the driver '{error.name}', which is not installed. Run: pip install {error.name}"
            ) from None
        except sqlalchemy.exc.ArgumentError as error:
            raise InvalidInputError(
                f"the URL of {self._where} cannot be read ({type(error).__name__}). Write it as "
                "dialect+driver://user:password@host:port/database."
            ) from None

    def _forbid_writing(self, connection: Any) -> None:
        name, timeout_ms = connection.dialect.name, max(1, int(self._timeout_s * 1000))
        if name == "postgresql":
            commands = ["SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = {timeout_ms}"]
        elif name == "mysql":
            commands = [f"SET SESSION max_execution_time = {timeout_ms}", "START TRANSACTION READ ONLY"]
        elif name == "mariadb":
            commands = [f"SET SESSION max_statement_time = {timeout_ms / 1000}", "START TRANSACTION READ ONLY"]
        elif name == "sqlite":
            commands = ["PRAGMA query_only = ON"]
            deadline = time.monotonic() + self._timeout_s
            driver = connection.connection.driver_connection
            driver.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS_BETWEEN_LOOKS)
        else:
            commands = []
        for command in commands:
            connection.exec_driver_sql(command)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (HeadwaterError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  # each driver raises classes of its own; all become ours
            raise refusal(error, self._where) from None  # the driver's own text may hold the password


def _value(mark: Mark) -> Any:
    if mark.kind == "number":
        return int(mark.text) if mark.text.lstrip("-").isdigit() else decimal.Decimal(mark.text)
    if mark.kind in ("instant", "time"):
        return dt.datetime.fromisoformat(mark.text)
    return dt.date.fromisoformat(mark.text) if mark.kind == "date" else mark.text
