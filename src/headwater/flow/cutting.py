"""Cutting tables by rows, at places that the rows themselves decide, into Parquet files that are the same each time.

A cut follows a row whose hash is one of those that come once in so many rows, never before ``rows / 4`` and never
after ``rows * 4`` rows since the cut before. So a row that is put in, changed or taken out changes the batch that it
is in, and perhaps its neighbours; from the next row on that both versions cut after, batches are as they were.
Counting rows would move every later batch. DuckDB hashes the rows: another release of it may cut elsewhere, which
costs one run over everything and never a wrong result, since a batch is known by its bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.duck import connect
from headwater.errors import InvalidInputError
from headwater.lake.table import quote, refusal

if TYPE_CHECKING:
    import duckdb

ROWS = 10_000
FEWEST_ROWS = 16
_AT_ONCE = 4_000_000  # hashes in memory
_WINDOW_ROWS = 500_000
_NUMBER = "__headwater_row"


class Cut(NamedTuple):
    """Rows ``start`` to ``stop`` of a table."""

    start: int
    stop: int


def open_table(path: Path) -> tuple[duckdb.DuckDBPyConnection, list[str], int]:
    """Return a connection with the Parquet file as the view ``given``, its columns, and how many rows it has."""
    import duckdb

    connection = connect({"threads": 1})  # one thread: the same rows give the same bytes
    try:
        connection.execute("SET TimeZone = 'UTC'")
        place = str(path).replace("'", "''")
        connection.execute(
            f"CREATE VIEW given AS SELECT * RENAME (file_row_number AS {_NUMBER}) "
            f"FROM read_parquet('{place}', file_row_number = true)"
        )
        columns = [row[0] for row in connection.execute("DESCRIBE given").fetchall() if row[0] != _NUMBER]
        rows = connection.execute("SELECT count(*) FROM given").fetchone()
    except duckdb.Error as error:
        connection.close()
        raise refusal(error) from error
    return connection, columns, int(rows[0]) if rows else 0


def cuts_of(connection: duckdb.DuckDBPyConnection, columns: Sequence[str], total: int, rows: int) -> list[Cut]:
    """Return where the rows of ``given`` are cut into batches of about so many.

    Raises:
        InvalidInputError: ``rows`` is below 16.
    """
    import numpy as np

    if rows < FEWEST_ROWS:
        raise InvalidInputError(f"a batch holds about {FEWEST_ROWS} rows or more, not {rows}.", rows=rows)
    fewest, most = rows // 4, rows * 4
    hashed = ", ".join(quote(name) for name in columns)
    found = []
    for start in range(0, total, _AT_ONCE):
        hashes = connection.execute(
            f"SELECT hash({hashed}) AS h FROM given WHERE {_NUMBER} >= {start} AND {_NUMBER} < {start + _AT_ONCE} "
            f"ORDER BY {_NUMBER}"
        ).fetchnumpy()["h"]
        found.append(np.flatnonzero(hashes % np.uint64(rows - fewest) == 0) + start)
    places = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
    cuts, at = [], 0
    while at < total:
        following = int(np.searchsorted(places, at + fewest - 1))
        stop = min(at + most, total)
        if following < len(places):
            stop = min(stop, int(places[following]) + 1)
        cuts.append(Cut(at, stop))
        at = stop
    return cuts


def pieces(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], cuts: Sequence[Cut]
) -> Iterator[tuple[Cut, Path]]:
    """Yield a Parquet file of the rows of each cut, which is gone when the next one is asked for.

    Cuts follow each other without gaps; their rows are read once.
    """
    chosen = ", ".join(quote(name) for name in columns)
    with tempfile.TemporaryDirectory(prefix="headwater-rows-") as folder:
        target = Path(folder) / "rows.parquet"
        for window in _windows(cuts):
            first, last = window[0].start, window[-1].stop
            source = "given"
            if len(window) > 1:
                connection.execute(
                    f"CREATE OR REPLACE TEMP TABLE near AS SELECT * FROM given "
                    f"WHERE {_NUMBER} >= {first} AND {_NUMBER} < {last} ORDER BY {_NUMBER}"
                )
                source = "near"
            for cut in window:
                where = str(target).replace("'", "''")
                connection.execute(
                    f"COPY (SELECT {chosen} FROM {source} WHERE {_NUMBER} >= {cut.start} AND {_NUMBER} < {cut.stop} "
                    f"ORDER BY {_NUMBER}) TO '{where}' (FORMAT parquet, COMPRESSION zstd)"
                )
                yield cut, target


def _windows(cuts: Sequence[Cut]) -> Iterator[list[Cut]]:
    window: list[Cut] = []
    for cut in cuts:
        if window and cut.stop - window[0].start > _WINDOW_ROWS:
            yield window
            window = []
        window.append(cut)
    if window:
        yield window


def sort_by(connection: duckdb.DuckDBPyConnection, source: str, column: str, target: Path) -> list[tuple[Any, int]]:
    """Write the rows of a query to a Parquet file, those of each value of a column together; return value and count.

    Values in order, null last; the rows of a value stay in the order in which the query gives them.

    Raises:
        InvalidInputError: the query has no such column.
    """
    import duckdb

    place = str(target).replace("'", "''")
    try:
        connection.execute("SET threads = 1")
        connection.execute(
            f"COPY (SELECT * EXCLUDE ({_NUMBER}) FROM (SELECT *, row_number() OVER () AS {_NUMBER} FROM ({source})) "
            f"ORDER BY {quote(column)} NULLS LAST, {_NUMBER}) TO '{place}' (FORMAT parquet, COMPRESSION zstd)"
        )
        return [
            (value, int(count))
            for value, count in connection.execute(
                f"SELECT {quote(column)}, count(*) FROM read_parquet('{place}') GROUP BY 1 ORDER BY 1 NULLS LAST"
            ).fetchall()
        ]
    except duckdb.Error as error:
        raise refusal(error) from error
