"""Masking the columns of a table within DuckDB: distinct values become pseudonyms, and rows are joined to those.

What leaves the connection is the masked table; nulls stay null, and a column has as many different values after as
before, which is checked and not assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..errors import CorruptError
from ..lake.table import quote
from .masks import largest_of
from .pseudonyms import GUESSABLE, TEXT_KINDS, Key, mask_decimal, mask_integer, possible, shift_days

if TYPE_CHECKING:
    import duckdb

_SHARED = frozenset({"given_name"})
"""Masks under which several people have one pseudonym, as they would have one name."""


def mask_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    into: str,
    masks: Mapping[str, str],
    key: Key,
    *,
    subject: str = "''",
    warnings: list[str],
) -> None:
    """Make table ``into`` of ``table`` with these columns masked, its rows in the order of ``table``.

    ``masks`` are kinds by column; ``drop`` leaves the column out. ``subject`` is an SQL expression over the table
    whose text moves dates together. Weak spots are added to ``warnings``.

    Raises:
        CorruptError: two values of a column got one pseudonym.
    """
    types = {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE {quote(table)}").fetchall()}
    chosen, joins = [], []
    for number, (column, kind) in enumerate(types.items()):
        mask = masks.get(column)
        name = f"t.{quote(column)}"
        if mask == "drop":
            continue
        if mask is None:
            chosen.append(name)
            continue
        mapping = f"masked_{number}"
        if mask == "date":
            _make_shifts(connection, mapping, table, subject, key)
            joins.append(f"LEFT JOIN {mapping} AS {mapping} ON {mapping}.given = t.of_whom")
            chosen.append(f"CAST({name} + to_days({mapping}.days) AS {kind}) AS {quote(column)}")
            continue
        _make_mapping(connection, mapping, table, column, kind, mask, key, warnings)
        joins.append(f"LEFT JOIN {mapping} AS {mapping} ON {mapping}.given = CAST({name} AS VARCHAR)")
        chosen.append(f"CAST({mapping}.made AS {kind}) AS {quote(column)}")
    inner = f"SELECT *, CAST({subject} AS VARCHAR) AS of_whom, row_number() OVER () AS in_order FROM {quote(table)}"
    connection.execute(
        f"CREATE TABLE {quote(into)} AS SELECT {', '.join(chosen) or 'NULL AS nothing'} FROM ({inner}) AS t "
        f"{' '.join(joins)} ORDER BY t.in_order"
    )
    for column, mask in masks.items():
        if column in types and mask not in ("drop", "date", *_SHARED):
            _require_unique(connection, table, into, column)


def _make_mapping(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    table: str,
    column: str,
    kind: str,
    mask: str,
    key: Key,
    warnings: list[str],
) -> None:
    """Make a table of the distinct values of a column, as text, and what each becomes."""
    import numpy

    rows = connection.execute(
        f"SELECT DISTINCT CAST({quote(column)} AS VARCHAR) FROM {quote(table)} WHERE {quote(column)} IS NOT NULL"
    ).fetchall()
    given = sorted(row[0] for row in rows)
    made: list[str] = [_pseudonym(key, text, kind, mask) for text in given]
    few = [text for text in given if mask in ("text", "number", "phone") and possible(text) < GUESSABLE]
    if few:
        warnings.append(
            f"'{column}': {len(few):,} values are so short that their pseudonyms can be guessed by trying "
            "(under a million possible values)"
        )
    pairs = {
        "given": numpy.array([*given, None], dtype=object),
        "made": numpy.array([*made, None], dtype=object),
    }
    _register(connection, name, pairs, "CAST(given AS VARCHAR) AS given, CAST(made AS VARCHAR) AS made")


def _pseudonym(key: Key, text: str, kind: str, mask: str) -> str:
    if mask != "number":
        return TEXT_KINDS[mask](key, text)
    if kind in ("FLOAT", "DOUBLE"):
        number = Decimal(text) if text.lower() not in ("inf", "-inf", "nan") else None
        return text if number is None else str(mask_decimal(key, number))
    if kind.startswith("DECIMAL"):
        return str(mask_decimal(key, Decimal(text)))
    return str(mask_integer(key, int(text), largest_of(kind)))


def _make_shifts(connection: duckdb.DuckDBPyConnection, name: str, table: str, subject: str, key: Key) -> None:
    """Make a table of the subjects, as text, and by how many days the dates of each are moved."""
    import numpy

    found = connection.execute(f"SELECT DISTINCT CAST({subject} AS VARCHAR) FROM {quote(table)}").fetchall()
    given = sorted(row[0] for row in found if row[0] is not None)
    pairs = {
        "given": numpy.array([*given, None], dtype=object),
        "days": numpy.array([*(shift_days(key, text) for text in given), 0], dtype="int32"),
    }
    _register(connection, name, pairs, "CAST(given AS VARCHAR) AS given, days")


def _register(connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, Any], select: str) -> None:
    connection.register("given_columns", columns)
    try:
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT {select} FROM given_columns")
    finally:
        connection.unregister("given_columns")


def _require_unique(connection: duckdb.DuckDBPyConnection, before: str, after: str, column: str) -> None:
    counts = [
        connection.execute(
            f"SELECT count(DISTINCT {quote(column)}), count({quote(column)}) FROM {quote(each)}"
        ).fetchone()
        for each in (before, after)
    ]
    if counts[0] != counts[1]:
        raise CorruptError(
            f"column '{column}' has other numbers of (different values, values) after masking than before: "
            f"{counts[1]} instead of {counts[0]}. Nothing was kept; mask it as 'text' or drop it.",
            column=column,
        )
