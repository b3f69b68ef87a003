"""A table that was read: rows, columns, Arrow, pandas or polars, as the caller likes; nothing is read before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    import duckdb

_ZONED = "TIMESTAMP WITH TIME ZONE"


def quote(name: str) -> str:
    """Return a name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


class Table:
    """The rows of a query over a version's tables, run anew at each way of taking them.

    Columns of DuckDB's types. Anything that takes an Arrow C stream takes a Table as it is: ``polars.DataFrame(t)``,
    ``pyarrow.table(t)``, a DuckDB query.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        self._connection = connection
        self._query = query
        described = self._fetch(f"DESCRIBE {query}")
        self.columns: list[str] = [row[0] for row in described]
        self.types: dict[str, str] = {row[0]: str(row[1]) for row in described}

    def sql(self, query: str) -> Table:
        """Return the table of a query in which this one is called ``data``.

        Raises:
            InvalidInputError: the query cannot be read or names what is not there.
        """
        inner = query.strip().rstrip(";")
        return Table(self._connection, f"WITH data AS ({self._query}) SELECT * FROM ({inner})")

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples; times with a zone come as UTC."""
        zoned = [i for i, name in enumerate(self.columns) if self.types[name] == _ZONED]
        if not zoned:
            return self._fetch(self._query)
        # DuckDB needs pytz to hand out zoned times, which the core does not have.
        plain = ", ".join(f"timezone('UTC', {quote(self.columns[i])}) AS {quote(self.columns[i])}" for i in zoned)
        rows = self._fetch(f"SELECT * REPLACE ({plain}) FROM ({self._query})")
        return [tuple(v.replace(tzinfo=UTC) if i in zoned and v else v for i, v in enumerate(row)) for row in rows]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as dicts by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.fetchall()]

    def to_numpy(self) -> dict[str, Any]:
        """Return the columns as numpy arrays, masked where there are nulls."""
        found: dict[str, Any] = self._relation().fetchnumpy()
        return found

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame; MissingExtraError without pandas."""
        _need("pandas", "pandas", "a pandas DataFrame")
        return self._relation().df()

    def to_polars(self) -> Any:
        """Return a polars DataFrame; MissingExtraError without polars."""
        return _need("polars", "tables", "a polars DataFrame").DataFrame(self)

    def arrow(self) -> Any:
        """Return a pyarrow Table; MissingExtraError without pyarrow."""
        return _need("pyarrow", "arrow", "a pyarrow Table").table(self)

    def batches(self, rows: int = 65_536) -> Iterator[Any]:
        """Yield pyarrow record batches of at most ``rows`` rows, one in memory at a time; needs pyarrow."""
        _need("pyarrow", "arrow", "reading in Arrow batches")
        yield from self._relation().to_arrow_reader(rows)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._relation().__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self._fetch(f"SELECT count(*) FROM ({self._query})")[0][0])

    def __bool__(self) -> bool:
        return True  # a table of no rows is still a table; its length is asked with len()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {kind}" for name, kind in self.types.items())
        return f"Table({len(self):,} rows: {shown})"

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            # A cursor each: a connection serves one open result at a time.
            return self._connection.cursor().execute(query).fetchall()
        except duckdb.Error as error:
            raise refusal(error) from error

    def _relation(self) -> duckdb.DuckDBPyRelation:
        import duckdb

        try:
            return self._connection.cursor().sql(self._query)
        except duckdb.Error as error:
            raise refusal(error) from error


def refusal(error: Exception) -> InvalidInputError:
    """Return DuckDB's refusal as an error of ours."""
    return InvalidInputError(f"the query cannot be answered: {error}. Correct the query or the file it names.")


def _need(package: str, extra: str, purpose: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingExtraError(package, extra, purpose) from None
