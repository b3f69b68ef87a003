"""What a flow maps over: a version's files, partitions and row batches as lists of items.

The rows of a partition by column, and of a row batch, are kept as Parquet objects of their own, found again by what
they were cut from; nothing names them but the results made of them, so a collection frees those that no step uses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import digest_of
from headwater.errors import InvalidInputError
from headwater.lake import Entry, Read, iter_files, resolve
from headwater.lake.media import PARQUET, media_of, table_format
from headwater.lake.reading import tell

from .items import DataFile, Get, Partition, RowBatch

if TYPE_CHECKING:
    from headwater.lake import Version
    from headwater.project import Project

_FORMAT = 1
MOST_PARTITIONS = 100_000


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One piece of a table that was cut: the spelled value that it stands for ("" for a batch), digest and size."""

    value: str
    digest: str
    size: int


def list_items(project: Project, ref: str, under: str = "") -> list[DataFile]:
    """Return the files of a version whose paths begin with ``under``, in order, as items.

    Raises:
        NotFoundError: the ref names nothing.
    """
    version, entries = _entries(project, ref, under)
    get = _getter(project)
    return [_file_of(each, get, version) for each in entries]


def list_batches(
    project: Project, ref: str, rows: int, *, columns: Sequence[str] | None = None, under: str = ""
) -> list[RowBatch]:
    """Return the rows of a version's tables in batches of about ``rows``, table by table, in order.

    A batch has ``rows / 4`` to ``rows * 4`` rows, the last of a table perhaps fewer; ``cutting`` says where.

    Raises:
        NotFoundError: the ref names nothing.
        InvalidInputError: no file is a table, a table lacks one of ``columns``, or ``rows`` is too small.
    """
    version, entries = _entries(project, ref, under)
    tables = _tables_among(entries, version)
    get = _getter(project)
    found = []
    for entry in tables:
        cut_from = ["batches", entry.digest, entry.media or media_of(entry.path), rows, list(columns or ["*"])]
        for kept in _cut(project, cut_from, lambda entry=entry: _cut_rows(project, entry, rows, columns)):  # type: ignore[misc]
            file = DataFile(f"{entry.path}#{kept.digest[:12]}", kept.digest, kept.size, PARQUET, get, version.id)
            found.append(RowBatch(file.path, (file,), {}, version.id))
    return found


def list_partitions(project: Project, ref: str, *, by: str | None = None, under: str = "") -> list[Partition]:
    """Return a version in partitions: by its folders ``NAME=VALUE``, or by the values of the column ``by``.

    By folders: the files of each lowest such folder, in the order of the paths; ``values`` are texts. By a column:
    the rows of all tables with each value, in the order of the values, null last.

    Raises:
        NotFoundError: the ref names nothing.
        InvalidInputError: there is no folder ``NAME=VALUE``, or no such column, or it has more than 100,000 values.
    """
    version, entries = _entries(project, ref, under)
    if by is None:
        return _by_folder(entries, version, _getter(project))
    tables = _tables_among(entries, version)
    cut_from = ["partitions", [[each.digest, each.media or media_of(each.path)] for each in tables], by]
    get = _getter(project)
    found = []
    for kept in _cut(project, cut_from, lambda: _cut_values(project, tables, by)):
        value = _unspelled(kept.value)
        file = DataFile(f"{by}={value}.parquet", kept.digest, kept.size, PARQUET, get, version.id)
        found.append(Partition(f"{by}={value}", (file,), {by: value}, version.id))
    return found


def _entries(project: Project, ref: str, under: str) -> tuple[Version, list[Entry]]:
    version = resolve(project, ref)
    entries = list(iter_files(project, version.id, under))
    paths = tuple(each.path for each in entries) if under else None
    tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=paths))
    return version, entries


def _getter(project: Project) -> Get:
    from .saving import LARGE_BYTES

    def get(digest: str) -> bytes | Path:
        if project.objects.size(digest) > LARGE_BYTES:
            return project.objects.cached_path(digest)
        return project.objects.get(digest)

    return get


def _file_of(entry: Entry, get: Get, version: Version) -> DataFile:
    return DataFile(entry.path, entry.digest, entry.size, entry.media, get, version.id)


def _tables_among(entries: Sequence[Entry], version: Version) -> list[Entry]:
    tables = [each for each in entries if table_format(each)]
    if not tables:
        raise InvalidInputError(
            f"{version.ref} holds no table here: none of its files is Parquet, CSV, line-by-line JSON or Arrow. "
            "Map over its files instead: hw.data.files(...).",
            ref=version.ref,
        )
    return tables


