"""Erasing from events: rows that hold something of a subject lose it, and their Parquet object is written anew.

A row stays with its id and its times, so that what refers to it finds it; bytes (the inputs and outputs of a
prediction) become null, texts lose the words that name the subject.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.duck import connect
from headwater.durable import crash_point

from .parquet import quote, to_parquet
from .schema import from_document
from .sealing import replace_seals
from .tail import Seal, Span, list_seals

if TYPE_CHECKING:
    import duckdb

    from headwater.ledger import WriteTx

Holds = Callable[[Any], bool]
Without = Callable[[str], str]
Cells = dict[tuple[int, str], Any]


def find_in_seals(project: Any, holds: Holds) -> Iterator[tuple[Seal, Cells, list[dict[str, Any]]]]:
    """Yield each seal with the cells ``(row, column)`` that hold something, and the rows they are in."""
    with project.ledger.read() as tx:
        seals = list_seals(tx, None, Span())
    for seal in seals:
        cells: Cells = {}
        rows = []
        for number, row in enumerate(_rows(project, seal)):
            found = {(number, name): value for name, value in row.items() if _may(value) and holds(value)}
            if found:
                cells |= found
                rows.append(row)
        if cells:
            yield seal, cells, rows


def _may(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _rows(project: Any, seal: Seal) -> Iterator[dict[str, Any]]:
    with connect() as connection:
        cursor = connection.execute(f"SELECT * FROM {_source(project, seal)} ORDER BY file_row_number")
        names = [column[0] for column in cursor.description or ()]
        while page := cursor.fetchmany(2000):
            for row in page:
                yield {name: value for name, value in zip(names, row, strict=True) if name != "file_row_number"}


def _source(project: Any, seal: Seal) -> str:
    return f"read_parquet({quote(project.objects.cached_path(seal.digest))}, file_row_number = true)"


def rewrite_seal(project: Any, seal: Seal, cells: Cells, without: Without, also: Callable[[WriteTx], None]) -> None:
    """Write a seal's object without some cells, and let the new one take its place; ``also`` records more with it.

    Raises:
        ConflictError: another process gathered the seal meanwhile: look again.
    """
    schema = from_document(seal.stream, seal.schema)
    with tempfile.TemporaryDirectory(prefix="headwater-erase-") as work, connect() as connection:
        select = _select(connection, _source(project, seal), list(schema.columns), cells, without)
        target = Path(work) / "rows.parquet"
        to_parquet(connection, schema, select, target, seal.rows)
        digest, size = project.objects.put_file(target)
    crash_point("erase.events.durable")
    with project.ledger.write() as tx:
        replace_seals(tx, [seal], schema, digest, size, seal.rows, (seal.first_at, seal.last_at))
        also(tx)


def _select(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    columns: list[str],
    cells: Cells,
    without: Without,
) -> str:
    connection.execute("CREATE TABLE fixed (place BIGINT, name VARCHAR, said VARCHAR)")
    connection.executemany(
        "INSERT INTO fixed VALUES (?, ?, ?)",
        [(row, name, without(value) if isinstance(value, str) else None) for (row, name), value in cells.items()],
    )
    shown = []
    for name in columns:
        kinds = {type(value) for (_, column), value in cells.items() if column == name}
        theirs = f"(SELECT said FROM fixed f WHERE f.place = file_row_number AND f.name = '{name}')"
        new = "NULL" if bytes in kinds else theirs
        hit = f"file_row_number IN (SELECT place FROM fixed WHERE name = '{name}')"
        shown.append(f'CASE WHEN {hit} THEN {new} ELSE "{name}" END AS "{name}"' if kinds else f'"{name}"')
    return f"SELECT {', '.join(shown)} FROM {source}"
