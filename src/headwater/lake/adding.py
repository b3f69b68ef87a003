"""Adding local files to a dataset: bytes into the store, then one version."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ..duck import connect
from ..errors import InvalidInputError, NotFoundError, StorageError
from ..project import LocalProject, Project
from ..working.statindex import Stat
from ..working.walking import SKIPPED
from .branches import find_head
from .files import iter_files
from .gathering import LocalFile, gather_files, prefix_of, refuse_closed
from .media import PARQUET, media_of
from .names import first_few
from .refs import MAIN
from .values import Entry, Version
from .versions import commit

if TYPE_CHECKING:
    from ..objects import Batch

Progress = Callable[[int, int, int], None]
"""Called with files done, files in all, bytes done."""

_SMALL_BYTES = 2**20
_TRIES = 3


def add_files(
    project: Project,
    dataset: str,
    paths: str | Path | Sequence[str | Path],
    *,
    under: str = "",
    message: str = "",
    source: str | None = None,
    branch: str = MAIN,
    base: str | None = None,
    mirror: bool = False,
    produced_by: str | None = None,
    inputs: Sequence[str] = (),
    allow_empty: bool = False,
    remember: bool = False,
    progress: Progress | None = None,
) -> Version:
    """Return the version that the dataset becomes with these files: folders, files or patterns, put ``under`` a folder.

    It starts from ``base`` (an id), else from the head of ``branch``, of main where that is new; no branch is moved
    and no check runs (that is ``publish``). ``mirror`` also removes what is under ``under`` and was not given.
    ``source`` says where the files came from, by default the paths as given. Where nothing differs, the version it
    started from comes back, with ``changed`` False. ``remember`` keeps a single folder as a working folder: added
    again, only what changed is read, and it starts from the version that the folder held, so that what others
    published since is not undone.

    Raises:
        NotFoundError: a path or pattern names nothing, or a folder is empty.
        InvalidInputError: a file cannot be read or added, or changes while it is read; the message names it. Or a
            path is the project's own store, or holds it.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    refuse_store(project, given)
    folder = str(given[0]) if remember and len(given) == 1 and os.path.isdir(given[0]) else None
    start = base if base is not None else head_id(project, dataset, branch) or head_id(project, dataset, MAIN)
    if folder is not None and base is None:
        from .working_adding import version_held

        start = version_held(project, folder, dataset, prefix_of(under), start) or start

    def made(put: Sequence[Entry], remove: Sequence[str]) -> Version:
        return commit(
            project,
            dataset,
            put=put,
            remove=remove,
            base=start,
            message=message,
            source=", ".join(str(p) for p in given) if source is None else source,
            produced_by=produced_by,
            inputs=inputs,
            allow_empty=allow_empty,
        )

    if folder is not None:
        from .working_adding import add_folder

        return add_folder(project, folder, prefix_of(under), start, mirror, made, progress, branch)
    entries = put_local(project, gather_files(given, under), progress)
    return made(entries, _left_out(project, start, prefix_of(under), entries) if mirror and start else [])


def refuse_store(project: Project, given: Sequence[str | Path]) -> None:
    """Raise InvalidInputError where a path is in the project's own stores, or is a folder that they would come with."""
    if not isinstance(project, LocalProject):
        return
    folder = getattr(project.objects.backend, "folder", None)
    stores = {os.path.realpath(each) for each in (project.state, folder) if each is not None}
    for each in given:
        real = os.path.realpath(each)
        for store in stores:
            within = os.path.commonpath([real, store])
            left_out = SKIPPED & set(os.path.relpath(store, real).split(os.sep))
            if within == store or (within == real and os.path.isdir(real) and not left_out):
                raise InvalidInputError(
                    f"'{each}' holds this project's own store ('{store}'): a dataset cannot be made of it. Add the "
                    "folder with your files instead; to copy a project use 'hw project copy'.",
                    path=str(each),
                )


def put_files(
    project: Project, files: Mapping[str, str | os.PathLike[str]], progress: Progress | None = None
) -> list[Entry]:
    """Put local files into the store, durable on return; their entries by path in the dataset.

    Raises:
        InvalidInputError: a file cannot be read, or changes while it is read; the message names it.
    """
    return put_local(project, {path: LocalFile(os.fspath(file)) for path, file in files.items()}, progress)


