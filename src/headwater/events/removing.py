"""Removing rows: the Parquet object of a seal is written anew without them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.duck import connect
from headwater.durable import crash_point

from .parquet import read_parquet_sql, to_parquet
from .schema import from_document
from .sealing import replace_seals
from .tail import Seal, Span, list_seals

if TYPE_CHECKING:
    import duckdb


def remove_rows(project: Any, stream: str, column: str, values: Sequence[str]) -> int:
    """Take the sealed rows of a stream whose ``column`` is one of ``values`` away; returns how many rows went.

    Raises:
        ConflictError: another process gathered a seal meanwhile: run it again.
    """
    with project.ledger.read() as tx:
        seals = list_seals(tx, [stream], Span())
    removed = 0
    with connect() as connection:
        connection.execute("CREATE TABLE unwanted (value VARCHAR)")
        connection.execute("INSERT INTO unwanted SELECT unnest(?)", [list(values)])
        for seal in seals:
            removed += _without(project, connection, seal, column)
    return removed


def _without(project: Any, connection: duckdb.DuckDBPyConnection, seal: Seal, column: str) -> int:
    source = read_parquet_sql([project.objects.cached_path(seal.digest)])
    wanted = f'"{column}" NOT IN (SELECT value FROM unwanted) OR "{column}" IS NULL'
    counted = connection.execute(
        f"SELECT count(*), min(occurred_at), max(occurred_at) FROM {source} WHERE {wanted}"
    ).fetchone()
    assert counted is not None
    left, first_at, last_at = counted
    if left == seal.rows:
        return 0
    schema = from_document(seal.stream, seal.schema)
    columns = ", ".join(f'"{name}"' for name in schema.columns)
    with tempfile.TemporaryDirectory(prefix="headwater-remove-") as work:
        target = Path(work) / "rows.parquet"
        to_parquet(connection, schema, f"SELECT {columns} FROM {source} WHERE {wanted}", target, left)
        digest, size = project.objects.put_file(target)
    crash_point("remove.events.durable")
    span = (first_at, last_at) if left else (seal.first_at, seal.last_at)
    with project.ledger.write() as tx:
        replace_seals(tx, [seal], schema, digest, size, left, span)
    return seal.rows - int(left)
