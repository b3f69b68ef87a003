"""Data for a test: frames, files and folders as versions of datasets, cut to a sample."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.duck import connect
from headwater.errors import InvalidInputError
from headwater.lake import Entry, commit, create_branch, put_table, set_branch
from headwater.lake.media import PARQUET, media_of

if TYPE_CHECKING:
    import duckdb

    from headwater.project import Project


_ROW = "__headwater_row"


def put_data(project: Project, ref: str, given: Any, rows: int | None = None) -> str:
    """Make a version of a dataset out of what is given, move the ref's branch to it, and return the version's id.

    ``ref`` is ``dataset`` or ``dataset@branch``. ``given`` is a frame (pandas, polars, pyarrow, a Table, a mapping of
    columns to lists), a file or a folder, or a mapping of paths to frames, files, bytes or texts. Of each table at
    most ``rows`` rows are taken, evenly spread and in their order.

    Raises:
        InvalidInputError: it is nothing of these, or the ref's version is no branch.
        NotFoundError: there is no such file.
    """
    dataset, _, branch = ref.partition("@")
    branch = branch or "main"
    with project.ledger.read() as tx:
        before = tx.pointer("branch", f"{dataset}/{branch}")
    entries = [_entry(project, path, each, rows) for path, each in _files(dataset, given).items()]
    version = commit(project, dataset, put=entries, base=before, message="for a test", allow_empty=True)
    if before is None and branch != "main":
        create_branch(project, dataset, branch, version.id)
    else:
        set_branch(project, dataset, branch, version.id, expected=before)
    return version.id


def _files(dataset: str, given: Any) -> dict[str, Any]:
    """Return what is given as paths with a frame, bytes, a text or a file each."""
    if isinstance(given, os.PathLike):
        place = Path(given)
        if place.is_dir():
            return {each.relative_to(place).as_posix(): each for each in sorted(place.rglob("*")) if each.is_file()}
        return {place.name: place}
    if isinstance(given, Mapping) and not _is_columns(given):
        return dict(given)
    return {f"{dataset}.parquet": given}


def _is_columns(given: Mapping[Any, Any]) -> bool:
    """Tell whether a mapping is of columns: its values are sequences, and not texts, bytes, files or frames."""
    plain = (str, bytes, os.PathLike, Mapping)
    frames = ("__arrow_c_stream__", "to_parquet")
    return bool(given) and not any(
        isinstance(each, plain) or any(hasattr(each, name) for name in frames) for each in given.values()
    )


def _entry(project: Project, path: str, given: Any, rows: int | None) -> Entry:
    if isinstance(given, str):
        given = given.encode()
    if isinstance(given, bytes):
        return Entry(path=path, digest=project.objects.put(given), size=len(given), media=media_of(path))
    if isinstance(given, os.PathLike):
        place = Path(given)
        if rows is None or media_of(path) != PARQUET:
            digest, size = project.objects.put_file(place)
            return Entry(path=path, digest=digest, size=size, media=media_of(path))
    if rows is None:
        return put_table(project, path, given)
    with tempfile.TemporaryDirectory(prefix="headwater-test-") as folder:
        sample = Path(folder) / "sample.parquet"
        _write_sample(given, rows, sample)
        return put_table(project, path, sample)


def _write_sample(given: Any, rows: int, target: Path) -> None:
    from headwater.lake.tables import readable

    if rows < 0:
        raise InvalidInputError(f"a sample has no {rows} rows: give 0 or more.", rows=rows)
    connection = connect({"threads": 1})
    try:
        source = "given"
        if isinstance(given, os.PathLike):
            source = f"read_parquet('{_quoted(Path(given))}')"
        else:
            connection.register("given", readable(given))
        total = _count(connection, source)
        # The n-th row is taken where n·rows/total, rounded down, is more than for the row before.
        chosen = "true" if total <= rows else f"({_ROW} * {rows}) // {total} <> (({_ROW} - 1) * {rows}) // {total}"
        connection.execute(
            f"COPY (SELECT * EXCLUDE ({_ROW}) FROM (SELECT *, row_number() OVER () AS {_ROW} FROM {source}) "
            f"WHERE {chosen} ORDER BY {_ROW}) TO '{_quoted(target)}' (FORMAT parquet)"
        )
    finally:
        connection.close()


def _count(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
    return int(found[0]) if found else 0


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
