"""What the rows of a query change: which are new, which replace others, and where the next pull goes on from."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, cast, get_args

from ..errors import InvalidInputError
from ..lake.table import quote
from .reading_sql import Mark, MarkKind
from .row_files import ROW_GROUP_ROWS, literal, open_duckdb

LARGEST_OVERLAP_ROWS = 100_000


class Overlap(NamedTuple):
    """What a pull leaves to the next: where to read from, the newest value, and the rows between by their digests."""

    mark: Mark
    top: str
    seen: dict[str, int]


class Since(NamedTuple):
    """The state of a source with a cursor. ``seen`` counts rows at or after the mark that are in the lake already."""

    cursor: str
    mark: Mark | None
    top: str
    seen: dict[str, int]
    parts: int

    @classmethod
    def of(cls, state: dict[str, Any] | None, cursor: str) -> Since:
        """Return the state as a pull kept it; None is the beginning.

        Raises:
            InvalidInputError: it is of another cursor.
        """
        if not state or "mark" not in state:
            return cls(cursor, None, "", {}, int((state or {}).get("parts", 0)))
        if state["cursor"] != cursor:
            raise InvalidInputError(
                f"the cursor was '{state['cursor']}' and is '{cursor}' now: which rows are new cannot be told. Name "
                "the old one, or declare a source of another name, into another dataset."
            )
        assert state["kind"] in get_args(MarkKind)
        return cls(cursor, Mark(state["kind"], state["mark"]), state["top"], state["seen"], state["parts"])

    def next(self, after: Overlap | None, parts: int) -> dict[str, Any]:
        """Return the state for the next pull: from ``after``, or as it was where no row came."""
        if after is None and self.mark is None:
            return {"parts": parts}
        mark, top, seen = after or (cast(Mark, self.mark), self.top, self.seen)
        return {
            "cursor": self.cursor, "kind": mark.kind, "mark": mark.text, "top": top, "seen": seen, "parts": parts
        }  # fmt: skip


_MARK_KINDS: dict[str, MarkKind] = {
    "TIMESTAMP WITH TIME ZONE": "instant",
    "TIMESTAMP": "time",
    "DATE": "date",
    "VARCHAR": "text",
}


class TableChanges:
    """The rows that were read (a Parquet file), with the columns of decimals that came as text cast to what they are.

    ``decimals`` gives their types; plain DECIMAL stands for the narrowest that holds all their digits. A column with
    a NaN or with more than 38 digits stays text.
    """

    def __init__(self, raw: Path, decimals: dict[str, str]) -> None:
        self._connection = open_duckdb(raw.parent)
        source = f"read_parquet({literal(raw)}, file_row_number = true)"
        casts = [f"CAST({quote(name)} AS {kind}) AS {quote(name)}" for name, kind in self._decimals(source, decimals)]
        self._raw, self._as_read = raw, not casts
        replace = f" REPLACE ({', '.join(casts)})" if casts else ""
        self._run(f"CREATE VIEW pulled AS SELECT * EXCLUDE (file_row_number){replace}, file_row_number FROM {source}")
        self.rows = int(self._rows("SELECT count(*) FROM pulled")[0][0])
        described = self._rows("DESCRIBE pulled")
        self._types = {row[0]: str(row[1]) for row in described if row[0] != "file_row_number"}

    def _decimals(self, source: str, decimals: dict[str, str]) -> list[tuple[str, str]]:
        found = []
        for name, kind in decimals.items():
            text = f"ltrim({quote(name)}, '-')"
            plain = f"regexp_full_match({quote(name)}, '-?[0-9]+([.][0-9]+)?')"
            whole, scale, odd = self._rows(
                f"SELECT coalesce(max(length(split_part({text}, '.', 1))), 1), coalesce(max(length(split_part({text}, "
                f"'.', 2))), 0), count(*) FILTER (NOT {plain}) FROM {source}"
            )[0]
            if odd or (kind == "DECIMAL" and whole + scale > 38):
                continue
            found.append((name, f"DECIMAL(38, {scale})" if kind == "DECIMAL" else kind))
        return found

    def overlap(self, cursor: str, overlap_s: float, *, remember: bool) -> Overlap | None:
        """Return what the next pull starts from; None where no row was read.

        ``remember``: with the rows from there on, so that they are known again.

        Raises:
            InvalidInputError: the column cannot order rows, a row has none, or too many rows share the newest value.
        """
        name, kind = quote(cursor), self._mark_kind(cursor)
        rows, known = self._rows(f"SELECT count(*), count({name}) FROM pulled")[0]
        if rows != known:
            raise InvalidInputError(
                f"{rows - known:,} of {rows:,} rows have no '{cursor}': whether they are new cannot be told. Take a "
                "column that is never null, or leave those rows out in 'query'.",
                cursor=cursor,
            )
        if not rows:
            return None
        # Text is ordered as the database orders it, in which the rows came.
        newest = f"last({name} ORDER BY file_row_number)" if kind == "text" else f"max({name})"
        back = f" - to_microseconds({round(overlap_s * 1_000_000)})" if overlap_s else ""
        if overlap_s and kind not in ("instant", "time"):
            raise InvalidInputError(f"'overlap_s' needs a cursor that is a time; '{cursor}' is {self._types[cursor]}.")
        both = f"CAST(top AS VARCHAR), CAST(top{back} AS VARCHAR)"
        top, mark = self._rows(f"SELECT {both} FROM (SELECT {newest} AS top FROM pulled)")[0]
        if kind != "text" and ("inf" in top or top == "nan"):
            raise InvalidInputError(f"the newest '{cursor}' is {top}: after it no row is new. Leave it out in 'query'.")
        if not remember:
            return Overlap(Mark(kind, mark), top, {})
        after = f"{name} = {self._value(cursor, top)}" if kind == "text" else f"{name} >= {self._value(cursor, mark)}"
        seen = self._rows(
            f"SELECT {self._digest()} AS d, count(*) FROM pulled WHERE {after} GROUP BY d ORDER BY d "
            f"LIMIT {LARGEST_OVERLAP_ROWS + 1}"
        )
        if len(seen) > LARGEST_OVERLAP_ROWS:
            raise InvalidInputError(
                f"more than {LARGEST_OVERLAP_ROWS:,} rows have a '{cursor}' from {mark} on, and which of them are "
                'there would have to be remembered. Take a finer cursor, a smaller overlap_s, or mode = "upsert".',
                cursor=cursor,
            )
        return Overlap(Mark(kind, mark), top, dict(seen))

    def _mark_kind(self, cursor: str) -> MarkKind:
        kind = self._types[cursor]
        if kind in _MARK_KINDS:
            return _MARK_KINDS[kind]
        if kind.startswith("DECIMAL") or kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"):
            return "number"
        raise InvalidInputError(f"the cursor '{cursor}' is {kind}: take a number, a time, a date or a text.")

    def write(self, target: Path, key: list[str]) -> int:
        """Write all rows, in the order of the key where there is one; return how many there are."""
        if not key and self._as_read:
            self._raw.replace(target)
            return self.rows
        if key:
            self._require_key(key)
        return self._copy(f"SELECT * EXCLUDE (file_row_number) FROM pulled ORDER BY {_order(key)}", target)

    def write_new(self, target: Path, since: Since) -> int:
        """Write the rows that are not in the lake; return how many there are.

        A row is known by all of its columns, as often as it is there: neither of two equal rows is lost, nor one that
        came late with the time of those before.
        """
        if since.mark is None or not since.seen:
            return self._copy("SELECT * EXCLUDE (file_row_number) FROM pulled ORDER BY file_row_number", target)
        self._run("CREATE TABLE seen (d VARCHAR, n BIGINT)")
        self._connection.executemany("INSERT INTO seen VALUES (?, ?)", list(since.seen.items()))
        old = f"{quote(since.cursor)} <= {self._value(since.cursor, since.top)}"
        if since.mark.kind == "text":
            old = f"{quote(since.cursor)} = {self._value(since.cursor, since.top)}"
        numbered = (
            f"SELECT file_row_number, {self._digest()} AS d, row_number() OVER "
            f"(PARTITION BY {self._digest()} ORDER BY file_row_number) AS nth FROM pulled WHERE {old}"
        )
        known = f"SELECT file_row_number FROM ({numbered}) JOIN seen USING (d) WHERE nth <= n"
        return self._copy(
            f"SELECT * EXCLUDE (file_row_number) FROM pulled WHERE file_row_number NOT IN ({known}) "
            "ORDER BY file_row_number",
            target,
        )

    def write_merged(self, target: Path, there: Path | None, key: list[str], cursor: str) -> int:
        """Write the rows that were read and those of ``there`` that they do not replace, in the order of the key.

        Of several rows with one key the one with the greatest cursor counts, without a cursor they are refused.
        """
        self._require_key(key, unique=not cursor)
        names = ", ".join(map(quote, key))
        latest = f"{quote(cursor)} DESC, file_row_number DESC" if cursor else "file_row_number"
        fresh = (
            f"SELECT * EXCLUDE (file_row_number) FROM pulled "
            f"QUALIFY row_number() OVER (PARTITION BY {names} ORDER BY {latest}) = 1"
        )
        if there is None:
            return self._copy(f"SELECT * FROM ({fresh}) ORDER BY {_order(key)}", target)
        kept = f"SELECT * FROM read_parquet({literal(there)}) old ANTI JOIN pulled USING ({names})"
        return self._copy(f"SELECT * FROM ({kept} UNION ALL BY NAME {fresh}) ORDER BY {_order(key)}", target)

    def _require_key(self, key: list[str], unique: bool = True) -> None:
        for name in key:
            if name not in self._types:
                raise InvalidInputError(f"the key '{name}' is no column; there are: {', '.join(self._types)}.")
        names = ", ".join(map(quote, key))
        missing = " OR ".join(f"{quote(name)} IS NULL" for name in key)
        nulls = self._rows(f"SELECT count(*) FROM pulled WHERE {missing}")[0][0]
        if nulls:
            raise InvalidInputError(f"{nulls:,} rows have no {' and '.join(key)}: a key is never null.", key=key)
        if unique:
            twice = self._rows(f"SELECT {names}, count(*) FROM pulled GROUP BY ALL HAVING count(*) > 1 LIMIT 1")
            if twice:
                raise InvalidInputError(
                    f"{twice[0][-1]} rows have the same {' and '.join(key)}, {', '.join(map(str, twice[0][:-1]))}: "
                    "name all columns of the key, or a 'cursor' that tells which row is the latest.",
                    key=key,
                )

    def _digest(self) -> str:
        # Each text with its length before it, so that no two rows read alike.
        texts = [_text(name, kind) for name, kind in self._types.items()]
        return f"md5(concat({', '.join(f'coalesce(length({each}), -1), chr(58), {each}' for each in texts)}))"

    def _value(self, cursor: str, text: str) -> str:
        return f"CAST({literal(text)} AS {self._types[cursor]})"

    def _copy(self, select: str, target: Path) -> int:
        copied = self._rows(
            f"COPY ({select}) TO {literal(target)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
        )
        return int(copied[0][0])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise InvalidInputError(f"the rows that were read cannot be taken in: {error}") from error
        return found

    def _run(self, command: str) -> None:
        self._rows(command)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def _text(name: str, kind: str) -> str:
    """Return the SQL of a value's text; 1.50 and 1.5 read alike, whatever scale a column was given this time."""
    text = f"CAST({quote(name)} AS VARCHAR)"
    if kind.startswith("DECIMAL") or kind == "DOUBLE":
        return f"CASE WHEN contains({text}, '.') THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"
    return text


def _order(key: list[str]) -> str:
    return ", ".join(map(quote, key)) if key else "file_row_number"
