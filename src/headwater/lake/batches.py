"""Rows in batches, in a stated order, for training: shuffled by seed and epoch, split over shards and workers.

The order. The table's rows are cut into blocks of ``BLOCK_ROWS``, file by file. With a seed the blocks change places,
``GROUP_BLOCKS`` that have become neighbours are put together, and the rows of each such group change places: so rows
mix over 262,144 others, and memory holds one group. Without a seed nothing changes places. What decides are raw bits
of PCG64 seeded by (seed, epoch), which numpy keeps the same over its releases.

The split. Of N = shards × workers, part k takes the places from k·T/N to (k+1)·T/N (rounded down) of the T rows in
that order. So the parts are disjoint, cover every row, differ by at most one row, and in a row they are the whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..duck import connect
from ..errors import InvalidInputError
from .media import PARQUET, media_of
from .ranged import by_range
from .table import Table, quote

if TYPE_CHECKING:
    import duckdb
    import numpy as np

BLOCK_ROWS = 32_768
GROUP_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Block:
    """Rows ``start`` to ``stop`` of one Parquet file."""

    file: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.stop - self.start


def part_of(total: int, shard: tuple[int, int], worker: tuple[int, int]) -> tuple[int, int]:
    """Return the places, from and up to, that one worker of one shard takes of ``total`` rows.

    Raises:
        InvalidInputError: a number is not among 0 … count-1.
    """
    for name, (place, count) in (("shard", shard), ("worker", worker)):
        if not 0 <= place < count:
            raise InvalidInputError(f"{name} {place} of {count} is none: they are numbered 0 to {count - 1}.")
    parts = shard[1] * worker[1]
    part = shard[0] * worker[1] + worker[0]
    return part * total // parts, (part + 1) * total // parts


def blocks_of(rows: list[int]) -> list[Block]:
    """Return the blocks of files that have so many rows each, in order."""
    return [
        Block(file, start, min(start + BLOCK_ROWS, count))
        for file, count in enumerate(rows)
        for start in range(0, count, BLOCK_ROWS)
    ]


def shuffled(count: int, *entropy: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return 0 … count-1 in the order that a seed decides."""
    import numpy as np

    bits = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count)
    return np.argsort(np.asarray(bits, dtype=np.uint64), kind="stable")


