"""What adding files would change, told without putting a byte."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..project import Project
from ..working.comparing import digest_of
from .adding import head_id, refuse_store
from .files import iter_files
from .gathering import gather_files, prefix_of
from .refs import MAIN, resolve


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from the version ``against`` (a ref, "" where there is none yet); paths are those of the dataset.

    ``bytes`` counts those of the files added and changed.
    """

    against: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    same: int
    bytes: int


def preview_files(
    project: Project,
    dataset: str,
    paths: str | Path | Sequence[str | Path],
    *,
    under: str = "",
    branch: str = MAIN,
    mirror: bool = False,
) -> Preview:
    """Return what ``add_files`` with the same arguments would change on the branch as it is now.

    Files of the same size as the version's are read to tell whether they differ.

    Raises:
        NotFoundError: a path or pattern names nothing, or a folder is empty.
        InvalidInputError: a file cannot be read or added; the message names it.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    refuse_store(project, given)
    prefix = prefix_of(under)
    files = gather_files(given, under)
    start = head_id(project, dataset, branch) or head_id(project, dataset, MAIN)
    known = {entry.path: entry for entry in iter_files(project, start, prefix)} if start else {}
    added: list[str] = []
    changed: list[str] = []
    size = 0
    for path, file in files.items():
        bytes_there = os.stat(file.place).st_size
        before = known.get(path)
        if before is None:
            added.append(path)
        elif before.size != bytes_there or digest_of(file.place, bytes_there).hex() != before.digest:
            changed.append(path)
        else:
            continue
        size += bytes_there
    return Preview(
        against=resolve(project, start).ref if start else "",
        added=tuple(added),
        changed=tuple(changed),
        removed=tuple(sorted(known.keys() - files.keys())) if mirror else (),
        same=len(files) - len(added) - len(changed),
        bytes=size,
    )
