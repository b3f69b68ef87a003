"""Scanning the tables of a version: Parquet, CSV, line-by-line JSON and Arrow, as one table or by SQL.

Large Parquet files of a bucket are read by the ranges that the query needs (``ranged``); everything else through the
shared cache of local files. A table taken whole is copied there too, so that taking it again costs no network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..duck import connect
from ..errors import InvalidInputError
from ..project import Project, open_project
from . import ranged
from .arrow_files import as_parquet
from .files import iter_files
from .media import ARROW, media_of, table_format
from .reading import Read, tell
from .refs import resolve
from .table import Scanned, Table, quote, refusal
from .values import Entry, Version

if TYPE_CHECKING:
    import duckdb

EVERYTHING = "SELECT * FROM data"

_reopened: dict[tuple[int, str], Project] = {}


def scan(
    project: Project,
    ref: str,
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    sql: str | None = None,
    prefix: str = "",
) -> Table:
    """Return the rows of a version's tables, files in the order of their paths.

    ``columns`` and ``where`` (an SQL condition) choose; ``sql`` is a whole query in which the tables are the view
    ``data``. ``prefix`` takes only files whose paths begin with it. Files with differing columns are joined by
    name; what a file lacks is null. The query sees these files and nothing else of the machine. Of Parquet only the
    columns and row groups that the query needs are read, also from a bucket.

    Raises:
        NotFoundError: the ref names nothing.
        InvalidInputError: no file is a table, the query cannot be answered, or ``sql`` is given with the others.
        MissingExtraError: an Arrow file is among them and pyarrow is not installed.
    """
    if sql is not None and (columns is not None or where is not None):
        raise InvalidInputError("give either sql, or columns and where: a query chooses its columns and rows itself.")
    version = resolve(project, ref)
    entries = [e for e in iter_files(project, version.id, prefix) if table_format(e)]
    if not entries:
        raise InvalidInputError(
            f"{version.ref} holds no table{f' under {prefix!r}' if prefix else ''}: none of its files is Parquet, CSV, "
            "line-by-line JSON or Arrow. Read files with read_bytes or materialise.",
            ref=ref,
        )
    paths = tuple(e.path for e in entries) if prefix else None
    tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=paths))
    scanned = Scanned(
        project=project,
        version=version,
        entries=tuple(entries),
        columns=None if columns is None else tuple(columns),
        plain=sql is None and where is None,
    )
    return table_of(project, entries, query_of(columns, where, sql), scanned=scanned)


def query_of(columns: Sequence[str] | None, where: str | None, sql: str | None) -> str:
    """Return the query over ``data`` that the arguments of ``scan`` mean."""
    if sql is not None:
        return sql.strip().rstrip(";")
    chosen = "*" if columns is None else ", ".join(quote(name) for name in columns)
    return f"SELECT {chosen} FROM data" + (f" WHERE ({where})" if where else "")


def reopen(
    place: str,
    version: Version,
    entries: tuple[Entry, ...],
    query: str,
    columns: tuple[str, ...] | None,
    plain: bool,
) -> Table:
    """Return a table in another process: of the project at a folder or URL, opened there once."""
    key = (os.getpid(), place)
    if key not in _reopened:
        _reopened[key] = open_project(place)
    scanned = Scanned(project=_reopened[key], version=version, entries=entries, columns=columns, plain=plain)
    return table_of(scanned.project, entries, query, scanned=scanned)


def table_of(
    project: Project, entries: Iterable[Entry], query: str = EVERYTHING, *, scanned: Scanned | None = None
) -> Table:
    """Return the table of a query over the tables among these files, called ``data``.

    Raises:
        InvalidInputError: the query cannot be answered, or none of the files is a table.
    """
    files = list(entries)
    connection = open_views(project, {"data": files}, ranges=True)
    copied: Callable[[], duckdb.DuckDBPyConnection] | None = None
    if query == EVERYTHING and any(ranged.by_range(project, entry) for entry in files):

        def copied() -> duckdb.DuckDBPyConnection:
            return open_views(project, {"data": files})

    return Table(connection, query, scanned=scanned, copied=copied)


def open_views(
    project: Project, views: Mapping[str, Iterable[Entry]], *, ranges: bool = False
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection that has these views over files of the store and can reach nothing else.

    ``ranges`` reads large Parquet files of a bucket by ranges; without it every file is a local one, as
    ``cached_path`` gives it.
    """
    import duckdb

    sources: dict[str, str] = {}
    allowed: list[str] = []
    for name, entries in views.items():
        sources[name], paths = _source(entries, lambda entry: place_of(project, entry, ranges=ranges))
        allowed += paths
    far = [path.rpartition("/")[2] for path in allowed if path.startswith(ranged.SCHEME)]
    connection = connect({"threads": _threads(), "autoinstall_known_extensions": False})
    try:
        ranged.register(connection, project.objects, far)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET allowed_paths = [{', '.join(_text(path) for path in dict.fromkeys(allowed))}]")
        connection.execute("SET enable_external_access = false")
        for name, source in sources.items():
            connection.execute(f"CREATE VIEW {quote(name)} AS {source}")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        raise refusal(error) from error
    return connection


def place_of(project: Project, entry: Entry, *, ranges: bool) -> str:
    """Return what DuckDB opens to read a file: a local file, or an address to be read by ranges."""
    if (entry.media or media_of(entry.path)) == ARROW:
        return str(as_parquet(project, entry))
    if ranges and ranged.by_range(project, entry):
        return ranged.address(entry.digest)
    return str(project.objects.cached_path(entry.digest))


def _source(entries: Iterable[Entry], local: Callable[[Entry], str]) -> tuple[str, list[str]]:
    """Return the SELECT over these files, joined by the names of their columns, and the local files it reads."""
    groups: dict[str, list[str]] = {}
    for entry in entries:
        if reader := table_format(entry):
            groups.setdefault(reader, []).append(local(entry))
    if not groups:
        raise InvalidInputError("none of these files is a table: no Parquet, CSV, JSON lines or Arrow is among them.")
    parts = [
        f"SELECT * FROM {reader.replace('FILES', '[' + ', '.join(_text(p) for p in paths) + ']')}"
        for reader, paths in groups.items()
    ]
    return " UNION ALL BY NAME ".join(parts), [path for paths in groups.values() for path in paths]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _threads() -> int:
    return max(1, len(os.sched_getaffinity(0)))


def schema_of(project: Project, entries: Iterable[Entry]) -> dict[str, str]:
    """Return the columns of the tables among these files and their types (DuckDB's names), {} where there is none."""
    tables = [e for e in entries if table_format(e)]
    return table_of(project, tables).types if tables else {}


def count_rows(project: Project, version: Version) -> int | None:
    """Return the number of rows of a version's tables, counting those whose rows are not recorded; None: no table."""
    known, unknown, any_table = 0, [], False
    for entry in iter_files(project, version.id):
        if not table_format(entry):
            continue
        any_table = True
        if entry.rows is None:
            unknown.append(entry)
        else:
            known += entry.rows
    if not any_table:
        return None
    return known + (len(table_of(project, unknown)) if unknown else 0)