class Batches:
    """One pass over a table's part, as often as it is iterated: dicts of column name to numpy array.

    Arrays are masked where a column has nulls. Every batch has ``batch_rows`` rows, the last as many as are left.
    """

    def __init__(
        self,
        table: Table,
        batch_rows: int,
        *,
        seed: int | None,
        epoch: int,
        shard: tuple[int, int],
        worker: tuple[int, int],
    ) -> None:
        if batch_rows < 1:
            raise InvalidInputError(f"a batch holds at least one row, not {batch_rows}.", batch_rows=batch_rows)
        if epoch < 0 or (seed is not None and seed < 0):
            raise InvalidInputError(f"seed and epoch count from 0: {seed} and {epoch} will not do.")
        self._table = table
        self._files = parquet_files(table)
        self._blocks = blocks_of(self._files.rows)
        self._seed = seed
        self._epoch = epoch
        self.batch_rows = batch_rows
        self.start, self.stop = part_of(sum(self._files.rows), shard, worker)

    @property
    def rows(self) -> int:
        """How many rows this part has."""
        return self.stop - self.start

    def __len__(self) -> int:
        return -(-self.rows // self.batch_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        waiting: list[dict[str, Any]] = []
        held = 0
        for piece in self._pieces():
            waiting.append(piece)
            held += _length(piece)
            while held >= self.batch_rows:
                whole = _joined(waiting)
                yield {name: values[: self.batch_rows] for name, values in whole.items()}
                held -= self.batch_rows
                waiting = [{name: values[self.batch_rows :] for name, values in whole.items()}] if held else []
        if held:
            yield _joined(waiting)

    def _pieces(self) -> Iterator[dict[str, Any]]:
        """Yield this part's rows in order, a group at most at a time."""
        at = 0
        for number, group in enumerate(self._groups()):
            rows = sum(block.rows for block in group)
            first, last = max(self.start - at, 0), min(self.stop - at, rows)
            at += rows
            if first >= last:
                continue
            if self._seed is None:
                yield from (self._files.read(block) for block in _cut(group, first, last))
                continue
            order = shuffled(rows, self._seed, self._epoch, 1 + number)[first:last]
            whole = _joined([self._files.read(block) for block in group])
            yield {name: values[order] for name, values in whole.items()}

    def _groups(self) -> Iterator[list[Block]]:
        blocks = self._blocks
        if self._seed is not None:
            blocks = [blocks[place] for place in shuffled(len(blocks), self._seed, self._epoch, 0)]
        for start in range(0, len(blocks), GROUP_BLOCKS):
            yield blocks[start : start + GROUP_BLOCKS]


def _cut(group: list[Block], first: int, last: int) -> list[Block]:
    """Return what lies between two places of a group's rows; blocks that follow each other in a file become one."""
    found: list[Block] = []
    at = 0
    for block in group:
        low, high = max(first - at, 0), min(last - at, block.rows)
        if low < high:
            part = Block(block.file, block.start + low, block.start + high)
            if found and (found[-1].file, found[-1].stop) == (part.file, part.start):
                part = Block(part.file, found.pop().start, part.stop)
            found.append(part)
        at += block.rows
    return found


def _length(piece: dict[str, Any]) -> int:
    return len(next(iter(piece.values())))


def _joined(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    import numpy as np

    if len(pieces) == 1:
        return pieces[0]
    joined: dict[str, Any] = {}
    for name in pieces[0]:
        parts = [piece[name] for piece in pieces]
        masked = any(isinstance(part, np.ma.MaskedArray) for part in parts)
        joined[name] = (np.ma if masked else np).concatenate(parts)  # type: ignore[no-untyped-call,unused-ignore]
    return joined


class ParquetFiles:
    """Parquet files that can be read by row: their rows, and a connection that may open them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, places: list[str], types: dict[str, str]) -> None:
        self._connection = connection
        self._places = places
        self._types = types
        self._chosen: dict[int, str] = {}
        self.rows: list[int] = []

    def read(self, block: Block) -> dict[str, Any]:
        """Return the rows of a block as arrays, in order."""
        place = self._places[block.file].replace("'", "''")
        found: dict[str, Any] = (
            self._connection.cursor()
            .execute(
                f"SELECT {self._columns(block.file)} FROM read_parquet('{place}', file_row_number = true) "
                f"WHERE file_row_number >= {block.start} AND file_row_number < {block.stop} ORDER BY file_row_number"
            )
            .fetchnumpy()
        )
        return found

    def write_beside(
        self,
        block: Block,
        columns: Sequence[str],
        beside: Mapping[str, Sequence[Any]],
        types: Mapping[str, str],
        to: Path,
    ) -> None:
        """Write columns of a block's rows, in order and of their own types, with further ones beside them, as Parquet.

        ``beside`` has one value per row in each column, ``types`` their DuckDB types. One thread writes, so that the
        same rows give the same bytes.
        """
        import numpy as np

        place, target = (str(each).replace("'", "''") for each in (self._places[block.file], to))
        given: dict[str, Any] = {"row at": np.arange(block.start, block.stop)}
        for name, values in beside.items():
            given[name] = np.empty(block.rows, object)
            given[name][:] = values
        chosen = [f"kept.{quote(name)}" for name in columns]
        chosen += [f"CAST(given.{quote(name)} AS {kind}) AS {quote(name)}" for name, kind in types.items()]
        kept = (
            f'SELECT {self._columns(block.file)}, file_row_number AS "row at" '
            f"FROM read_parquet('{place}', file_row_number = true) "
            f"WHERE file_row_number >= {block.start} AND file_row_number < {block.stop}"
        )
        with connect({"threads": 1}) as connection:
            connection.register("given", given)
            connection.execute(
                f'COPY (SELECT {", ".join(chosen)} FROM ({kept}) AS kept JOIN given USING ("row at") '
                f"ORDER BY \"row at\") TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
            )

    def count(self, known: list[int | None]) -> None:
        """Take the files' numbers of rows, asking the footers of those that are not known."""
        for place, rows in zip(self._places, known, strict=True):
            if rows is None:
                text = place.replace("'", "''")
                found = self._connection.cursor().execute(f"SELECT count(*) FROM read_parquet('{text}')").fetchall()
                rows = int(found[0][0])
            self.rows.append(rows)

    def _columns(self, file: int) -> str:
        """Return the columns as all files together have them: what this one lacks is null."""
        if file not in self._chosen:
            text = self._places[file].replace("'", "''")
            described = self._connection.cursor().execute(f"DESCRIBE FROM read_parquet('{text}')").fetchall()
            own = {row[0] for row in described}
            self._chosen[file] = ", ".join(
                f"{f'{quote(name)}' if name in own else 'NULL'}::{kind} AS {quote(name)}"
                for name, kind in self._types.items()
            )
        return self._chosen[file]


def parquet_files(table: Table) -> ParquetFiles:
    """Return the Parquet files that hold a table's rows: its own, or one written for the purpose where it is a query.

    Files of a bucket are copied to the local cache. A table that is no plain Parquet is written once, to a temporary
    file that goes with the table.
    """
    from .scanning import open_views, place_of

    scanned = table.scanned
    if scanned is not None and scanned.plain and all((e.media or media_of(e.path)) == PARQUET for e in scanned.entries):
        # A block is less than a row group, so that read by ranges each row group would be fetched several times.
        far = any(by_range(scanned.project, entry) for entry in scanned.entries)
        connection = open_views(scanned.project, {"data": scanned.entries}) if far else table.connection
        places = [place_of(scanned.project, entry, ranges=False) for entry in scanned.entries]
        files = ParquetFiles(connection, places, table.types)
        files.count([entry.rows for entry in scanned.entries])
        return files
    return _written(table)


def _written(table: Table) -> ParquetFiles:
    import shutil
    import tempfile
    import weakref

    from .tables import write_parquet

    if table.spilled is None:
        folder = Path(tempfile.mkdtemp(prefix="headwater-rows-"))
        weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
        write_parquet(table, folder / "rows.parquet")
        table.spilled = folder / "rows.parquet"
    connection = connect({"threads": max(1, len(os.sched_getaffinity(0)))})
    files = ParquetFiles(connection, [str(table.spilled)], table.types)
    files.count([None])
    return files
