"""Simulated data: the rows that a theory gives for a seed, made block by block and published with the theory itself.

The same theory, seed and versions of NumPy and DuckDB give the same bytes. A block of a table is made from its
parent's block, so memory does not grow with the number of rows; files hold about half a million rows each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..check import Publication, publish
from ..duck import connect
from ..errors import InvalidInputError, NotFoundError
from ..lake import Entry, Table, find_head, iter_files, put_table
from ..lake.names import check_dataset_name
from ..lake.refs import MAIN
from ..lake.table import quote
from ..project import Project
from .drawn_columns import draw_numbers, draw_other, generator
from .theory import PARAMETERS, Column, TableTheory, Theory, read_theory, theory

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

BLOCK_ROWS = 65_536
FILE_ROWS = 8 * BLOCK_ROWS
Progress = Callable[[int, int, int], None]
"""Called with rows made, rows there will be (0: not known), 0."""


class Cells(NamedTuple):
    """A column of a block: values, and which of them are missing (None: none)."""

    values: Array
    missing: Array | None


Block = dict[str, Cells]


def simulate(
    project: Project,
    described: Theory | str | Path | Mapping[str, Mapping[str, Any]],
    dataset: str,
    *,
    seed: int = 0,
    branch: str = MAIN,
    message: str = "",
    progress: Progress | None = None,
) -> Publication:
    """Make the rows of a theory and publish them as a version of ``dataset`` that holds a table each, and the theory.

    ``described`` is a theory, a TOML file's path, TOML text, or dicts as ``theory`` takes them. What the branch held
    before is replaced; the same theory and seed change nothing. The lineage names the theory's text by its digest.

    Raises:
        InvalidInputError: the theory declares what cannot be; the message names the table and column.
        NotFoundError: there is no such file.
    """
    import numpy

    check_dataset_name(dataset)
    known = _read(described)
    file = f"theory.{known.form}"
    text = known.text.encode()
    entries = [Entry(path=file, digest=project.objects.put(text), size=len(text), media=f"application/{known.form}")]
    for table in known.tables.values():
        entries += _put_table(project, known, table, seed, progress)
    head = find_head(project, dataset, branch)
    kept = {entry.path for entry in entries}
    gone = [entry.path for entry in iter_files(project, head.id) if entry.path not in kept] if head else []
    return publish(
        project,
        dataset,
        put=entries,
        remove=gone,
        branch=branch,
        base=head.id if head else None,
        message=message or f"simulated with seed {seed}",
        source=f"theory:{entries[0].digest} seed {seed}, numpy {numpy.__version__}",
        produced_by=f"object:{entries[0].digest}",
    )


def _read(described: Theory | str | Path | Mapping[str, Mapping[str, Any]]) -> Theory:
    if isinstance(described, Theory):
        return described
    if isinstance(described, Mapping):
        return theory(described)
    if isinstance(described, str) and "\n" in described:
        return read_theory(described)
    path = Path(described)
    if not path.is_file():
        raise NotFoundError(f"there is no theory '{path}': give a TOML file.", path=str(path))
    return read_theory(path.read_text(encoding="utf-8"))


def _put_table(
    project: Project, known: Theory, table: TableTheory, seed: int, progress: Progress | None
) -> list[Entry]:
    """Put the files of one table into the store; one file has the table's name, several are numbered in a folder."""
    entries: list[Entry] = []
    done = 0
    with _Maker(known, seed) as maker:
        waiting = 0
        for block in maker.blocks(table):
            maker.keep(table, block)
            waiting += len(next(iter(block.values())).values)
            if waiting >= FILE_ROWS:
                entries.append(maker.put(project, table, len(entries)))
                done, waiting = done + waiting, 0
                if progress is not None:
                    progress(done, table.rows, 0)
        if waiting or not entries:
            entries.append(maker.put(project, table, len(entries)))
    if len(entries) == 1:
        only = entries[0]
        return [
            Entry(path=f"{table.name}.parquet", digest=only.digest, size=only.size, media=only.media, rows=only.rows)
        ]
    return entries


