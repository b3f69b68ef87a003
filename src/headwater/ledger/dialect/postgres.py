"""The ledger in a Postgres database."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...durable import crash_point
from ...errors import (
    ConflictError,
    CorruptError,
    HeadwaterError,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from ..statements import replacing
from ..values import refused_text
from .seam import AGAIN, Connection, Cursor, Dialect, Mode, already, busy, disk_full, unfit

if TYPE_CHECKING:
    import psycopg

_TYPES = {"text": 'TEXT COLLATE "C"', "integer": "BIGINT", "real": "DOUBLE PRECISION", "blob": "BYTEA"}
_PLAIN_TYPES = _TYPES | {"text": "TEXT"}
# Types are written in capitals, names are not: a column may be called text.
_in_ddl = replacing(r"\b(?P<type>TEXT|INTEGER|REAL|BLOB)\b|(?P<rowid>\)\s*WITHOUT\s+ROWID)", re.NOFLAG)
_in_query = replacing(r"(?P<mark>\?)|\bAS\s+(?P<type>INTEGER|REAL|BLOB)(?=\s*\))")
# Advisory locks are per database: the table's own number tells apart ledgers in several of its schemas.
_LOCK = "SELECT pg_advisory_xact_lock(4857000000000000 + 'ledger_meta'::regclass::oid::bigint)"
_SCHEMA_NUMBER = "SELECT schema FROM ledger_meta"
_BEGIN: dict[Mode, str] = {
    "read": f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_SCHEMA_NUMBER}",
    "write": f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCK}; {_SCHEMA_NUMBER}",
    "write beside": f"BEGIN ISOLATION LEVEL READ COMMITTED; {_SCHEMA_NUMBER}",
}


class Postgres(Dialect):
    """A Postgres database, one ledger per schema of its search path."""

    name = "postgres"
    clock_sql = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    most_connections = 10

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.shown = re.sub(r"(//[^:/@]*):.*@", r"\1:***@", re.sub(r"(password=)[^&]*", r"\1***", url))
        self.errors = (_driver().Error, UnicodeEncodeError, OverflowError)

    def connect(self, *, writing: bool) -> Connection:
        return self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        driver = _driver()
        try:
            connection: psycopg.Connection[Any] = driver.connect(
                self.url, autocommit=True, context=_adapters(), cursor_factory=driver.RawCursor,
                fallback_application_name="headwater", client_encoding="utf8",
            )  # fmt: skip
            connection.execute(_postgres_settings(self.timeout_s))
        except driver.Error as error:
            raise self.error(error) from error
        return connection

    def create(self, fill: Callable[[Connection], None]) -> None:
        with contextlib.closing(self._connect()) as connection:
            (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("nothing",)
            if encoding != "UTF8":
                raise InvalidInputError(
                    f"the database behind '{self.shown}' keeps text as {encoding}; a ledger needs UTF8. "
                    "Make one: createdb --encoding=UTF8 --template=template0 NAME.",
                    encoding=encoding,
                )
            connection.execute("BEGIN; SELECT pg_advisory_xact_lock(4857)")
            if connection.execute("SELECT to_regclass('ledger_meta')").fetchone() != (None,):
                raise ConflictError(
                    f"there is already a ledger in '{self.shown}'. Open it, or choose another database.", url=self.shown
                )
            fill(connection)
            crash_point("ledger.create.commit")
            connection.execute("COMMIT")
            crash_point("ledger.create.committed")

    def begin(self, connection: Connection, mode: Mode) -> int:
        # One message, so one round trip: begin, wait for the ledger, and see what it is.
        cursor = connection.execute(_BEGIN[mode])
        while cursor.nextset():
            pass
        return int(cursor.fetchone()[0])

    def exclude(self, connection: Connection) -> None:
        # Every transaction, also one that runs beside others, begins by reading this table.
        connection.execute("LOCK TABLE ledger_meta IN ACCESS EXCLUSIVE MODE")

    def execute(self, connection: Connection, sql: str, params: Sequence[Any]) -> Cursor:
        return connection.execute(postgres_query(sql), params)

    def insert_many(
        self, connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        names = ", ".join(f'"{column}"' for column in columns)
        with connection.cursor() as cursor, cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)

    def executemany(self, connection: Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(postgres_query(sql), rows)

    def stream(self, connection: Connection, sql: str, params: Sequence[Any]) -> Cursor:
        cursor = _driver().RawServerCursor(connection, f"stream_{os.urandom(6).hex()}")
        cursor.execute(postgres_query(sql), params)
        return cursor

    def ddl(self, statement: str) -> str:
        return _in_ddl(lambda found: ")" if found["rowid"] else _TYPES[found["type"].lower()], statement)

    def table_columns(self, connection: Connection) -> dict[str, list[str]]:
        rows = connection.execute(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t"
            " USING (table_schema, table_name) WHERE t.table_schema = current_schema() AND t.table_type = 'BASE TABLE'"
            ' ORDER BY c.table_name COLLATE "C", c.ordinal_position'
        )
        found: dict[str, list[str]] = {}
        for table, column in rows.fetchall():
            found.setdefault(table, []).append(column)
        return found

    def error(self, error: BaseException) -> HeadwaterError:
        if isinstance(error, UnicodeEncodeError):
            return refused_text("it is not Unicode (a lone surrogate)")
        if isinstance(error, OverflowError):
            return InvalidInputError("the ledger cannot hold this number: it has more than 64 bits.")
        return _postgres_error(error, self.shown, self.timeout_s)

    def broken(self, connection: Connection) -> bool:
        return bool(connection.closed)


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise MissingExtraError("psycopg", "postgres", "a Postgres ledger") from None
    return psycopg


def _postgres_settings(timeout_s: float) -> str:
    # A writer on a host that vanished keeps the ledger until its connection is given up: a minute, not two hours.
    return (
        f"SET lock_timeout = {int(timeout_s * 1000)}; SET timezone = 'UTC'; SET client_min_messages = warning; "
        "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; "
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )


@lru_cache(maxsize=4096)
def postgres_query(sql: str) -> str:
    """Return portable SQL as Postgres takes it: ``$1, $2`` for ``?``, and the wide types in CAST."""
    count = 0

    def replaced(found: re.Match[str]) -> str:
        nonlocal count
        if found["mark"] is None:
            return f"AS {_PLAIN_TYPES[found['type'].lower()]}"
        count += 1
        return f"${count}"

    return _in_query(replaced, sql)


@lru_cache(maxsize=1)
def _adapters() -> Any:
    """Return how values travel so that both databases take and give the same: see the head of this file."""
    from psycopg import adapt, adapters
    from psycopg.types.numeric import FloatDumper, Int8Dumper
    from psycopg.types.string import StrDumper

    class NumberDumper(FloatDumper):
        def dump(self, obj: float) -> Any:
            return None if obj != obj else super().dump(obj)

    class TruthDumper(Int8Dumper):
        def dump(self, obj: Any) -> bytes:
            return b"1" if obj else b"0"

    class TruthLoader(adapt.Loader):
        def load(self, data: Any) -> int:
            return int(bytes(data) == b"t")

    class NumericLoader(adapt.Loader):
        def load(self, data: Any) -> int | float:
            text = bytes(data)
            return int(text) if text.lstrip(b"-").isdigit() else float(text)

    known = adapt.AdaptersMap(adapters)
    for kind, dumper in ((float, NumberDumper), (int, Int8Dumper), (bool, TruthDumper), (str, StrDumper)):
        known.register_dumper(kind, dumper)
    known.register_loader("bool", TruthLoader)
    known.register_loader("numeric", NumericLoader)
    return _Context(known)


class _Context:
    """What psycopg asks for where it takes adapters."""

    connection = None

    def __init__(self, adapters: Any) -> None:
        self.adapters = adapters


def _postgres_error(error: BaseException, shown: str, timeout_s: float) -> HeadwaterError:
    state = getattr(error, "sqlstate", None) or ""
    text = str(error).strip().replace("\n", "; ")
    if state == "23505":
        diagnosis: Any = getattr(error, "diag", None)
        return already(f"{diagnosis.table_name}: {diagnosis.message_detail}")
    if "NUL (0x00)" in text and not state:  # found by psycopg before anything was sent
        return refused_text("it has a NUL character")
    if state.startswith(("22", "23")) or state == "42804":
        return unfit(text)
    if state.startswith("40"):
        return ConflictError(
            f"another transaction came in between ({text}); nothing was recorded. {AGAIN}", state=state
        )
    if state == "55P03":
        return busy(shown, timeout_s)
    if state == "53100":
        return disk_full(shown)
    if state == "42P01" and "ledger_meta" in text:
        return NotFoundError(f"there is no ledger in '{shown}'. 'hw init' makes a project there.", url=shown)
    if state == "3D000" or (not state and "FATAL:  database" in text and "does not exist" in text):
        return NotFoundError(f"{text}. Create the database first: createdb --encoding=UTF8 NAME.", url=shown)
    if state in ("XX001", "XX002"):
        return CorruptError(f"the database behind '{shown}' is damaged: {text}. Restore its last backup.", url=shown)
    if isinstance(error, _driver().OperationalError | _driver().InterfaceError) and not state.startswith("42"):
        return UnavailableError(
            f"the database behind '{shown}' does not answer: {text}. Start it or wait, then try again.", url=shown
        )
    return StorageError(f"the ledger '{shown}' failed: {text}. Nothing acknowledged is lost.", url=shown, state=state)
