"""Items of data: a version's files, partitions and row batches, each one argument of a step and known by its content.

What a step can see of an item is what its key is made of: the name, the values it stands for, and the digests of its
files. The version that it was listed from is not among them, so an item that a new version leaves as it was is
remembered; it is kept beside for lineage, and empty in a step.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from headwater.lake import Table

Get = Callable[[str], bytes | Path]
"""Gives an object's bytes, or a file that holds them, by digest."""


class DataFile:
    """One file of a version: ``path``, ``digest``, ``size`` in bytes and ``media``; its bytes are read when asked for.

    Two are equal when path and content are.
    """

    __slots__ = ("_get", "digest", "media", "path", "size", "version")

    def __init__(self, path: str, digest: str, size: int, media: str, get: Get, version: str = "") -> None:
        self.path = path
        self.digest = digest
        self.size = size
        self.media = media
        self.version = version
        self._get = get

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The file itself."""
        return (self,)

    @property
    def values(self) -> Mapping[str, Any]:
        """Nothing: a file stands for no value of a column."""
        return {}

    def read_bytes(self) -> bytes:
        """Return the whole content."""
        found = self._get(self.digest)
        return found.read_bytes() if isinstance(found, Path) else found

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the whole content as text."""
        return self.read_bytes().decode(encoding)

    def open(self) -> BinaryIO:
        """Return the content as a seekable file."""
        found = self._get(self.digest)
        return found.open("rb") if isinstance(found, Path) else io.BytesIO(found)

    def copy_to(self, folder: str | Path) -> Path:
        """Write the content to a file of its own name in ``folder``, for programs that want files, and return it."""
        import shutil

        target = Path(folder) / self.path.rpartition("/")[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open() as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        return target

    def table(self) -> Table:
        """Return the rows, where the file is a table; raises as ``Rows.table`` does."""
        return _table([self])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataFile) and (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash((self.path, self.digest))

    def __repr__(self) -> str:
        return f"<file {self.path}, {self.size:,} bytes>"

    def __reduce__(self) -> Any:
        raise TypeError(
            f"the item {self.path} cannot be pickled: its bytes are in the store. Hand the step the item itself, "
            "in a list, a tuple or a dict if need be."
        )


class Rows:
    """Rows of a version that belong together, as one or more files of tables."""

    __slots__ = ("files", "name", "values", "version")

    def __init__(self, name: str, files: tuple[DataFile, ...], values: Mapping[str, Any], version: str = "") -> None:
        self.name = name
        self.files = files
        self.values = dict(values)
        self.version = version

    def table(self) -> Table:
        """Return the rows as a Table, files in the order of their paths.

        Raises:
            InvalidInputError: none of the files is a table.
        """
        return _table(list(self.files))

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame; MissingExtraError without pandas."""
        return self.table().to_pandas()

    def to_polars(self) -> Any:
        """Return the rows as a polars DataFrame; MissingExtraError without polars."""
        return self.table().to_polars()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as dicts by column."""
        return self.table().to_dicts()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (self.name, self.values, self.files) == (
            other.name, other.values, other.files,
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((self.name, self.files))

    def __repr__(self) -> str:
        return f"<{_KINDS[type(self)]} {self.name}>"


class Partition(Rows):
    """The files of one folder ``NAME=VALUE``, or the rows with one value of a column; ``values`` has it by name."""

    __slots__ = ()


class RowBatch(Rows):
    """Some rows of one table that follow each other, named by the table's path and their content."""

    __slots__ = ()


Item = DataFile | Partition | RowBatch
ITEMS = (DataFile, Partition, RowBatch)
_KINDS: dict[type, str] = {DataFile: "file", Partition: "partition", RowBatch: "rows"}
_OF_KIND = {kind: made for made, kind in _KINDS.items()}


def spell_item(item: Item, keep: Callable[[DataFile], int], spelled: Callable[[Any], Any]) -> Any:
    """Return an item in JSON; ``keep`` takes each file as a part and returns its number."""
    files = [[each.path, each.media, keep(each)] for each in item.files]
    return {"$item": [_KINDS[type(item)], item.name, spelled(dict(item.values)), files]}


def read_item(
    given: list[Any], part: Callable[[int], tuple[str, int, Callable[[], bytes | Path]]], read: Callable[[Any], Any]
) -> Item:
    """Return the item of ``spell_item``'s answer; ``part`` gives digest, size and content of a part by its number."""
    kind, name, values, files = given
    made = []
    for path, media, number in files:
        digest, size, content = part(number)
        made.append(DataFile(path, digest, size, media, lambda _, content=content: content()))  # type: ignore[misc]
    if kind == "file":
        return made[0]
    rows: Item = _OF_KIND[kind](name, tuple(made), read(values))
    return rows


def items_in(value: Any) -> Iterator[Item]:
    """Yield the items that stand in a value, however deep; each container is looked into once."""
    waiting, looked = [value], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, ITEMS):
            yield each
        elif isinstance(each, list | tuple | set | frozenset | dict) and id(each) not in looked:
            looked.add(id(each))
            waiting.extend(each.values() if isinstance(each, dict) else each)


def _table(files: list[DataFile]) -> Table:
    import weakref

    from headwater.duck import connect
    from headwater.errors import InvalidInputError
    from headwater.lake.media import ARROW, media_of, table_format
    from headwater.lake.table import Table
    from headwater.lake.values import Entry

    held: list[int] = []
    groups: dict[str, list[str]] = {}
    for each in files:
        entry = Entry(path=each.path, digest=each.digest, size=each.size, media=each.media)
        reader = table_format(entry)
        if reader and (each.media or media_of(each.path)) != ARROW:
            groups.setdefault(reader, []).append(_local(each, held))
    if not groups:
        raise InvalidInputError(
            f"'{files[0].path if files else ''}' cannot be read as a table: Parquet, CSV and JSON lines can. "
            "Use the files' read_bytes."
        )
    connection = connect()
    weakref.finalize(connection, _close, held)
    connection.execute("SET TimeZone = 'UTC'")
    parts = []
    for reader, places in groups.items():
        listed = ", ".join("'" + place.replace("'", "''") + "'" for place in places)
        parts.append(f"SELECT * FROM {reader.replace('FILES', f'[{listed}]')}")
    return Table(connection, " UNION ALL BY NAME ".join(parts))


def _local(file: DataFile, held: list[int]) -> str:
    """Return a path under which the content can be opened: a file, or bytes of memory under a descriptor of ours."""
    found = file._get(file.digest)
    if isinstance(found, Path):
        return str(found)
    descriptor = os.memfd_create("headwater-item")
    held.append(descriptor)
    view = memoryview(found)
    while view:
        view = view[os.write(descriptor, view) :]
    return f"/proc/self/fd/{descriptor}"


def _close(descriptors: list[int]) -> None:
    for each in descriptors:
        os.close(each)
