"""Frames as Parquet, row group by row group: nothing but one group is held beside the frame itself.

Writing gives the same bytes to memory and to a file. A pandas frame is read back as it is written, group by group;
one that would not come back equal is not kept as Parquet.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from .saving import Format

GROUP_BYTES = 64 << 20
_FEWEST, _MOST = 1024, 1 << 20


class Kind(NamedTuple):
    """How frames of one library are written to an open file, read from a path or an open file, and measured."""

    write: Callable[[Any, BinaryIO], bool]
    read: Callable[[Any], Any]
    size: Callable[[Any], int]


def format_of(name: str, takes: Callable[[Any], bool], kind: Kind) -> Format:
    """Return the format of a kind of frames, in memory and by file."""

    def save(value: Any) -> bytes | None:
        out = io.BytesIO()
        return out.getvalue() if kind.write(value, out) else None

    def load(data: bytes) -> Any:
        return kind.read(io.BytesIO(data))

    def read(path: Path) -> Any:
        return kind.read(str(path))

    return Format(name=name, takes=takes, save=save, load=load, write=kind.write, read=read, size=kind.size)


def _group_rows(row_bytes: float) -> int:
    return max(_FEWEST, min(_MOST, int(GROUP_BYTES / max(row_bytes, 1))))


# -- pandas ------------------------------------------------------------------------------------------------------


def _write_pandas(value: Any, file: BinaryIO) -> bool:
    """Write Parquet with pandas' own metadata; False where it would not come back equal."""
    if value.attrs:
        return False
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return False
    single = type(value).__name__ == "Series"
    frame = value.to_frame("0" if value.name is None else value.name) if single else value
    if not all(type(name) is str for name in frame.columns):
        return False
    kind = b"series:unnamed" if single and value.name is None else b"series" if single else b"frame"
    rows = _group_rows(_row_bytes(frame))
    try:
        schema = pa.Schema.from_pandas(frame)
        schema = schema.with_metadata({**(schema.metadata or {}), b"headwater": kind})
        groups = []
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for start in range(0, max(len(frame), 1), rows):
                table = pa.Table.from_pandas(frame.iloc[start : start + rows], schema=schema)
                groups.append(table.schema.metadata)
                writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=rows)
    except (pa.ArrowException, TypeError, ValueError, KeyError):
        return False
    return _comes_back(frame, file, rows, groups)


def _comes_back(frame: Any, file: BinaryIO, rows: int, groups: list[Any]) -> bool:
    """Tell whether each row group reads as the rows that it was made of, with their types."""
    import pyarrow.parquet as pq

    file.flush()
    written: Any = file if isinstance(file, io.BytesIO) else file.name
    end = file.tell()
    if isinstance(written, io.BytesIO):
        written.seek(0)
    with pq.ParquetFile(written) as read:
        if read.num_row_groups != len(groups) and len(frame):
            return False
        for number in range(read.num_row_groups):
            expected = frame.iloc[number * rows : (number + 1) * rows]
            again = read.read_row_group(number).replace_schema_metadata(groups[number]).to_pandas()
            if type(frame.index).__name__ == "RangeIndex":  # in the file's metadata, for the whole frame
                again.index = expected.index
            if not _same(again, expected):
                return False
        if not read.num_row_groups and not _same(read.read().replace_schema_metadata(groups[0]).to_pandas(), frame):
            return False
    if isinstance(file, io.BytesIO) and not file.closed:
        file.seek(end)
    return True


def _same(again: Any, value: Any) -> bool:
    if not again.equals(value):
        return False
    same = list(again.dtypes) == list(value.dtypes) and again.index.names == value.index.names
    return bool(same and again.index.dtype == value.index.dtype and again.columns.dtype == value.columns.dtype)


def _row_bytes(frame: Any) -> float:
    return sum(getattr(dtype, "itemsize", 0) if dtype.kind != "O" else 64 for dtype in frame.dtypes)


def _read_pandas(place: Any) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(place, memory_map=isinstance(place, str), pre_buffer=False) as file:
        kind = (file.schema_arrow.metadata or {}).get(b"headwater", b"frame")
        frame = _read_at_once(file) if file.num_row_groups < 2 else _read_some_columns_at_a_time(file)
    if kind == b"frame":
        return frame
    series = frame.iloc[:, 0]
    return series.rename(None) if kind == b"series:unnamed" else series


def _read_at_once(file: Any) -> Any:
    return file.read(use_pandas_metadata=True).to_pandas()


def _read_some_columns_at_a_time(file: Any) -> Any:
    """Return the frame, of which only some columns are ever held as Arrow has them beside it."""
    import json

    import pandas as pd

    about = file.metadata
    total = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    index = json.loads(file.schema_arrow.metadata[b"pandas"])["index_columns"]
    kept = {each for each in index if isinstance(each, str)}
    names = [name for name in file.schema_arrow.names if name not in kept]
    some = max(1, len(names) * GROUP_BYTES // max(total, 1))
    pieces = [
        file.read(columns=names[start : start + some], use_pandas_metadata=True).to_pandas()
        for start in range(0, max(len(names), 1), some)
    ]
    frame = pieces[0] if len(pieces) == 1 else pd.concat(pieces, axis=1)
    frame.columns.name = pieces[0].columns.name
    return frame


def _size_pandas(value: Any) -> int:
    size = value.memory_usage(deep=False)
    return int(size.sum() if hasattr(size, "sum") else size)


# -- polars and pyarrow ------------------------------------------------------------------------------------------


def _write_polars(value: Any, file: BinaryIO) -> bool:
    value.write_parquet(file, row_group_size=_group_rows(value.estimated_size() / max(value.height, 1)))
    return True


def _read_polars(place: Any) -> Any:
    import polars as pl

    return pl.read_parquet(place)


def _write_arrow(value: Any, file: BinaryIO) -> bool:
    import pyarrow.parquet as pq

    rows = _group_rows(value.nbytes / max(value.num_rows, 1))
    pq.write_table(value, file, compression="zstd", row_group_size=rows)
    return True


def _read_arrow(place: Any) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(place, memory_map=True) if isinstance(place, str) else pq.read_table(place)


PANDAS = Kind(_write_pandas, _read_pandas, _size_pandas)
POLARS = Kind(_write_polars, _read_polars, lambda value: int(value.estimated_size()))
ARROW = Kind(_write_arrow, _read_arrow, lambda value: int(value.nbytes))
