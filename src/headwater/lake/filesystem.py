"""``headwater://flights@main/part.parquet``: versions as a read-only file system of fsspec.

pandas, Dask, DuckDB, polars and whatever else opens files through fsspec read a version by its ref. The project is
that of ``storage_options={"project": FOLDER_OR_URL}``, else of $HEADWATER_PROJECT or the folder. Opened files are
seekable, verified chunk by chunk, and read from a bucket by ranges. Inside a step, what was read becomes part of the
step's memory and lineage, as with ``hw.data``.
"""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import Any, NoReturn

from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped,unused-ignore]  # it ships no types

from ..errors import HeadwaterError, InvalidInputError, NotFoundError
from ..project import Project, current_project, open_project
from .datasets import list_datasets
from .files import LARGEST_PAGE, get_entry, list_folder
from .ranged import RangeFile
from .reading import Read, reading, tell
from .refs import resolve
from .usage import note_read
from .values import Entry, Version

PROTOCOL = "headwater"


class HeadwaterFileSystem(AbstractFileSystem):  # type: ignore[misc,unused-ignore]  # untyped, see above
    """The datasets of a project as folders: ``DATASET[@VERSION]/PATH``. Nothing in it can be written."""

    protocol = PROTOCOL
    cachable = False  # branches move, and a fork must not share connections
    root_marker = ""

    def __init__(self, project: str | os.PathLike[str] | Project | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._given = project
        self._opened: tuple[int, Project] | None = None

    @property
    def project(self) -> Project:
        """The project that is read, opened once per process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), self._open_project())
        return self._opened[1]

    def _open_project(self) -> Project:
        if self._given is None:
            return current_project()
        return self._given if isinstance(self._given, Project) else open_project(str(self._given))

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = os.fspath(path)
        return text.removeprefix(f"{PROTOCOL}://").removeprefix(f"{PROTOCOL}:").strip("/")

    # Looking

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return what lies directly in a folder: datasets at the top, else files and folders of a version."""
        ref, inside = _split(self._strip_protocol(path))
        if not ref:
            found = [_folder(each.name) for each in list_datasets(self.project, limit=100_000)]
        else:
            found = self._children(ref, inside)
        return found if detail else [each["name"] for each in found]

    def _children(self, ref: str, inside: str) -> list[dict[str, Any]]:
        version = self._version(ref)
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = list_folder(self.project, version.id, inside, after, LARGEST_PAGE)
            found += [_folder(f"{ref}/{folder.strip('/')}") for folder in page.folders]
            found += [_file(f"{ref}/{entry.path}", entry, version) for entry in page.files]
            if page.after is None:
                break
            after = page.after
        if not found and inside:
            return [self.info(f"{ref}/{inside}")]
        return sorted(found, key=lambda each: str(each["name"]))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return size, digest and version of a file, or that it is a folder.

        Raises:
            FileNotFoundError: the version has no such file or folder, or the ref names nothing.
        """
        ref, inside = _split(self._strip_protocol(path))
        if not ref:
            return _folder("")
        version = self._version(ref)
        if not inside:
            return _folder(ref)
        try:
            return _file(f"{ref}/{inside}", get_entry(self.project, version.id, inside), version)
        except (NotFoundError, InvalidInputError) as error:
            page = list_folder(self.project, version.id, inside, "", 1)
            if page.files or page.folders:
                return _folder(f"{ref}/{inside}")
            raise FileNotFoundError(str(error)) from error

    def exists(self, path: str, **_: Any) -> bool:
        """Tell whether a file or folder is there."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def modified(self, path: str) -> datetime:
        """Return when the version was made."""
        return self.created(path)

    def created(self, path: str) -> datetime:
        """Return when the version was made."""
        ref, _ = _split(self._strip_protocol(path))
        return datetime.fromtimestamp(self._version(ref).created_at / 1e6, UTC)

    def checksum(self, path: str) -> int:
        """Return a number that differs where the bytes do."""
        return int(self.ukey(path)[:16], 16)

    def ukey(self, path: str) -> str:
        """Return the digest of a file's bytes."""
        return str(self.info(path)["digest"])

    # Reading

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BufferedReader:
        """Return a seekable reader of a file; raises as ``info`` does, and refuses to write."""
        if mode not in ("rb", "r"):
            _refuse(path)
        return io.BufferedReader(RangeFile(self.project.objects, self._digest(path)), 2**16)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the bytes of a file from ``start`` to ``end``; negative numbers count from its end."""
        digest = self._digest(path)
        size = self.project.objects.size(digest) if (start or 0) < 0 or (end is not None and end < 0) else 0
        first = max(size + start, 0) if start is not None and start < 0 else start or 0
        last = size + end if end is not None and end < 0 else end
        return b"" if last is not None and last <= first else self.project.objects.get(digest, first, last)

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **options: Any,
    ) -> list[Any]:
        """Return the bytes of several ranges, in order."""
        count = len(paths)
        firsts = starts if isinstance(starts, list) else [starts] * count
        lasts = ends if isinstance(ends, list) else [ends] * count
        found: list[Any] = []
        for path, start, end in zip(paths, firsts, lasts, strict=True):
            try:
                found.append(self.cat_file(path, start, end))
            except (OSError, HeadwaterError) as error:
                if on_error != "return":
                    raise
                found.append(error)
        return found

    def _digest(self, path: str) -> str:
        """Return the digest of a file, telling those who listen that it is read."""
        ref, inside = _split(self._strip_protocol(path))
        version = self._version(ref)
        try:
            entry = get_entry(self.project, version.id, inside)
        except (NotFoundError, InvalidInputError) as error:
            raise FileNotFoundError(str(error)) from error
        tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=(inside,)))
        if not reading.get():
            note_read(self.project, version, "filesystem")
        return entry.digest

    def _version(self, ref: str) -> Version:
        try:
            return resolve(self.project, ref)
        except NotFoundError as error:
            raise FileNotFoundError(str(error)) from error

    # Writing, which is for ``hw data add`` and ``hw.commit``

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        _refuse(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        _refuse(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        _refuse(path)

    def rm_file(self, path: str) -> None:
        _refuse(path)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        _refuse(path2)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        _refuse(path2)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        _refuse(path)

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        _refuse(rpath)

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        _refuse(path)


def _split(path: str) -> tuple[str, str]:
    """Return the ref and the path inside its version."""
    ref, _, inside = path.partition("/")
    return ref, inside


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


def _file(name: str, entry: Entry, version: Version) -> dict[str, Any]:
    return {"name": name, "size": entry.size, "type": "file", "digest": entry.digest, "version": version.id}


def _refuse(path: Any) -> NoReturn:
    raise PermissionError(
        f"'{PROTOCOL}://{path}' cannot be written: versions do not change. Make a new one with hw.commit() or "
        "'hw data add'."
    )
