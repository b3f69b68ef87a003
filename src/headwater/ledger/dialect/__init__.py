"""What differs between SQLite and Postgres: all of it is in this folder and nowhere else.

Both are driven with the same SQL (``?`` for values; types TEXT, INTEGER, REAL, BLOB) and behave alike: text orders
bytewise, LIKE tells upper from lower case, NaN in a REAL column is null, True is 1, a column refuses what cannot
become its type, and a write transaction has the ledger to itself. Drivers are imported when a connection is made.
What the SQL of a room must mind: LIKE names its ESCAPE, a condition is a comparison (``done = 1``, not ``done``), the
larger of two values is a CASE, and whether a parameter is None is decided in Python, not by ``? IS NULL``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .seam import (
    DEFAULT_TIMEOUT_S,
    Connection,
    Cursor,
    Dialect,
    Mode,
    busy,
    insert_statement,
    unknown_outcome,
)
from .sqlite import SQLite

if TYPE_CHECKING:
    from .postgres import Postgres

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "Connection",
    "Cursor",
    "Dialect",
    "Mode",
    "Postgres",
    "SQLite",
    "busy",
    "dialect_of",
    "insert_statement",
    "unknown_outcome",
]


def dialect_of(url: str | Path, timeout_s: float = DEFAULT_TIMEOUT_S) -> Dialect:
    """Return the dialect of a ledger's address: ``postgresql://...``, or the path of an SQLite file."""
    if isinstance(url, str) and url.startswith(("postgresql://", "postgres://")):
        from .postgres import Postgres

        return Postgres(url, timeout_s)
    return SQLite(Path(url), timeout_s)


def __getattr__(name: str) -> Any:
    if name == "Postgres":  # a ledger in a file does not pay for it
        from .postgres import Postgres

        return Postgres
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
