"""Whether a masked table still holds what was masked, in a column that was not; and which columns look personal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from ..lake.table import quote
from .masks import looks_personal

if TYPE_CHECKING:
    import duckdb

_LOOKED_AT = 1000
_SHORTEST = 4
_TOKENS = r"'[^[:alnum:]@._+-]+'"


def unmasked_copies(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, str],
    masks: Mapping[str, Mapping[str, str]],
    left: Collection[str] = (),
) -> list[str]:
    """Return a sentence for each unmasked column that holds values which were masked in another.

    ``tables`` gives the table of original rows by the name people know, ``masks`` the kinds by column of each. Found
    are equal values, words of a text that equal a masked value, and masked values anywhere in a text of the same row.
    ``left`` are columns (``name`` or ``table.name``) that may stay.
    """
    secrets = [
        (name, column) for name, kinds in masks.items() for column, kind in kinds.items() if kind not in ("date",)
    ]
    found = []
    for name, table in tables.items():
        types = _types(connection, table)
        for column, kind in types.items():
            if column in masks[name] or column in left or f"{name}.{column}" in left:
                continue
            for of, secret in secrets:
                held = _holds(connection, table, column, kind, tables[of], secret)
                if held:
                    found.append(
                        f"'{column}' of '{name}' holds {held:,} values in clear that are masked in '{secret}' of '{of}'"
                    )
                    break
    return found


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE {quote(table)}").fetchall()}


def _holds(connection: duckdb.DuckDBPyConnection, table: str, column: str, kind: str, of: str, secret: str) -> int:
    """Return in how many rows a column gives away a masked value."""
    text = f"lower(CAST({quote(column)} AS VARCHAR))"
    hidden = f"lower(CAST({quote(secret)} AS VARCHAR))"
    if kind != "VARCHAR":
        # Small whole numbers are equal by chance: a copy is equal in row after row.
        if table != of:
            return 0
        row = connection.execute(
            f"SELECT count(*) FILTER ({text} = {hidden}), count({quote(secret)}), count(DISTINCT {quote(secret)}) "
            f"FROM {quote(table)}"
        ).fetchone()
        same, there, different = row or (0, 0, 0)
        return int(same) if different > 1 and same * 10 >= there * 9 and there else 0
    values = f"SELECT DISTINCT {hidden} AS value FROM {quote(of)} WHERE length({hidden}) >= {_SHORTEST}"
    words = f"SELECT unnest(list_append(string_split_regex({text}, {_TOKENS}), {text})) AS word FROM {quote(table)}"
    counted = connection.execute(f"SELECT count(*) FROM ({words}) WHERE word IN ({values})").fetchone()
    total = int(counted[0]) if counted else 0
    if not total and table == of:
        within = connection.execute(
            f"SELECT count(*) FROM {quote(table)} WHERE length({hidden}) >= {_SHORTEST} AND contains({text}, {hidden})"
        ).fetchone()
        total = int(within[0]) if within else 0
    return total


def personal_columns(
    connection: duckdb.DuckDBPyConnection, name: str, table: str, masks: Mapping[str, str]
) -> list[str]:
    """Return a sentence for each column that is not masked and looks personal, by its name or its values."""
    found = []
    for column, kind in _types(connection, table).items():
        if column in masks:
            continue
        values: list[str] = []
        if kind == "VARCHAR":
            rows = connection.execute(
                f"SELECT DISTINCT {quote(column)} FROM {quote(table)} WHERE {quote(column)} IS NOT NULL "
                f"LIMIT {_LOOKED_AT}"
            ).fetchall()
            values = list(chain.from_iterable(rows))
        looks = looks_personal(column, values)
        if looks:
            found.append(f"'{column}' of '{name}' is not masked and looks like {looks}")
    return found
