"""Querying streams with SQL: each is a view over its sealed objects and its open rows, at one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from headwater.duck import connect
from headwater.errors import InvalidInputError, NotFoundError, StorageError, UnavailableError

from .parquet import quote, read_parquet_sql, read_payload_sql
from .schema import STREAMS, ColumnType, from_document
from .tail import Snapshot, Span, Tail

if TYPE_CHECKING:
    import duckdb

    from headwater.objects import ObjectStore

GUARDED_MEMORY = "1GB"
GUARDED_SECONDS = 30.0


class Result:
    """The rows of a query, held in memory: independent of the log from here on."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._relation = cursor.table("result")

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._relation.columns)

    @property
    def types(self) -> list[str]:
        """DuckDB's types of the columns, in order."""
        return [str(each) for each in self._relation.types]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self._cursor.table("result").fetchall()

    def dicts(self) -> list[dict[str, Any]]:
        """Return all rows as dicts."""
        columns = self.columns
        return [dict(zip(columns, row, strict=True)) for row in self.fetchall()]

    def fetchnumpy(self) -> dict[str, Any]:
        """Return the columns as NumPy arrays (masked where null)."""
        return self._cursor.table("result").fetchnumpy()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows as an Arrow C stream: what polars, pandas and pyarrow read."""
        return self._cursor.table("result").__arrow_c_stream__(requested_schema)


_inherited: list[object] = []


class Reader:
    """Runs queries over a tail and the sealed objects. Thread-safe."""

    def __init__(self, tail: Tail, objects: ObjectStore, work: Callable[[], Path | None]) -> None:
        self._tail = tail
        self._objects = objects
        self._work = work
        self._lock = threading.Lock()
        self._database: duckdb.DuckDBPyConnection | None = None

    def query(
        self,
        sql: str,
        params: Sequence[Any],
        streams: Sequence[str],
        span: Span,
        *,
        guarded: bool = False,
        tables: Mapping[str, Sequence[Path]] | None = None,
    ) -> Result:
        """Return the rows of one SELECT over the named streams.

        Raises:
            InvalidInputError: the SQL is not one SELECT, or does not fit the streams.
            UnavailableError: a guarded query ran longer than ``GUARDED_SECONDS``.
        """
        import tempfile

        import duckdb

        others = dict(tables or {})
        snapshot = self._tail.snapshot(streams, span)
        with tempfile.TemporaryDirectory(prefix="query-", dir=self._work()) as name:
            tails = _write_tails(snapshot, Path(name))
            sealed = self._sealed(snapshot)
            cursor = connect() if guarded else self._cursor()
            try:
                cursor.execute("SET python_enable_replacements = false")
                if guarded:
                    _guard(
                        cursor, [*tails.values(), *(p for paths in (*sealed.values(), *others.values()) for p in paths)]
                    )
                for stream in streams:
                    cursor.execute(_view(stream, sealed, tails, span))
                for name, paths in others.items():
                    shown = name.replace('"', '""')
                    cursor.execute(f'CREATE OR REPLACE TEMP VIEW "{shown}" AS SELECT * FROM {read_parquet_sql(paths)}')
                if guarded:
                    cursor.execute("SET lock_configuration = true")
                with _limit(cursor, GUARDED_SECONDS if guarded else None):
                    _execute(cursor, sql, params)
            except duckdb.Error as error:
                cursor.close()
                raise _explained(error, streams) from error
            except BaseException:
                cursor.close()
                raise
            return Result(cursor)

    def forget(self) -> None:
        """Begin with a new database; what a child process does after a fork."""
        # The threads of the inherited one stayed behind, and taking it down without them ends the process.
        _inherited.append(self._database)
        self._lock = threading.Lock()
        self._database = None

    def close(self) -> None:
        """Let go of the database; results already given stay readable."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._database is None:
                # Connecting takes 35 ms, a cursor of an open database less than one.
                self._database = connect()
            return self._database.cursor()

    def _sealed(self, snapshot: Snapshot) -> dict[tuple[str, str], list[Path]]:
        paths: dict[tuple[str, str], list[Path]] = {}
        for seal in snapshot.seals:
            paths.setdefault((seal.stream, seal.schema), []).append(self._objects.cached_path(seal.digest))
        return paths


def _write_tails(snapshot: Snapshot, folder: Path) -> dict[tuple[str, str], Path]:
    files: dict[tuple[str, str], BinaryIO] = {}
    try:
        for part in snapshot.parts:
            key = (part.schema.name, part.schema.document())
            if key not in files:
                files[key] = (folder / f"{len(files)}.ndjson").open("wb")
            files[key].write(part.payload.data)
    finally:
        for file in files.values():
            file.close()
    return {key: Path(file.name) for key, file in files.items()}


def _view(
    stream: str, sealed: dict[tuple[str, str], list[Path]], tails: dict[tuple[str, str], Path], span: Span
) -> str:
    """Return the SQL that makes a stream's view: its declared columns first, then what older rows have besides."""
    documents = sorted({document for name, document in (*sealed, *tails) if name == stream})
    columns: dict[str, ColumnType] = dict(STREAMS[stream].columns) if stream in STREAMS else {}
    for document in documents:
        columns = {**from_document(stream, document).columns, **columns}
    if not columns:
        raise NotFoundError(f"there is no event stream '{stream}', declared or with rows.", stream=stream)
    empty = ", ".join(f'NULL::{kind} AS "{column}"' for column, kind in columns.items())
    selects = [f"SELECT {empty} WHERE false"]
    for document in documents:
        key = (stream, document)
        if key in sealed:
            selects.append(f"SELECT * FROM {read_parquet_sql(sealed[key])}")
        if key in tails:
            selects.append(read_payload_sql(from_document(stream, document).columns, tails[key]))
    bounds = [("occurred_at >= ", span.start), ("occurred_at < ", span.end)]
    where = " AND ".join(f"{text}{bound}" for text, bound in bounds if bound is not None) or "true"
    union = " UNION ALL BY NAME ".join(selects)
    return f'CREATE OR REPLACE TEMP VIEW "{stream}" AS SELECT * FROM ({union}) WHERE {where}'


def _execute(cursor: duckdb.DuckDBPyConnection, sql: str, params: Sequence[Any]) -> None:
    import duckdb

    statements = cursor.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidInputError("a query over streams is one SELECT statement.", sql=sql)
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE result AS {sql.rstrip().rstrip(';')}", list(params))


def _guard(cursor: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Let a stranger's SQL read these files and nothing else, within bounds."""
    cursor.execute(f"SET memory_limit = '{GUARDED_MEMORY}'")
    cursor.execute("SET temp_directory = ''")
    cursor.execute(f"SET allowed_paths = [{', '.join(quote(path) for path in paths)}]")
    cursor.execute("SET enable_external_access = false")


@contextmanager
def _limit(cursor: duckdb.DuckDBPyConnection, seconds: float | None) -> Iterator[None]:
    import duckdb

    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, cursor.interrupt)
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise UnavailableError(
            f"the query ran longer than {seconds:g} s and was stopped. Ask for a shorter range of occurred_at."
        ) from error
    finally:
        timer.cancel()


def _explained(error: duckdb.Error, streams: Sequence[str]) -> InvalidInputError | StorageError:
    import duckdb

    if isinstance(error, (duckdb.IOException, duckdb.InternalException, duckdb.FatalException)):
        return StorageError(f"the query over {', '.join(streams)} could not be read: {error}. Run 'hw verify'.")
    return InvalidInputError(f"the query over {', '.join(streams)} cannot be run: {error}")
