"""The files of a version: found, paged, or walked through, never loaded whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, NotFoundError
from ..operation import operation
from ..project import Project
from .manifest import decoded, find_row, rows_after
from .names import path_bytes
from .ranges import Row
from .refs import find_version
from .values import Entry, FilePage, Version

if TYPE_CHECKING:
    from ..objects import ObjectStore

PAGE = 1000
LARGEST_PAGE = 20_000
_BEYOND = b"\xff"  # no byte of UTF-8: everything in a folder stands before it


@operation("data.files", needs="data:read")
def list_files(project: Project, ref: str, prefix: str = "", after: str = "", limit: int = PAGE) -> FilePage:
    """Return files whose paths begin with ``prefix`` and stand beyond ``after``, at most ``limit`` (1 to 20,000).

    Raises:
        NotFoundError: the ref names nothing.
    """
    version = _version(project, ref)
    _check_limit(limit)
    rows = rows_after(project.objects, version.root, after.encode(), prefix.encode())
    found = [entry_of(row) for row, _ in zip(rows, range(limit + 1), strict=False)]
    more = found[limit - 1].path if len(found) > limit else None
    return FilePage(version=version.id, files=tuple(found[:limit]), after=more)


@operation("data.folder", needs="data:read")
def list_folder(project: Project, ref: str, folder: str = "", after: str = "", limit: int = PAGE) -> FilePage:
    """Return the files and folders directly in ``folder``, at most ``limit`` together, without walking what is below.

    ``after`` is that of the page before. Raises NotFoundError where the ref names nothing.
    """
    version = _version(project, ref)
    _check_limit(limit)
    prefix = folder.strip("/").encode() + b"/" if folder.strip("/") else b""
    files: list[Entry] = []
    folders: list[str] = []
    for place, row in _children(project.objects, version.root, prefix, after.encode()):
        if len(files) + len(folders) == limit:
            break
        after = place.decode()
        if row is None:
            folders.append(after.rstrip("/"))
        else:
            files.append(entry_of(row))
    else:
        return FilePage(version=version.id, files=tuple(files), after=None, folders=tuple(folders))
    return FilePage(version=version.id, files=tuple(files), after=after, folders=tuple(folders))


def _children(store: ObjectStore, root: str, prefix: bytes, after: bytes) -> Iterator[tuple[bytes, Row | None]]:
    """Yield (path, row) of files and (path with a slash at its end, None) of folders, directly below ``prefix``."""
    read = lru_cache(maxsize=8)(partial(decoded, store))  # neighbours are mostly in the range just read
    while True:
        start = after + _BEYOND if after.endswith(b"/") else after
        for row in rows_after(store, root, start, prefix, read):
            slash = row.path.find(b"/", len(prefix))
            if slash >= 0:
                after = row.path[: slash + 1]
                yield after, None
                break
            yield row.path, row
        else:
            return


@operation("data.file", needs="data:read")
def get_entry(project: Project, ref: str, path: str) -> Entry:
    """Return what a version holds at one path.

    Raises:
        NotFoundError: the ref names nothing, or the version has no such file.
    """
    return entry_in(project, _version(project, ref), path)


def entry_in(project: Project, version: Version, path: str) -> Entry:
    """Return what a version holds at one path, read from this project's own store."""
    row = find_row(project.objects, version.root, path_bytes(path))
    if row is None:
        raise NotFoundError(
            f"{version.ref} has no file '{path}'. 'hw data show {version.ref}' lists those it has.", path=path
        )
    return entry_of(row)


def iter_files(project: Project, ref: str, prefix: str = "") -> Iterator[Entry]:
    """Yield the files of a version in order, one page in memory at a time; works by folder and by URL."""
    page = list_files(project, ref, prefix, limit=LARGEST_PAGE)
    while True:
        yield from page.files
        if page.after is None:
            return
        page = list_files(project, page.version, prefix, after=page.after, limit=LARGEST_PAGE)


def entry_of(row: Row) -> Entry:
    """Return the entry of a manifest's row."""
    return Entry(path=row.path.decode(), digest=row.digest, size=row.size, media=row.media, rows=row.rows)


def _version(project: Project, ref: str) -> Version:
    with project.ledger.read() as tx:
        return find_version(tx, ref)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidInputError(f"a page holds 1 to {LARGEST_PAGE:,} files, not {limit}.", limit=limit)
