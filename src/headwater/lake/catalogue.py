"""The columns of versions and what people say of them, kept in the ledger so that they can be searched.

A commit records the columns where they are known without reading: those of tables just put, or the parent's where no
table changed. Whatever else is asked for is looked up in the tables once, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..canonical import digest, encode
from ..duck import connect
from ..errors import HeadwaterError, InvalidInputError, NotFoundError
from ..operation import operation
from ..project import Project
from .files import iter_files
from .media import media_of, table_format
from .refs import find_version, require_dataset
from .values import Entry, Version

if TYPE_CHECKING:
    from ..ledger import Tx, WriteTx

Also = Callable[["WriteTx", Version], None]
Columns = dict[str, str]

LONGEST_DESCRIPTION = 10_000
TABLES_READ = 200  # of a version with more tables, the first and the last by path tell its columns
_KNOWN = 1000
_known: dict[str, Columns] = {}  # of tables that this process put, by digest


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a version's tables: its name, its type as DuckDB calls it, and what people say of it."""

    name: str
    type: str
    description: str = ""


@operation("data.columns", needs="data:read")
def list_columns(project: Project, ref: str) -> tuple[Column, ...]:
    """Return the columns of a version's tables, in order; none where it holds no table.

    Raises:
        NotFoundError: the ref names nothing.
    """
    with project.ledger.read() as tx:
        version = find_version(tx, ref)
        said = _descriptions(tx, version.dataset)
    return tuple(
        Column(name=name, type=kind, description=said.get(name, ""))
        for name, kind in columns_of(project, version).items()
    )


@operation("data.column.describe", needs="data:write")
def describe_column(project: Project, dataset: str, column: str, description: str) -> Column:
    """Set the text that says what a column is, for all versions of a dataset; "" takes it away.

    Raises:
        NotFoundError: there is no such dataset, or its newest version has no such column.
        InvalidInputError: the text is longer than 10,000 characters.
    """
    if len(description) > LONGEST_DESCRIPTION:
        raise InvalidInputError(
            f"a description holds at most {LONGEST_DESCRIPTION:,} characters, not {len(description):,}."
        )
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        number = tx.value("SELECT versions FROM datasets WHERE name = ?", (dataset,))
        newest = find_version(tx, f"{dataset}@v{number}")
    columns = columns_of(project, newest)
    if column not in columns:
        raise NotFoundError(_no_column(newest, column, list(columns)), column=column)
    with project.ledger.write() as tx:
        tx.execute("DELETE FROM column_descriptions WHERE dataset = ? AND name = ?", (dataset, column))
        if description:
            tx.insert(
                "column_descriptions",
                dataset=dataset,
                name=column,
                description=description,
                set_at=project.clock(),
                set_by=project.actor.name,
            )
    return Column(name=column, type=columns[column], description=description)


def _no_column(version: Version, column: str, names: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(column, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{version.ref} has no column '{column}'.{hint} It has {', '.join(names[:30]) or 'no table'}."


def columns_of(project: Project, version: Version) -> Columns:
    """Return the columns of a version's tables and their types, from the ledger, or looked up now and kept."""
    with project.ledger.read() as tx:
        kept = _kept(tx, version.id)
    if kept is not None:
        return kept
    found = _looked_up(project, version)
    try:
        with project.ledger.write() as tx:
            _keep(tx, version.id, found)
    except HeadwaterError as error:  # it is found again when next asked for
        import logging

        logging.getLogger(__name__).warning("the columns of %s were not kept: %s", version.ref, error)
    return found


def _looked_up(project: Project, version: Version) -> Columns:
    from .scanning import table_of

    tables = [entry for entry in iter_files(project, version.id) if table_format(entry)]
    if len(tables) > TABLES_READ:
        tables = [*tables[: TABLES_READ // 2], *tables[-TABLES_READ // 2 :]]
    return table_of(project, tables).types if tables else {}


def remember_columns(digest_of_table: str, file: Path) -> None:
    """Note the columns of a Parquet file that was just put, for the commit that will name it."""
    with connect() as connection:
        name = str(file).replace("'", "''")
        rows = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{name}')").fetchall()
    while len(_known) >= _KNOWN:
        _known.pop(next(iter(_known)))
    _known[digest_of_table] = {row[0]: str(row[1]) for row in rows}


def with_columns(put: Sequence[Entry], remove: Sequence[str], parent: Version | None, also: Also | None) -> Also:
    """Return ``also`` with the recording of the version's columns, where they are known without reading a table."""
    put_columns = [_known.get(entry.digest) for entry in put if table_format(entry)]
    removes = any(table_format(Entry(path=path, digest="", size=0, media=media_of(path))) for path in remove)

    def record(tx: WriteTx, version: Version) -> None:
        before: Columns | None = _kept(tx, parent.id) if parent is not None else {}
        columns = _after(before, put_columns, removes)
        if columns is not None:
            _keep(tx, version.id, columns)
        if also is not None:
            also(tx, version)

    return record


def _after(before: Columns | None, put: list[Columns | None], removes: bool) -> Columns | None:
    """Return the columns after a change, None where only the tables can tell."""
    if before is None:
        return None
    if not put:
        return None if removes else before
    together: Columns = {}
    for columns in put:
        if columns is None:
            return None
        for name, kind in columns.items():
            if together.setdefault(name, kind) != kind:
                return None
    # New tables with just the columns of the old ones leave no doubt, whatever was replaced or removed.
    return together if not before else before if together == before else None


def _kept(tx: Tx, version: str) -> Columns | None:
    row = tx.one("SELECT schema FROM version_schemas WHERE version = ?", (version,))
    if row is None:
        return None
    rows = tx.all("SELECT name, type FROM schema_columns WHERE schema = ? ORDER BY place", (row.schema,))
    return {each.name: each.type for each in rows}


def _keep(tx: WriteTx, version: str, columns: Mapping[str, str]) -> None:
    schema = digest(encode([[name, kind] for name, kind in columns.items()])) if columns else ""
    if schema and tx.one("SELECT 1 AS one FROM schema_columns WHERE schema = ? LIMIT 1", (schema,)) is None:
        for place, (name, kind) in enumerate(columns.items()):
            tx.execute(
                "INSERT INTO schema_columns (schema, place, name, type) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (schema, place) DO NOTHING",  # another commit may bring the same columns just now
                (schema, place, name, kind),
            )
    tx.execute(
        "INSERT INTO version_schemas (version, schema) VALUES (?, ?) ON CONFLICT (version) DO NOTHING",
        (version, schema),
    )


def _descriptions(tx: Tx, dataset: str) -> dict[str, str]:
    rows = tx.all("SELECT name, description FROM column_descriptions WHERE dataset = ?", (dataset,))
    return {row.name: row.description for row in rows}