class _Maker:
    """Makes the blocks of tables, and gathers those of one table in a DuckDB table until they fill a file."""

    def __init__(self, known: Theory, seed: int) -> None:
        self._known = known
        self._seed = seed
        options = {"threads": 1, "enable_external_access": False, "autoinstall_known_extensions": False}
        # One thread and no way out: formulas are SQL, and the order of rows is part of the bytes.
        self._connection = connect(options)
        self._kept = False

    def blocks(self, table: TableTheory) -> Iterator[Block]:
        """Yield the rows of a table, at most about ``BLOCK_ROWS`` at a time."""
        if not table.each:
            for number, start in enumerate(range(0, table.rows, BLOCK_ROWS)):
                yield self._block(table, min(BLOCK_ROWS, table.rows - start), start, number, {})
            return
        number = start = 0
        for parents in self.blocks(self._known.tables[table.each]):
            for part in self._families(table, parents, number):
                rows = len(next(iter(part.values())).values)
                if rows:
                    yield self._block(table, rows, start, number, part)
                    start += rows
                number += 1

    def _families(self, table: TableTheory, parents: Block, number: int) -> Iterator[Block]:
        """Yield the parents of rows to come, each repeated as often as it has children."""
        import numpy

        assert table.count is not None  # the theory was checked
        rows = len(next(iter(parents.values())).values)
        random = generator(self._seed, table.name, "count", number)
        where = f"{table.name}.count"
        counts = draw_numbers(table.count, rows, random, self._evaluator(parents, rows), where)
        counts = numpy.maximum(numpy.rint(counts), 0).astype("int64")
        until = numpy.cumsum(counts)
        begin = 0
        while begin < rows:
            before = until[begin - 1] if begin else 0
            end = max(begin + 1, int(numpy.searchsorted(until, before + BLOCK_ROWS, side="right")))
            places = numpy.repeat(numpy.arange(begin, end), counts[begin:end])
            yield {
                name: Cells(cells.values[places], None if cells.missing is None else cells.missing[places])
                for name, cells in parents.items()
            }
            begin = end

    def _block(self, table: TableTheory, rows: int, start: int, number: int, parents: Block) -> Block:
        made: Block = {}
        for column in table.order:
            made[column.name] = self._cells(column, rows, start, number, made, parents)
        return {column.name: made[column.name] for column in table.columns}

    def _cells(self, column: Column, rows: int, start: int, number: int, made: Block, parents: Block) -> Cells:
        import numpy

        random = generator(self._seed, column.table, column.name, number)
        # A parent's column is seen where the table has none of that name.
        evaluate = self._evaluator({**parents, **made}, rows)
        missing: Array | None = None
        if column.kind == "parent":
            values, missing = parents[column.value]
        elif column.kind == "formula":
            values, missing = self._formula(column.value, {**parents, **made}, rows, column.where)
        elif column.kind in PARAMETERS:
            values = draw_numbers(column.value, rows, random, evaluate, column.where)
        else:
            values = draw_other(column, self._known, rows, start, random, self._seed)
        values = self._shaped(column, values, rows, number, evaluate)
        if column.missing:
            lost = generator(self._seed, column.table, column.name, number, "missing").random(rows) < column.missing
            missing = lost if missing is None else missing | lost
        return Cells(numpy.asarray(values), missing)

    def _shaped(
        self, column: Column, values: Array, rows: int, number: int, evaluate: Callable[[str, str], Array]
    ) -> Array:
        """Return values with noise added, held between min and max, and rounded."""
        import numpy

        if column.noise is None and column.least is None and column.most is None and column.digits is None:
            return values
        if values.dtype.kind not in "biuf":
            raise InvalidInputError(
                f"{column.where}: noise, min, max and round are for numbers, and its values are none.",
                column=column.where,
            )
        if column.noise is not None:
            random = generator(self._seed, column.table, column.name, number, "noise")
            values = values + draw_numbers(column.noise, rows, random, evaluate, f"{column.where} (noise)")
        if column.least is not None or column.most is not None:
            values = numpy.clip(values, column.least, column.most)
        if column.digits is not None:
            values = numpy.round(values, column.digits)
            values = numpy.rint(values).astype("int64") if column.digits <= 0 else values
        return values

    def _evaluator(self, block: Block, rows: int) -> Callable[[str, str], Array]:
        def evaluate(formula: str, where: str) -> Array:
            import numpy

            values, missing = self._formula(formula, block, rows, where)
            return values if missing is None else numpy.where(missing, numpy.nan, values.astype("float64"))

        return evaluate

    def _formula(self, formula: str, block: Block, rows: int, where: str) -> Cells:
        """Return the values of an SQL expression over the columns of a block."""
        import duckdb
        import numpy

        source = self._register(block, rows)
        try:
            found = self._connection.execute(
                f"SELECT ({formula}\n) AS value FROM ({source}) ORDER BY at_row"
            ).fetchnumpy()
        except duckdb.Error as error:
            text = str(error).split("\n", 1)[0]
            raise InvalidInputError(
                f"{where}: the formula '{formula}' cannot be answered: {text}. It may use the columns "
                f"{', '.join(block)}.",
                column=where,
            ) from error
        finally:
            self._connection.unregister("cells")
        values = found["value"]
        if isinstance(values, numpy.ma.MaskedArray):
            return Cells(values.data, numpy.ma.getmaskarray(values).copy())
        return Cells(values, None)

    def _register(self, block: Block, rows: int) -> str:
        """Give DuckDB the arrays of a block; returns the SELECT that shows them with their nulls."""
        import numpy

        arrays: dict[str, Array] = {"at_row": numpy.arange(rows)}
        shown = ["at_row"]
        for place, (name, cells) in enumerate(block.items()):
            days = cells.values.dtype == "datetime64[D]"
            arrays[f"c{place}"] = cells.values.astype("datetime64[us]") if days else cells.values
            value = f"CAST(c{place} AS DATE)" if days else f"c{place}"
            if cells.missing is not None:
                arrays[f"m{place}"] = cells.missing
                value = f"CASE WHEN m{place} THEN NULL ELSE {value} END"
            shown.append(f"{value} AS {quote(name)}")
        self._connection.register("cells", arrays)
        return f"SELECT {', '.join(shown)} FROM cells"

    def keep(self, table: TableTheory, block: Block) -> None:
        """Add a block to the rows that the next file will hold."""
        import duckdb

        rows = len(next(iter(block.values())).values)
        source = f"SELECT * EXCLUDE (at_row) FROM ({self._register(block, rows)}) ORDER BY at_row"
        try:
            if not self._kept:
                self._connection.execute(f"CREATE TABLE rows_kept AS {source}")
                self._kept = True
            else:
                self._connection.execute(f"INSERT INTO rows_kept {source}")
        except duckdb.Error as error:
            raise InvalidInputError(
                f"table '{table.name}': its rows cannot be put together: {str(error).splitlines()[0]}. A column must "
                "be of one type throughout; round = 0 makes whole numbers."
            ) from error
        finally:
            self._connection.unregister("cells")

    def put(self, project: Project, table: TableTheory, number: int) -> Entry:
        """Put the rows gathered so far into the store as one file, and begin anew."""
        if not self._kept:
            names = ", ".join(f"NULL AS {quote(column.name)}" for column in table.columns)
            self._connection.execute(f"CREATE TABLE rows_kept AS SELECT {names} LIMIT 0")
            self._kept = True
        name = f"{table.name}/part-{number:05}"
        entry = put_table(project, name, Table(self._connection, "SELECT * FROM rows_kept"))
        self._connection.execute("DELETE FROM rows_kept")
        self._connection.execute("CHECKPOINT")
        return entry

    def __enter__(self) -> _Maker:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
