"""Batches as Parquet files: what a flow is given, what it returned, what it could not take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.duck import connect
from headwater.errors import InvalidInputError
from headwater.ingest.row_files import RowFile, literal
from headwater.lake.table import quote
from headwater.lake.tables import write_parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_ROWS = 500
_ERROR, _VALUE = "kafka_error", "kafka_value"


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """A record that the flow could not take, and why."""

    record: dict[str, Any]
    reason: str


def joined(files: Sequence[Path], folder: Path) -> Path:
    """Return one file with the rows of several, in their order."""
    if len(files) == 1:
        return files[0]
    listed = ", ".join(literal(file) for file in files)
    return _copied(f"SELECT * FROM read_parquet([{listed}], union_by_name = true)", folder / "joined.parquet")


def split_unreadable(batch: Path, folder: Path) -> tuple[Path, list[Reject]]:
    """Return the records whose values could be read, and the others with the reason that the source gave."""
    columns = columns_of(batch)
    if _ERROR not in columns:
        return batch, []
    place = [name for name in columns if name.startswith("kafka_") and name != _ERROR]
    chosen = ", ".join(quote(name) for name in [*place, _ERROR])
    with _connected() as connection:
        found = connection.execute(
            f"SELECT {chosen} FROM read_parquet({literal(batch)}) WHERE {_ERROR} IS NOT NULL"
        ).fetchall()
    rejects = [Reject(record=dict(zip(place, row, strict=False)), reason=str(row[-1])) for row in found]
    rest = f"SELECT * EXCLUDE ({_VALUE}, {_ERROR}) FROM read_parquet({literal(batch)}) WHERE {_ERROR} IS NULL"
    return _copied(rest, folder / "readable.parquet"), rejects


def rows_between(batch: Path, first: int, end: int, folder: Path) -> Path:
    """Return the rows with the numbers from ``first`` up to before ``end``."""
    select = (
        f"SELECT * EXCLUDE (file_row_number) FROM read_parquet({literal(batch)}, file_row_number = true) "
        f"WHERE file_row_number >= {first} AND file_row_number < {end} ORDER BY file_row_number"
    )
    return _copied(select, folder / f"rows-{first}-{end}.parquet")


def rows_without(batch: Path, numbers: Sequence[int], folder: Path) -> Path:
    """Return the rows whose numbers are not among these."""
    left = ", ".join(str(number) for number in numbers)
    select = (
        f"SELECT * EXCLUDE (file_row_number) FROM read_parquet({literal(batch)}, file_row_number = true) "
        f"WHERE file_row_number NOT IN ({left}) ORDER BY file_row_number"
    )
    return _copied(select, folder / "rest.parquet")


def records_of(batch: Path) -> list[dict[str, Any]]:
    """Return the rows of a file as dicts."""
    with _connected() as connection:
        found = connection.execute(f"SELECT * FROM read_parquet({literal(batch)})")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def columns_of(file: Path) -> dict[str, str]:
    """Return the columns of a file with their types, in order."""
    with _connected() as connection:
        return {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM read_parquet({literal(file)})").fetchall()}


def count_of(file: Path) -> int:
    """Return how many rows a file has."""
    with _connected() as connection:
        found = connection.execute(f"SELECT count(*) FROM read_parquet({literal(file)})").fetchone()
    return int(found[0]) if found else 0


def as_wanted(function: Callable[..., Any], batch: Path) -> tuple[str, Any]:
    """Return the name of a flow's first parameter, and the batch as its annotation wants it.

    Raises:
        InvalidInputError: the flow takes no argument.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise InvalidInputError("the flow of a stream takes a batch of records as its first argument.")
    wanted = parameters[0].annotation
    text = (
        wanted if isinstance(wanted, str) else f"{getattr(wanted, '__module__', '')}.{getattr(wanted, '__name__', '')}"
    )
    name = parameters[0].name
    if text.startswith(("pl.", "polars.")):
        import polars

        return name, polars.read_parquet(batch)
    if text.startswith(("pd.", "pandas.")):
        import pandas

        return name, pandas.read_parquet(batch)
    if text.startswith(("pa.", "pyarrow.")):
        import pyarrow.parquet

        return name, pyarrow.parquet.read_table(batch)
    return name, records_of(batch)


def written(returned: Any, folder: Path, types: Mapping[str, str] | None) -> Path | None:
    """Return what a flow returned as a Parquet file, None where that was nothing.

    Where ``types`` say what a column is and this batch has only nulls for it, it has that type all the same.

    Raises:
        InvalidInputError: it is no table.
    """
    if returned is None:
        return None
    target = folder / "output.parquet"
    if isinstance(returned, list):
        if not returned:
            return None
        _write_records(returned, target, folder, types or {})
    else:
        write_parquet(returned, target)
    return _with_types(target, folder, types) if types else target


def sample_of(batch: Path, folder: Path) -> Path:
    """Return the first rows of a batch, with which a changed flow is tried."""
    return rows_between(batch, 0, SAMPLE_ROWS, folder)


def write_rejects(rejects: Sequence[Reject], folder: Path) -> Path:
    """Return records that could not be taken as a Parquet file: the record as JSON, and the reason."""
    target = folder / "rejects.parquet"
    with RowFile(folder, {"record": "JSON", "reason": "VARCHAR"}) as rows:
        for each in rejects:
            record = {key: value.hex() if isinstance(value, bytes) else value for key, value in each.record.items()}
            rows.add([msgspec.json.decode(msgspec.json.encode(record, enc_hook=str)), each.reason])
        rows.write(target)
    return target


def _write_records(records: list[Any], target: Path, folder: Path, types: Mapping[str, str]) -> None:
    wrong = next((each for each in records if not isinstance(each, dict)), None)
    if wrong is not None:
        raise InvalidInputError(
            f"the flow of a stream returns a frame or a list of dicts, and this list has a {type(wrong).__name__}."
        )
    names = list(dict.fromkeys(str(name) for each in records for name in each))
    with RowFile(folder, dict.fromkeys(names)) as rows:
        for each in records:
            rows.add([each.get(name) for name in names])
        rows.write(target)


def _with_types(file: Path, folder: Path, types: Mapping[str, str]) -> Path:
    """Give the columns that are all null the type that they have elsewhere."""
    other = [name for name, kind in columns_of(file).items() if name in types and types[name] != kind]
    if not other:
        return file
    with _connected() as connection:
        counts = ", ".join(f"count({quote(name)})" for name in other)
        found = connection.execute(f"SELECT {counts} FROM read_parquet({literal(file)})").fetchone()
    empty = [name for name, count in zip(other, found or (), strict=True) if count == 0]
    if not empty:
        return file
    casts = ", ".join(f"CAST(NULL AS {types[name]}) AS {quote(name)}" for name in empty)
    return _copied(f"SELECT * REPLACE ({casts}) FROM read_parquet({literal(file)})", folder / "typed.parquet")


def _copied(select: str, target: Path) -> Path:
    with _connected() as connection:
        connection.execute(f"COPY ({select}) TO {literal(target)} (FORMAT parquet, COMPRESSION zstd)")
    return target


def _connected() -> DuckDBPyConnection:
    return connect({"threads": 1})
