"""What differs between the tables of two versions: statistics of each column, and rows by key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import InvalidInputError
from ..operation import operation
from ..project import Project
from .files import entry_of, iter_files
from .manifest import differences
from .media import table_format
from .refs import find_version
from .scanning import open_views
from .table import Table, quote
from .values import Entry, Version

if TYPE_CHECKING:
    import duckdb

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_REALS = ("FLOAT", "DOUBLE", "DECIMAL")
_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT")
_AT_ONCE = 50  # columns measured in one scan
_HERE = '"headwater here"'  # a column that no table has, to tell a row from none


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What a column holds. ``smallest`` and ``largest`` are texts; ``mean`` is of numbers, a share for booleans.

    ``distinct`` is an estimate (HyperLogLog, within a few per cent). NaN counts as a value, the largest.
    """

    type: str
    rows: int
    nulls: int
    distinct: int
    smallest: str | None = None
    largest: str | None = None
    mean: float | None = None


class ColumnComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A column before and after; None on the side that lacks it."""

    column: str
    before: ColumnProfile | None
    after: ColumnProfile | None


class TableComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The tables of two versions by their columns. ``rows`` are None where a side has no table."""

    a: Version
    b: Version
    rows_a: int | None
    rows_b: int | None
    columns: tuple[ColumnComparison, ...]


class CellChange(msgspec.Struct, frozen=True, kw_only=True):
    """One value that changed in a row."""

    column: str
    before: Any
    after: Any


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """A row that both versions have by its key, and its values that differ."""

    key: dict[str, Any]
    cells: tuple[CellChange, ...]


class RowDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of two versions by key. The counts are exact; the lists hold the first by key, at most as many as asked.

    ``columns`` counts the changed rows per column. A column that only one side has (``only_a``, ``only_b``) makes no
    row a changed one.
    """

    a: Version
    b: Version
    key: tuple[str, ...]
    added_count: int
    removed_count: int
    changed_count: int
    columns: dict[str, int]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    added: tuple[dict[str, Any], ...]
    removed: tuple[dict[str, Any], ...]
    changed: tuple[RowChange, ...]


@operation("data.diff.statistics", needs="data:read")
def compare_columns(project: Project, a: str, b: str, prefix: str = "") -> TableComparison:
    """Return what each column of the tables holds in version ``a`` and in version ``b`` (refs); reads both whole.

    ``prefix`` takes only tables whose paths begin with it.

    Raises:
        NotFoundError: a ref names nothing.
        InvalidInputError: neither version has a table there.
    """
    with project.ledger.read() as tx:
        before, after = find_version(tx, a), find_version(tx, b)
    sides = [[e for e in iter_files(project, v.id, prefix) if table_format(e)] for v in (before, after)]
    if not any(sides):
        raise InvalidInputError(
            f"neither {before.ref} nor {after.ref} holds a table{f' under {prefix!r}' if prefix else ''}. "
            "'hw data diff' compares their files.",
            a=a,
            b=b,
        )
    old, new = (_profiles(project, entries) for entries in sides)
    names = [*old[1], *(name for name in new[1] if name not in old[1])]
    return TableComparison(
        a=before,
        b=after,
        rows_a=old[0],
        rows_b=new[0],
        columns=tuple(ColumnComparison(column=name, before=old[1].get(name), after=new[1].get(name)) for name in names),
    )


def _profiles(project: Project, entries: list[Entry]) -> tuple[int | None, dict[str, ColumnProfile]]:
    """Return the rows of tables and what each column holds; None and {} where there is none."""
    if not entries:
        return None, {}
    connection = open_views(project, {"data": entries}, ranges=True)
    types = Table(connection, "SELECT * FROM data").types
    rows, found = 0, {}
    names = list(types)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        asked = [text for name in some for text in _measures(name, types[name])]
        values = Table(connection, f"SELECT count(*) AS n, {_named(asked)} FROM data").fetchall()[0]
        rows = int(values[0])
        for place, name in enumerate(some):
            nulls, distinct, smallest, largest, mean = values[1 + 5 * place : 6 + 5 * place]
            found[name] = ColumnProfile(
                type=types[name],
                rows=rows,
                nulls=rows - int(nulls),
                distinct=int(distinct),
                smallest=smallest,
                largest=largest,
                mean=None if mean is None else float(mean),
            )
    return rows, found


def _measures(name: str, kind: str) -> tuple[str, str, str, str, str]:
    column = quote(name)
    ordered = not kind.startswith(_NESTED) and not kind.endswith("]") and kind != "BLOB"
    mean = f"avg({column})" if kind.startswith((*_NUMBERS, *_REALS)) else "NULL"
    return (
        f"count({column})",
        f"approx_count_distinct({column})",
        f"left(min({column})::VARCHAR, 200)" if ordered else "NULL",
        f"left(max({column})::VARCHAR, 200)" if ordered else "NULL",
        f"avg({column}::INTEGER)" if kind == "BOOLEAN" else mean,
    )


def _named(expressions: Sequence[str]) -> str:
    return ", ".join(f"{text} AS m{place}" for place, text in enumerate(expressions))


@operation("data.diff.rows", needs="data:read")
def compare_rows(project: Project, a: str, b: str, key: Sequence[str], prefix: str = "", limit: int = 100) -> RowDiff:
    """Return the rows that were added, removed and changed from version ``a`` to version ``b``, matched by ``key``.

    Only the tables that differ are read: what both versions have in the same file is in both. Null matches null.

    Raises:
        NotFoundError: a ref names nothing.
        InvalidInputError: a key column is missing, or two rows of a version have the same key.
    """
    if not key or not 0 <= limit <= 10_000:
        raise InvalidInputError(f"give at least one key column, and a limit of 0 to 10,000, not {limit}.", limit=limit)
    with project.ledger.read() as tx:
        before, after = find_version(tx, a), find_version(tx, b)
    sides = _differing(project, before, after, prefix)
    if not any(sides):
        return RowDiff(
            a=before,
            b=after,
            key=tuple(key),
            added_count=0,
            removed_count=0,
            changed_count=0,
            columns={},
            only_a=(),
            only_b=(),
            added=(),
            removed=(),
            changed=(),
        )
    return _Matching(project, (before, after), sides, tuple(key)).answer(limit)


def _differing(project: Project, a: Version, b: Version, prefix: str) -> tuple[list[Entry], list[Entry]]:
    """Return the tables that only ``a`` has so, and those that only ``b`` has so."""
    sides: tuple[list[Entry], list[Entry]] = ([], [])
    for path, *rows in differences(project.objects, a.root, b.root):
        if path.startswith(prefix.encode()):
            for side, row in zip(sides, rows, strict=True):
                if row is not None and table_format(entry := entry_of(row)):
                    side.append(entry)
    return sides


class _Matching:
    """Two sets of rows joined by key in DuckDB."""

    def __init__(
        self, project: Project, versions: tuple[Version, Version], sides: Sequence[list[Entry]], key: tuple[str, ...]
    ) -> None:
        self.versions = versions
        self.key = key
        names = ("a", "b")
        views = {name: entries for name, entries in zip(names, sides, strict=True) if entries}
        self.connection: duckdb.DuckDBPyConnection = open_views(project, views, ranges=True)
        present = next(iter(views))
        # A side without tables is one without rows.
        self.sources = [name if name in views else f"(SELECT * FROM {present} WHERE false)" for name in names]
        self.types = [Table(self.connection, f"SELECT * FROM {source}").types for source in self.sources]
        for version, types, source in zip(versions, self.types, self.sources, strict=True):
            self._require_key(version, types, source)
        self.common = [name for name in self.types[0] if name in self.types[1] and name not in key]

    def answer(self, limit: int) -> RowDiff:
        """Count, and list the first rows of each kind."""
        differs = [self._differs(name) for name in self.common]
        either = " OR ".join(differs) or "false"
        both = f"x.{_HERE} AND y.{_HERE}"
        counts = [f"count(*) FILTER ({both} AND {test})" for test in differs]
        asked = [
            f"count(*) FILTER (x.{_HERE} IS NULL)",
            f"count(*) FILTER (y.{_HERE} IS NULL)",
            f"count(*) FILTER ({both} AND ({either}))",
            *counts,
        ]
        added, removed, changed, *each = self._rows(f"SELECT {_named(asked)} FROM {self._joined}")[0]
        return RowDiff(
            a=self.versions[0],
            b=self.versions[1],
            key=self.key,
            added_count=added,
            removed_count=removed,
            changed_count=changed,
            columns={name: count for name, count in zip(self.common, each, strict=True) if count},
            only_a=tuple(name for name in self.types[0] if name not in self.types[1]),
            only_b=tuple(name for name in self.types[1] if name not in self.types[0]),
            added=self._only("y", f"x.{_HERE} IS NULL", limit, self.types[1]) if added else (),
            removed=self._only("x", f"y.{_HERE} IS NULL", limit, self.types[0]) if removed else (),
            changed=self._changed(f"{both} AND ({either})", limit) if changed else (),
        )

    @property
    def _joined(self) -> str:
        on = " AND ".join(f"x.{quote(name)} IS NOT DISTINCT FROM y.{quote(name)}" for name in self.key)
        x, y = (f"(SELECT *, true AS {_HERE} FROM {source})" for source in self.sources)
        return f"{x} x FULL JOIN {y} y ON {on}"

    def _differs(self, name: str) -> str:
        cast = "" if self.types[0][name] == self.types[1][name] else "::VARCHAR"
        return f"x.{quote(name)}{cast} IS DISTINCT FROM y.{quote(name)}{cast}"

    def _only(self, side: str, where: str, limit: int, types: dict[str, str]) -> tuple[dict[str, Any], ...]:
        chosen = ", ".join(f"{side}.{quote(name)}" for name in types)
        order = ", ".join(f"{side}.{quote(name)}" for name in self.key)
        rows = self._rows(f"SELECT {chosen} FROM {self._joined} WHERE {where} ORDER BY {order} LIMIT {limit}")
        return tuple({name: _plain(value) for name, value in zip(types, row, strict=True)} for row in rows)

    def _changed(self, where: str, limit: int) -> tuple[RowChange, ...]:
        chosen = [f"x.{quote(name)}" for name in self.key]
        for name in self.common:
            chosen += [self._differs(name), f"x.{quote(name)}", f"y.{quote(name)}"]
        order = ", ".join(f"x.{quote(name)}" for name in self.key)
        rows = self._rows(f"SELECT {_named(chosen)} FROM {self._joined} WHERE {where} ORDER BY {order} LIMIT {limit}")
        width = len(self.key)
        changes = []
        for row in rows:
            cells = [(name, row[width + 3 * n : width + 3 * n + 3]) for n, name in enumerate(self.common)]
            changes.append(
                RowChange(
                    key={name: _plain(value) for name, value in zip(self.key, row, strict=False)},
                    cells=tuple(
                        CellChange(column=name, before=_plain(old), after=_plain(new))
                        for name, (differs, old, new) in cells
                        if differs
                    ),
                )
            )
        return tuple(changes)

    def _require_key(self, version: Version, types: dict[str, str], source: str) -> None:
        missing = [name for name in self.key if name not in types]
        if missing:
            raise InvalidInputError(
                f"the tables of {version.ref} that differ have no column {', '.join(map(repr, missing))}; they have "
                f"{', '.join(list(types)[:30])}. Choose the key among them.",
                columns=list(types),
            )
        names = ", ".join(quote(name) for name in self.key)
        twice = self._rows(f"SELECT {names}, count(*) AS n FROM {source} GROUP BY {names} HAVING count(*) > 1 LIMIT 1")
        if twice:
            shown = ", ".join(f"{name} = {value}" for name, value in zip(self.key, twice[0], strict=False))
            raise InvalidInputError(
                f"{version.ref} has {twice[0][-1]} rows with {shown}: rows can be matched only by a key that each row "
                "has for itself. Add columns to the key.",
                key=list(self.key),
            )

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return Table(self.connection, query).fetchall()


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: texts for what is no number, boolean or text."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
