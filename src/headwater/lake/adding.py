"""Adding local files to a dataset: bytes into the store, then one version."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InvalidInputError
from ..project import Project
from .branches import find_head
from .files import iter_files
from .gathering import gather, require_readable
from .media import PARQUET, media_of
from .refs import MAIN
from .values import Entry, Version
from .versions import commit

Progress = Callable[[int, int, int], None]
"""Called with files done, files in all, bytes done."""


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
    progress: Progress | None = None,
) -> Version:
    """Return the version that the dataset becomes with these files: folders, files or patterns, put ``under`` a folder.

    It starts from ``base`` (an id), else from the head of ``branch``; no branch is moved and no check runs (that is
    ``publish``). ``mirror`` also removes what is under ``under`` and was not given. ``source`` says where the files
    came from, by default the paths as given. Where nothing differs, the version it started from comes back, with
    ``changed`` False.

    Raises:
        NotFoundError: a path or pattern names nothing, or a folder is empty.
        InvalidInputError: a file cannot be read or added; the message names it.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    start = base if base is not None else head_id(project, dataset, branch)
    entries = put_files(project, gather(given, under), progress)
    remove = _left_out(project, start, under, entries) if mirror and start else []
    return commit(
        project,
        dataset,
        put=entries,
        remove=remove,
        base=start,
        message=message,
        source=", ".join(str(p) for p in given) if source is None else source,
        produced_by=produced_by,
        inputs=inputs,
        allow_empty=allow_empty,
    )


def put_files(project: Project, files: dict[str, Path], progress: Progress | None = None) -> list[Entry]:
    """Put local files into the store, durable on return; their entries by path in the dataset.

    Raises:
        InvalidInputError: a file cannot be read; the message names it.
    """
    require_readable(list(files.values()))
    entries: list[Entry] = []
    done = 0
    with project.objects.batch() as batch:
        for path, file in files.items():
            try:
                digest, size = batch.put_file(file)
            except FileNotFoundError as error:
                raise InvalidInputError(f"'{file}' went away while it was being added. Run it again.") from error
            media = media_of(path)
            rows = parquet_rows(file) if media == PARQUET else None
            entries.append(Entry(path=path, digest=digest, size=size, media=media, rows=rows))
            done += size
            if progress is not None:
                progress(len(entries), len(files), done)
    return entries


def parquet_rows(file: str | os.PathLike[str]) -> int:
    """Return the number of rows that a Parquet file's footer gives.

    Raises:
        InvalidInputError: the file is not Parquet.
    """
    import duckdb

    try:
        found = duckdb.connect().execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", (str(file),)).fetchone()
    except duckdb.Error as error:
        raise InvalidInputError(
            f"'{file}' is named as a Parquet file and cannot be read as one: {error}. Is it complete?", path=str(file)
        ) from error
    return int(found[0]) if found and found[0] is not None else 0


def head_id(project: Project, dataset: str, branch: str) -> str | None:
    """Return the id that a branch points to, None where there is none yet."""
    head = find_head(project, dataset, branch)
    return head.id if head else None


def _left_out(project: Project, base: str, under: str, entries: list[Entry]) -> list[str]:
    kept = {entry.path for entry in entries}
    prefix = f"{under.strip('/')}/" if under.strip("/") else ""
    return [entry.path for entry in iter_files(project, base, prefix) if entry.path not in kept]
