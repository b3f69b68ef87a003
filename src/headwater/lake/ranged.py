"""Large Parquet files of a bucket, read by the ranges that a query needs instead of copied whole.

DuckDB reads through a file system of fsspec that knows the objects of one scan and nothing else. Every chunk is
verified before a byte of it is seen; so what is fetched is the query's ranges, rounded up to chunks.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .media import PARQUET, media_of

if TYPE_CHECKING:
    import duckdb

    from ..objects import ObjectStore
    from ..project import Project
    from .values import Entry

SCHEME = "headwater-object"
SMALLEST_BYTES = 4 * 2**20  # below that one request for the whole file costs less than several for its parts
_TOGETHER_BYTES = 2**18  # a longer read asks for its chunks at once, several on their way at a time
_MADE = datetime(2000, 1, 1, tzinfo=UTC)  # objects never change, so one time will do for all


def by_range(project: Project, entry: Entry) -> bool:
    """Tell whether a file is better read by ranges: large Parquet on a store that is not a local folder."""
    backend = getattr(project.objects, "backend", None)
    remote = project.root is None or (backend is not None and backend.remote)
    return remote and entry.size >= SMALLEST_BYTES and (entry.media or media_of(entry.path)) == PARQUET


def address(digest: str) -> str:
    """Return the name under which DuckDB reads an object by ranges."""
    return f"{SCHEME}://{digest}"


def register(connection: duckdb.DuckDBPyConnection, store: ObjectStore, digests: list[str]) -> None:
    """Let a connection read these objects under their addresses, and no others."""
    if digests:
        connection.register_filesystem(_file_system(store, frozenset(digests)))


class RangeFile(io.RawIOBase):
    """An object as a file: short reads by the chunk that is open, long ones straight to the store.

    On a server's store a short read fetches a window around it instead.
    """

    def __init__(self, store: ObjectStore, digest: str) -> None:
        super().__init__()
        self._store = store
        self._digest = digest
        self._near = store.open(digest) if hasattr(store, "backend") else None
        self._size = store.size(digest)
        self._at = 0
        self._window = (0, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        if end - self._at >= _TOGETHER_BYTES:
            data = self._store.get(self._digest, self._at, end)
        elif self._near is not None:
            self._near.seek(self._at)
            data = self._near.read(end - self._at)
        else:
            data = self._from_window(end)
        self._at += len(data)
        return data

    def _from_window(self, end: int) -> bytes:
        start, held = self._window
        if not start <= self._at <= end <= start + len(held):
            # A reader of Parquet comes to the end of the file first: its footer lies before, not behind, the place.
            start = max(min(self._at, self._size - _TOGETHER_BYTES), 0)
            held = self._store.get(self._digest, start, min(start + _TOGETHER_BYTES, self._size))
            self._window = (start, held)
        return held[self._at - start : end - start]

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self._near is not None:
            self._near.close()
        super().close()


def _file_system(store: ObjectStore, digests: frozenset[str]) -> Any:
    from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped,unused-ignore]  # it ships no types

    class Objects(AbstractFileSystem):  # type: ignore[misc,unused-ignore]  # untyped, see above
        """What DuckDB asks of a file system, for the objects of one scan."""

        protocol = SCHEME
        cachable = False

        def _digest(self, path: str) -> str:
            digest = path.rpartition("/")[2]
            if digest not in digests:
                raise FileNotFoundError(f"'{path}' is not among the files of this scan.")
            return digest

        def glob(self, path: str, **_: Any) -> list[str]:
            return [path] if path.rpartition("/")[2] in digests else []

        def exists(self, path: str, **_: Any) -> bool:
            return bool(self.glob(path))

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            return {"name": path, "size": store.size(self._digest(path)), "type": "file"}

        def modified(self, path: str) -> datetime:
            return _MADE

        def created(self, path: str) -> datetime:
            return _MADE

        def open(self, path: str, mode: str = "rb", **_: Any) -> RangeFile:
            return RangeFile(store, self._digest(path))

    return Objects()