def put_local(project: Project, files: Mapping[str, LocalFile], progress: Progress | None = None) -> list[Entry]:
    """Put local files into the store as ``put_files`` does; one of another stat than it was found with is read anew."""
    entries: list[Entry] = []
    changing: list[str] = []
    done = 0
    with project.objects.batch() as batch:
        media = _MediaTypes()
        for path, file in files.items():
            try:
                told = None if progress is None else partial(_tell, progress, len(entries), len(files), done)
                digest, size, steady = _put(batch, file, told)
            except (FileNotFoundError, NotFoundError) as error:
                raise InvalidInputError(
                    f"'{file.place}' went away while it was being added. Nothing was added; run it again."
                ) from error
            except PermissionError:
                refuse_closed([file.place, *(f.place for f in files.values() if _closed(f.place, file.place))])
            except OSError as error:
                raise StorageError(
                    f"could not read '{file.place}': {error.strerror}. Nothing was added; check the disk it is on.",
                    path=file.place,
                ) from error
            if not steady:
                changing.append(file.place)
            kind = media.of(path)
            rows = parquet_rows(file.place) if kind == PARQUET else None
            entries.append(Entry(path=path, digest=digest, size=size, media=kind, rows=rows))
            done += size
            if progress is not None:
                progress(len(entries), len(files), done)
        _refuse_changing(changing)
    return entries


def _tell(progress: Progress, done: int, total: int, before: int, size: int) -> None:
    progress(done, total, before + size)


class _Told:
    """A file that tells how many of its bytes were read."""

    def __init__(self, file: BinaryIO, told: Callable[[int], None]) -> None:
        self._file, self._told, self._size = file, told, 0

    def read(self, count: int) -> bytes:
        data = self._file.read(count)
        self._size += len(data)
        self._told(self._size)
        return data


def _put(batch: Batch, file: LocalFile, told: Callable[[int], None] | None) -> tuple[str, int, bool]:
    """Put one file; return its digest, its size, and whether it stayed as it was while it was read.

    ``told`` is called with the bytes read so far of a file that takes a while.
    """
    before = file.at
    for _ in range(_TRIES):
        if before is None:
            before = stat_of(os.stat(file.place))
        if before[1] > _SMALL_BYTES:
            if told is None:
                digest, size = batch.put_file(Path(file.place))
            else:
                with open(file.place, "rb", buffering=0) as opened:
                    digest, size = batch.put_stream(cast(BinaryIO, _Told(cast(BinaryIO, opened), told)))
            after = stat_of(os.stat(file.place))
        else:
            descriptor = os.open(file.place, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.read(descriptor, before[1] + 1)
                after = stat_of(os.fstat(descriptor))
            finally:
                os.close(descriptor)
            if len(data) != after[1]:
                before = after
                continue
            digest, size = batch.put(data), len(data)
        if after == before and size == after[1]:
            return digest, size, True
        before = after
    return "", 0, False


def stat_of(at: os.stat_result) -> Stat:
    """Return what of a stat tells that a file changed."""
    return at.st_mtime_ns, at.st_size, at.st_ctime_ns, at.st_ino


def _closed(place: str, named: str) -> bool:
    return place != named and not os.access(place, os.R_OK)


def _refuse_changing(changing: list[str]) -> None:
    if changing:
        raise InvalidInputError(
            f"{first_few(changing, len(changing))} changed while being read, {_TRIES} times in a row, so nothing was "
            "added. Wait until whoever writes there has ended, or add a copy.",
            paths=changing[:100],
        )


class _MediaTypes:
    """``media_of``, asked once for each ending."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, path: str) -> str:
        ending = path[path.rfind("/") + 1 :].partition(".")[2]
        found = self._known.get(ending)
        if found is None:
            found = self._known[ending] = media_of(path)
        return found


def parquet_rows(file: str | os.PathLike[str]) -> int:
    """Return the number of rows that a Parquet file's footer gives.

    Raises:
        InvalidInputError: the file is not Parquet.
    """
    import duckdb

    try:
        found = connect().execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", (str(file),)).fetchone()
    except duckdb.Error as error:
        raise InvalidInputError(
            f"'{file}' is named as a Parquet file and cannot be read as one: {error}. Is it complete?", path=str(file)
        ) from error
    return int(found[0]) if found and found[0] is not None else 0


def head_id(project: Project, dataset: str, branch: str) -> str | None:
    """Return the id that a branch points to, None where there is none yet."""
    head = find_head(project, dataset, branch)
    return head.id if head else None


def _left_out(project: Project, base: str, prefix: str, entries: list[Entry]) -> list[str]:
    kept = {entry.path for entry in entries}
    return [entry.path for entry in iter_files(project, base, prefix) if entry.path not in kept]