def _by_folder(entries: Sequence[Entry], version: Version, get: Get) -> list[Partition]:
    folders: dict[str, list[DataFile]] = {}
    for each in entries:
        parts = each.path.split("/")[:-1]
        last = max((number for number, part in enumerate(parts) if "=" in part), default=-1)
        if last >= 0:
            folders.setdefault("/".join(parts[: last + 1]), []).append(_file_of(each, get, version))
    if not folders:
        raise InvalidInputError(
            f"{version.ref} has no folder named NAME=VALUE, so it has no partitions of its own. Name a column: "
            "hw.data.partitions(..., by='COLUMN').",
            ref=version.ref,
        )
    return [
        Partition(
            folder,
            tuple(files),
            dict(part.split("=", 1) for part in folder.split("/") if "=" in part),
            version.id,
        )
        for folder, files in folders.items()
    ]


def _cut(project: Project, cut_from: list[Any], cut: Callable[[], Iterator[Kept]]) -> list[Kept]:
    """Return the pieces of a table, cut now unless they were before and their objects are still there."""
    import duckdb

    place = None
    if project.root is not None:
        name = digest_of([_FORMAT, duckdb.__version__, cut_from])
        place = project.root / ".headwater" / "cache" / "flow" / "cuts" / f"{name}.msgpack"
        try:
            known = msgspec.msgpack.decode(place.read_bytes(), type=list[Kept])
        except (OSError, msgspec.DecodeError):
            known = []
        if known and not project.objects.missing([each.digest for each in known]):
            return known
    made = list(cut())
    if place is not None:
        from .distributions import _write

        _write(place, msgspec.msgpack.encode(made))
    return made


def _cut_rows(project: Project, entry: Entry, rows: int, columns: Sequence[str] | None) -> Iterator[Kept]:
    from .cutting import cuts_of, open_table, pieces

    with tempfile.TemporaryDirectory(prefix="headwater-table-") as folder:
        connection, known, total = open_table(_parquet(project, entry, Path(folder)))
        try:
            missing = [name for name in columns or () if name not in known]
            if missing:
                raise InvalidInputError(
                    f"'{entry.path}' has no column '{missing[0]}'. It has: {', '.join(known)}.", column=missing[0]
                )
            chosen = list(columns or known)
            yield from _put(project, pieces(connection, chosen, cuts_of(connection, chosen, total, rows)))
        finally:
            connection.close()


def _cut_values(project: Project, tables: Sequence[Entry], by: str) -> Iterator[Kept]:
    from headwater.lake.scanning import table_of

    from .cutting import Cut, open_table, pieces, sort_by

    given = table_of(project, tables)
    if by not in given.columns:
        raise InvalidInputError(
            f"there is no column '{by}' to part by. There are: {', '.join(given.columns)}.", column=by
        )
    with tempfile.TemporaryDirectory(prefix="headwater-table-") as folder:
        whole, target = Path(folder) / "whole.parquet", Path(folder) / "sorted.parquet"
        _write_parquet(given, whole)
        connection, _, _ = open_table(whole)
        counted = sort_by(connection, f"SELECT * FROM read_parquet('{whole}')", by, target)
        connection.close()
        if len(counted) > MOST_PARTITIONS:
            raise InvalidInputError(
                f"the column '{by}' has {len(counted):,} values; partitions are for {MOST_PARTITIONS:,} at most. "
                "Map over row batches instead: hw.data.batches(...).",
                column=by,
            )
        connection, columns, _ = open_table(target)
        cuts, at = [], 0
        for _, count in counted:
            cuts.append(Cut(at, at + count))
            at += count
        try:
            for (value, _), kept in zip(counted, _put(project, pieces(connection, columns, cuts)), strict=True):
                yield Kept(_spelled(value), kept.digest, kept.size)
        finally:
            connection.close()


def _parquet(project: Project, entry: Entry, folder: Path) -> Path:
    """Return a local Parquet file of a table's rows."""
    if (entry.media or media_of(entry.path)) == PARQUET:
        return project.objects.cached_path(entry.digest)
    from headwater.lake.scanning import table_of

    target = folder / "table.parquet"
    _write_parquet(table_of(project, [entry]), target)
    return target


def _write_parquet(table: Any, target: Path) -> None:
    from headwater.lake.tables import write_parquet

    write_parquet(table, target)


def _put(project: Project, made: Iterator[tuple[Any, Path]]) -> Iterator[Kept]:
    with project.objects.batch() as batch:
        for _, path in made:
            digest, size = batch.put_file(path)
            yield Kept("", digest, size)


def _spelled(value: Any) -> str:
    from .saving import save

    saved = save(value)
    return saved.contents[saved.parts[0].digest].decode()


def _unspelled(text: str) -> Any:
    from .saving import Part, load

    return load([Part(format="json", digest="", size=len(text))], lambda part: text.encode(), trust=False)
