"""Adding a table to a dataset: a frame of any library, or a Parquet file, as one Parquet file of the version."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..duck import connect, exact
from ..errors import InvalidInputError, NotFoundError
from ..project import Project
from .adding import head_id, parquet_rows
from .catalogue import remember_columns
from .media import PARQUET
from .names import path_bytes
from .refs import MAIN
from .values import Entry, Version
from .versions import commit

ROW_GROUP = 122_880


def add_table(
    project: Project,
    dataset: str,
    name: str,
    table: Any,
    *,
    message: str = "",
    source: str | None = None,
    branch: str = MAIN,
    base: str | None = None,
    produced_by: str | None = None,
    inputs: Sequence[str] = (),
    allow_empty: bool = False,
) -> Version:
    """Return the version that the dataset becomes with one table, kept as ``<name>.parquet``.

    ``table`` is a path of a Parquet file, a frame of pandas, polars or pyarrow, a Table, whatever offers an Arrow C
    stream, or a mapping of column names to equally long sequences. In pandas frames and mappings NaN means missing
    and becomes null; Arrow and polars keep the two apart. It starts from ``base`` (an id), else from the
    head of ``branch``; no branch is moved and no check runs (that is ``publish``).

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: the name cannot be a path, or ``table`` is none of these.
    """
    start = base if base is not None else head_id(project, dataset, branch)
    where = str(table) if isinstance(table, str | os.PathLike) else ""
    return commit(
        project,
        dataset,
        put=[put_table(project, name, table)],
        base=start,
        message=message,
        source=where if source is None else source,
        produced_by=produced_by,
        inputs=inputs,
        allow_empty=allow_empty,
    )


def put_table(project: Project, name: str, table: Any) -> Entry:
    """Put a table into the store as Parquet and return its entry; takes and raises what ``add_table`` does."""
    path = name if name.endswith(".parquet") else f"{name}.parquet"
    path_bytes(path)
    if isinstance(table, str | os.PathLike):
        file = Path(table)
        if not file.is_file():
            raise NotFoundError(f"there is no file '{file}'. Give a Parquet file, or a frame.", path=str(file))
        return _put(project, path, file)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
        file = Path(folder) / "table.parquet"
        write_parquet(table, file)
        return _put(project, path, file)


def _put(project: Project, path: str, file: Path) -> Entry:
    rows = parquet_rows(file)
    digest, size = project.objects.put_file(file)
    remember_columns(digest, file)
    return Entry(path=path, digest=digest, size=size, media=PARQUET, rows=rows)


def write_parquet(table: Any, file: Path) -> None:
    """Write a frame, an Arrow stream or a mapping of columns to a Parquet file.

    One thread writes, so that the same table gives the same bytes. Whole numbers of more than 64 bits are decimals.

    Raises:
        InvalidInputError: a number has more than 38 digits, the table is of no kind that can be read, or a column has
            no type in Parquet.
    """
    import duckdb

    connection = connect({"threads": 1})
    try:
        connection.register("given", readable(table))
        target = str(file).replace("'", "''")
        select = exact(connection, "SELECT * FROM given")
        connection.execute(
            f"COPY ({select}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
        )
    except duckdb.Error as error:
        raise InvalidInputError(f"this {type(table).__name__} cannot be written as Parquet: {error}") from error
    finally:
        connection.close()


class _Stream:
    """Only the Arrow side of a table, so that DuckDB does not ask for a library that is not there."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def readable(table: Any) -> Any:
    """Return a table as DuckDB can register it, whatever libraries are there.

    Raises:
        InvalidInputError: it is no table.
    """
    kind = f"{type(table).__module__}.{type(table).__name__}"
    if kind.startswith("pandas.") and kind.endswith(".DataFrame"):
        return table  # read in place; its own Arrow stream would need pyarrow
    if kind.endswith(".RecordBatchReader"):
        return table.read_all()  # a reader can be read once, and DuckDB asks for its schema first
    if hasattr(table, "__arrow_c_stream__"):
        return _Stream(table)
    if isinstance(table, Mapping):
        return _columns(table)
    raise InvalidInputError(
        f"a {type(table).__name__} is no table: give a Parquet file's path, a frame of pandas, polars or pyarrow, "
        "something with __arrow_c_stream__, or a mapping of columns."
    )


def _columns(table: Mapping[str, Any]) -> dict[str, Any]:
    import numpy

    columns = {}
    for name, values in table.items():
        array = numpy.asarray(values)
        # Text as objects: DuckDB reads nulls and text of any length from those.
        columns[str(name)] = array if array.dtype.kind in "biufMm" else numpy.array(list(values), dtype=object)
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or not columns:
        raise InvalidInputError("the columns of a table must be at least one, and equally long.")
    return columns
