"""Whether two ledgers hold the same rows, table by table, in either database; and which rows differ.

A table is summed up in 256 parts: each row's own hash says its part, a part is the count and the sum of its hashes,
whatever the order. Only the parts that differ are read again to name rows, so that memory stays small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from ..canonical import encode
from .transaction import Tx
from .transfer import table_order

PARTS = 256
_MODULUS = 2**128
_SHOWN = 5
Sums = dict[str, list[tuple[int, int]]]
"""Table to its parts, each a number of rows and the sum of their hashes."""


class TableDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A table that differs: its numbers of rows, and the first few rows that only one side has."""

    table: str
    rows_a: int
    rows_b: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def sum_tables(tx: Tx, leave_out: Collection[str] = ()) -> Sums:
    """Return the sums of every table of a ledger, but those left out."""
    tables = tables_of(tx)
    return {table: _sum(tx, table, tables[table]) for table in table_order(tables) if table not in leave_out}


def tables_of(tx: Tx) -> dict[str, list[str]]:
    """Return the tables of a ledger and their columns."""
    return tx._dialect.table_columns(tx._open())


def count_rows(sums: Sums) -> dict[str, int]:
    """Return the number of rows of each table."""
    return {table: sum(count for count, _ in parts) for table, parts in sums.items()}


def differing(a: Tx, b: Tx, sums_a: Sums, sums_b: Sums) -> Iterator[TableDifference]:
    """Yield the tables that differ, with the first few rows of either side that the other has not."""
    columns_a, columns_b = tables_of(a), tables_of(b)
    for table in sums_a.keys() | sums_b.keys():
        parts_a, parts_b = sums_a.get(table, []), sums_b.get(table, [])
        if parts_a == parts_b:
            continue
        wanted = {part for part in range(PARTS) if parts_a[part : part + 1] != parts_b[part : part + 1]}
        found: Counter[bytes] = Counter()
        for tx, columns, sign in ((a, columns_a, 1), (b, columns_b, -1)):
            for _, key in _hashed(tx, table, columns.get(table, [])):
                if key[0] in wanted:
                    found[key] += sign
        yield TableDifference(
            table=table,
            rows_a=sum(count for count, _ in parts_a),
            rows_b=sum(count for count, _ in parts_b),
            only_a=_texts(a, table, columns_a.get(table, []), {key for key, count in found.items() if count > 0}),
            only_b=_texts(b, table, columns_b.get(table, []), {key for key, count in found.items() if count < 0}),
        )


def _sum(tx: Tx, table: str, columns: Sequence[str]) -> list[tuple[int, int]]:
    counts, sums = [0] * PARTS, [0] * PARTS
    for _, key in _hashed(tx, table, columns):
        counts[key[0]] += 1
        sums[key[0]] = (sums[key[0]] + int.from_bytes(key, "big")) % _MODULUS
    return list(zip(counts, sums, strict=True))


def _hashed(tx: Tx, table: str, columns: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    if not columns:
        return
    names = ", ".join(f'"{column}"' for column in columns)
    for row in tx.stream(f'SELECT {names} FROM "{table}"'):
        values = tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
        yield values, blake2b(encode(values), digest_size=16).digest()


def _texts(tx: Tx, table: str, columns: Sequence[str], keys: set[bytes]) -> tuple[str, ...]:
    """Return the first few rows of these hashes as text; what is secret in them is not shown."""
    shown: list[str] = []
    if keys:
        for values, key in _hashed(tx, table, columns):
            if key in keys:
                cells = zip(columns, values, strict=True)
                shown.append(", ".join(f"{name}={_cell(name, value)}" for name, value in cells))
                if len(shown) == _SHOWN:
                    break
    return tuple(shown)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bytes) or any(word in name for word in ("hash", "password", "secret", "token", "salt")):
        return "…"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
