"""A table that was read: rows, columns, Arrow, pandas or polars, as the caller likes; nothing is read before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, MissingExtraError
from ..project import Project
from .values import Entry, Version

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from .batches import Batches

_ZONED = "TIMESTAMP WITH TIME ZONE"


def quote(name: str) -> str:
    """Return a name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Scanned:
    """Where a table's rows come from. ``plain``: all rows of the files, in their order, if only some ``columns``."""

    project: Project
    version: Version
    entries: tuple[Entry, ...]
    columns: tuple[str, ...] | None
    plain: bool


class Table:
    """The rows of a query over a version's tables, run anew at each way of taking them.

    Columns of DuckDB's types. Anything that takes an Arrow C stream takes a Table as it is: ``polars.DataFrame(t)``,
    ``pyarrow.table(t)``, a DuckDB query. ``scanned`` says which version it is of, None for other queries.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        *,
        scanned: Scanned | None = None,
        copied: Callable[[], duckdb.DuckDBPyConnection] | None = None,
    ) -> None:
        self.connection = connection
        self._query = query
        self.spilled: Path | None = None  # the file to which ``iterate`` wrote the rows of a query
        self._copied = copied  # gives a connection over local copies, for taking the table whole
        self.scanned = scanned
        described = self._fetch(f"DESCRIBE {query}")
        self.columns: list[str] = [row[0] for row in described]
        self.types: dict[str, str] = {row[0]: str(row[1]) for row in described}

    def sql(self, query: str) -> Table:
        """Return the table of a query in which this one is called ``data``.

        Raises:
            InvalidInputError: the query cannot be read or names what is not there.
        """
        inner = query.strip().rstrip(";")
        scanned = self.scanned and replace(self.scanned, columns=None, plain=False)
        return Table(self.connection, f"WITH data AS ({self._query}) SELECT * FROM ({inner})", scanned=scanned)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples; times with a zone come as UTC."""
        self._copy_first()
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
        self._copy_first()
        found: dict[str, Any] = self._relation().fetchnumpy()
        return found

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame; MissingExtraError without pandas."""
        need("pandas", "pandas", "a pandas DataFrame")
        self._copy_first()
        return self._relation().df()

    def to_polars(self) -> Any:
        """Return a polars DataFrame; MissingExtraError without polars."""
        return need("polars", "tables", "a polars DataFrame").DataFrame(self)

    def arrow(self) -> Any:
        """Return a pyarrow Table; MissingExtraError without pyarrow."""
        return need("pyarrow", "arrow", "a pyarrow Table").table(self)

    def batches(self, rows: int = 65_536) -> Iterator[Any]:
        """Yield pyarrow record batches of at most ``rows`` rows, in order, a few in memory at a time; needs pyarrow.

        The files are read as the batches are asked for, those of a bucket by ranges.
        """
        if rows < 1:
            raise InvalidInputError(f"a batch holds at least one row, not {rows}.", rows=rows)
        need("pyarrow", "arrow", "reading in Arrow batches")
        yield from self._relation().to_arrow_reader(rows)

    def iterate(
        self,
        batch_rows: int = 1024,
        *,
        seed: int | None = None,
        epoch: int = 0,
        shard: tuple[int, int] = (0, 1),
        worker: tuple[int, int] = (0, 1),
    ) -> Batches:
        """Return the rows as batches (column name to numpy array) in a stated order, for training.

        Without ``seed`` the order is that of the table; with one it is shuffled, the same for the same seed and
        ``epoch``. ``shard`` (i, n) and ``worker`` (j, m) take the part of one of n processes with m workers each: the
        parts are disjoint, cover every row, and differ by at most one row in length. ``batches`` says how it shuffles.
        """
        from .batches import Batches

        return Batches(self, batch_rows, seed=seed, epoch=epoch, shard=shard, worker=worker)

    def shards(self, count: int, batch_rows: int = 1024, *, seed: int | None = None, epoch: int = 0) -> list[Batches]:
        """Return the table in ``count`` disjoint parts of ``iterate``: one for each process that trains."""
        return [self.iterate(batch_rows, seed=seed, epoch=epoch, shard=(place, count)) for place in range(count)]

    def to_torch(self, batch_rows: int = 1024, *, seed: int | None = None) -> Any:
        """Return a torch IterableDataset of batches (column name to tensor; text columns as lists).

        Each worker of a DataLoader, and each rank where torch.distributed runs, takes its own part of the rows.
        ``set_epoch`` chooses the order of the next pass. Give the DataLoader ``batch_size=None``.
        MissingExtraError without torch.
        """
        from .torch_dataset import torch_dataset

        return torch_dataset(self, batch_rows, seed)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        self._copy_first()
        return self._relation().__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self._fetch(f"SELECT count(*) FROM ({self._query})")[0][0])

    def __bool__(self) -> bool:
        return True  # a table of no rows is still a table; its length is asked with len()

    def __repr__(self) -> str:
        from .showing import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from .showing import as_html

        return as_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.scanned is None:
            raise InvalidInputError("a table of no version cannot be sent to another process: scan a version there.")
        from .scanning import reopen

        scanned = self.scanned
        place = str(getattr(scanned.project, "url", None) or scanned.project.root)
        return reopen, (place, scanned.version, scanned.entries, self._query, scanned.columns, scanned.plain)

    def _copy_first(self) -> None:
        """Go over to local copies where the whole table is taken: taking it again then costs no network."""
        if self._copied is not None:
            copied, self._copied = self._copied, None
            self.connection = copied()

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            # A cursor each: a connection serves one open result at a time.
            return self.connection.cursor().execute(query).fetchall()
        except duckdb.Error as error:
            raise refusal(error) from error

    def _relation(self) -> duckdb.DuckDBPyRelation:
        import duckdb

        try:
            return self.connection.cursor().sql(self._query)
        except duckdb.Error as error:
            raise refusal(error) from error


def refusal(error: Exception) -> InvalidInputError:
    """Return DuckDB's refusal as an error of ours."""
    return InvalidInputError(f"the query cannot be answered: {error}. Correct the query or the file it names.")


def need(package: str, extra: str, purpose: str) -> Any:
    """Return an optional library's module, or raise MissingExtraError that names the extra."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingExtraError(package, extra, purpose) from None
