"""Schemas of frames for annotations: the columns that a step expects or returns, their types and bounds.

As in ``def clean(raw: Annotated[pl.DataFrame, hw.Schema({"delay": hw.Field(float, least=-60)})]): ...``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TYPES: dict[type, tuple[str, ...]] = {
    int: (
        "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
        "UHUGEINT",
    ),
    float: ("FLOAT", "DOUBLE", "DECIMAL"),
    str: ("VARCHAR", "ENUM"),
    bool: ("BOOLEAN",),
    bytes: ("BLOB",),
    datetime.datetime: ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"),
    datetime.date: ("DATE",),
    datetime.time: ("TIME",),
    datetime.timedelta: ("INTERVAL",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """What must hold of a column.

    ``type`` is int, float, str, bool, bytes, a class of ``datetime``, a name of DuckDB's, or None for any. ``nulls``
    False: none is missing, NaN counts as missing. ``least`` and ``most`` bound the values, ``among`` lists them.
    """

    type: type | str | None = None
    nulls: bool = True
    least: Any = None
    most: Any = None
    among: Sequence[Any] | None = None


class Schema:
    """The columns of a frame by name, each a type or a ``Field``; of pandas, polars, pyarrow or a Table.

    ``more`` False: it has no other columns. ``rows`` are the fewest and the most that it may have, None for any.
    """

    def __init__(
        self,
        columns: Mapping[str, type | str | Field | None],
        *,
        more: bool = True,
        rows: tuple[int, int | None] = (0, None),
    ) -> None:
        self.columns = {name: each if isinstance(each, Field) else Field(each) for name, each in columns.items()}
        self.more = more
        self.rows = rows

    def __repr__(self) -> str:
        return f"Schema({', '.join(self.columns)})"

    def problems(self, frame: Any) -> Iterator[str]:
        """Yield what of a frame is not as the schema says, each as the rest of a sentence."""
        from headwater.duck import connect
        from headwater.errors import InvalidInputError
        from headwater.lake.table import quote
        from headwater.lake.tables import readable

        connection = connect()
        try:
            try:
                connection.register("given", readable(frame))
            except InvalidInputError:
                yield f"a {type(frame).__name__}, not a frame"
                return
            types = {row[0]: str(row[1]) for row in connection.execute("DESCRIBE given").fetchall()}
            absent = [name for name in self.columns if name not in types]
            if absent:
                yield f"a frame without column '{absent[0]}'; it has {', '.join(types) or 'none'}"
            others = [name for name in types if name not in self.columns]
            if others and not self.more:
                yield f"a frame with column '{others[0]}', which the schema does not have"
            yield from self._rows(connection)
            for name, field in self.columns.items():
                if name in types:
                    yield from _column(connection, quote(name), name, types[name], field)
        finally:
            connection.close()

    def _rows(self, connection: Any) -> Iterator[str]:
        fewest, most = self.rows
        count = connection.execute("SELECT count(*) FROM given").fetchone()[0]
        if count < fewest or (most is not None and count > most):
            wanted = f"{fewest:,} or more" if most is None else f"{fewest:,} to {most:,}"
            yield f"a frame of {count:,} rows, not {wanted}"


def _column(connection: Any, quoted: str, name: str, kind: str, field: Field) -> Iterator[str]:
    if not _is_of(kind, field.type):
        wanted = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", field.type)
        yield f"column '{name}' is {kind}, not {wanted}"
        return
    missing = f"{quoted} IS NULL" + (f" OR isnan({quoted})" if kind in ("FLOAT", "DOUBLE") else "")
    conditions = [] if field.nulls else [(missing, "is missing")]
    values: list[Any] = []
    for bound, sign, word in ((field.least, "<", "below"), (field.most, ">", "above")):
        if bound is not None:
            conditions.append((f"NOT ({missing}) AND {quoted} {sign} ?", f"is {word} {bound}"))
            values.append(bound)
    if field.among is not None:
        marks = ", ".join("?" * len(field.among))
        conditions.append((f"{quoted} IS NOT NULL AND {quoted} NOT IN ({marks})", "is none of those allowed"))
        values += field.among
    if not conditions:
        return
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition, _ in conditions)
    found = connection.execute(f"SELECT count(*), {counts} FROM given", values).fetchone()
    for (_, what), count in zip(conditions, found[1:], strict=True):
        if count:
            yield f"column '{name}' {what} in {count:,} of {found[0]:,} rows"


def _is_of(kind: str, wanted: type | str | None) -> bool:
    if wanted is None:
        return True
    plain = kind.partition("(")[0]
    if isinstance(wanted, str):
        return wanted.upper() in (kind.upper(), plain.upper())
    return plain in _TYPES.get(wanted, ())
