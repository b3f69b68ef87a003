"""Scanning the tables of a version: Parquet, CSV and line-by-line JSON, as one table or by SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from ..project import Project
from .files import iter_files
from .media import table_format
from .reading import Read, tell
from .refs import resolve
from .table import Table, quote, refusal
from .values import Entry, Version

if TYPE_CHECKING:
    import duckdb


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
    name; what a file lacks is null. The query sees these files and nothing else of the machine.

    Raises:
        NotFoundError: the ref names nothing.
        InvalidInputError: no file is a table, the query cannot be answered, or ``sql`` is given with the others.
    """
    if sql is not None and (columns is not None or where is not None):
        raise InvalidInputError("give either sql, or columns and where: a query chooses its columns and rows itself.")
    version = resolve(project, ref)
    entries = [e for e in iter_files(project, version.id, prefix) if table_format(e)]
    if not entries:
        raise InvalidInputError(
            f"{version.ref} holds no table{f' under {prefix!r}' if prefix else ''}: none of its files is Parquet, CSV "
            "or line-by-line JSON. Read files with read_bytes or materialise.",
            ref=ref,
        )
    paths = tuple(e.path for e in entries) if prefix else None
    tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=paths))
    return table_of(project, entries, query_of(columns, where, sql))


def query_of(columns: Sequence[str] | None, where: str | None, sql: str | None) -> str:
    """Return the query over ``data`` that the arguments of ``scan`` mean."""
    if sql is not None:
        return sql.strip().rstrip(";")
    chosen = "*" if columns is None else ", ".join(quote(name) for name in columns)
    return f"SELECT {chosen} FROM data" + (f" WHERE ({where})" if where else "")


def table_of(project: Project, entries: Iterable[Entry], query: str = "SELECT * FROM data") -> Table:
    """Return the table of a query over the tables among these files, called ``data``.

    Raises:
        InvalidInputError: the query cannot be answered, or none of the files is a table.
    """
    return Table(open_views(project, {"data": entries}), query)


def open_views(project: Project, views: dict[str, Iterable[Entry]]) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection that has these views over files of the store and can reach nothing else."""
    import duckdb

    sources: dict[str, str] = {}
    allowed: list[str] = []
    for name, entries in views.items():
        sources[name], paths = _source(entries, lambda digest: str(project.objects.cached_path(digest)))
        allowed += paths
    connection = duckdb.connect(":memory:", config={"threads": _threads(), "autoinstall_known_extensions": False})
    try:
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


def _source(entries: Iterable[Entry], local: Callable[[str], str]) -> tuple[str, list[str]]:
    """Return the SELECT over these files, joined by the names of their columns, and the local files it reads."""
    groups: dict[str, list[str]] = {}
    for entry in entries:
        if reader := table_format(entry):
            groups.setdefault(reader, []).append(local(entry.digest))
    if not groups:
        raise InvalidInputError("none of these files is a table: there are no Parquet, CSV or JSON lines among them.")
    parts = [
        f"SELECT * FROM {reader.replace('FILES', '[' + ', '.join(_text(p) for p in paths) + ']')}"
        for reader, paths in groups.items()
    ]
    return " UNION ALL BY NAME ".join(parts), [path for paths in groups.values() for path in paths]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _threads() -> int:
    import os

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
