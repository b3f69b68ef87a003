"""What is too long to be held: one file from a stream such as standard input, a version of any number of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO

from ..errors import InvalidInputError
from ..project import Project
from .adding import parquet_rows
from .building import build
from .media import PARQUET, media_of
from .names import check_dataset_name, path_bytes
from .ranges import Row
from .values import Entry, Version
from .versions import record_version, require_bytes, row_of

_ENTRIES_AT_ONCE = 10_000


def put_stream(project: Project, path: str, stream: BinaryIO) -> Entry:
    """Put what a binary stream holds, durable on return; return its entry at ``path``. Little of it is held at a time.

    Raises:
        InvalidInputError: the path cannot be one, or it names a Parquet file and the bytes are none.
    """
    path_bytes(path)
    digest, size = project.objects.put_stream(stream)
    media = media_of(path)
    rows = parquet_rows(project.objects.cached_path(digest)) if media == PARQUET else None
    return Entry(path=path, digest=digest, size=size, media=media, rows=rows)


def commit_stream(
    project: Project, dataset: str, entries: Iterable[Entry], *, message: str = "", source: str = ""
) -> Version:
    """Return a version of files that come in the order of their paths' bytes, however many; moves no branch.

    It has no parent. Memory does not grow with their number; the project must have been opened in place.

    Raises:
        InvalidInputError: a path is not beyond the one before it, or the bytes of an entry are not in the store.
    """
    check_dataset_name(dataset)
    with project.objects.batch() as batch:
        root = build(batch.put, _rows(project, entries))
    return record_version(project, dataset, root, parents=(), message=message, source=source)


def _rows(project: Project, entries: Iterable[Entry]) -> Iterator[Row]:
    rest, last = iter(entries), b""
    while some := list(islice(rest, _ENTRIES_AT_ONCE)):
        require_bytes(project.objects, some)
        for entry in some:
            row = row_of(entry)
            if row.path <= last:
                raise InvalidInputError(
                    f"'{entry.path}' comes after '{last.decode()}', which does not stand before it. Give the files in "
                    "the order of their paths' bytes, each once."
                )
            last = row.path
            yield row
