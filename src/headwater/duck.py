"""DuckDB as this house uses it: connections that draw nothing, and Parquet that keeps every digit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WIDE = "DECIMAL(38, 0)"
"""What whole numbers of more than 64 bits are in Parquet."""


def connect(config: Mapping[str, Any] | None = None) -> DuckDBPyConnection:
    """Return a connection to a new database in memory; ``config`` are DuckDB's own settings.

    A process without a main file (a worker, ``python -c``, a notebook) would else get a progress bar on its standard
    output after two seconds, in the middle of what it answers. Cursors take the setting over.
    """
    import duckdb

    connection = duckdb.connect(":memory:", config=dict(config or {}))
    connection.execute("SET enable_progress_bar = false")
    return connection


def exact(connection: DuckDBPyConnection, select: str) -> str:
    """Return a SELECT whose whole numbers of more than 64 bits (sums are) are DECIMAL(38, 0), for ``COPY`` to Parquet.

    DuckDB writes HUGEINT to Parquet as DOUBLE, which rounds beyond 2**53. A value of more than 38 digits is refused by
    DuckDB when it is read.
    """
    described = connection.execute(f"DESCRIBE {select}").fetchall()
    wide = {name: re.sub(r"\bU?HUGEINT\b", WIDE, kind) for name, kind, *_ in described if "HUGEINT" in kind}
    if not wide:
        return select
    casts = ", ".join(f"CAST({_name(name)} AS {kind}) AS {_name(name)}" for name, kind in wide.items())
    return f"SELECT * REPLACE ({casts}) FROM ({select})"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
