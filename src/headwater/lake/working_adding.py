"""Adding a working folder: what its index knows to be in the version already is not read again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import NotFoundError
from ..project import Project
from ..working.comparing import Comparison, compare
from ..working.records import Record, find_record, index_path, write_record
from ..working.statindex import NO_STAT, Stat, StatIndex
from .gathering import LocalFile, refuse_odd
from .origins import descends_from
from .refs import resolve
from .values import Entry, Version
from .working import digests_in, state_folder

if TYPE_CHECKING:
    from .adding import Progress

Make = Callable[[Sequence[Entry], Sequence[str]], Version]


def version_held(project: Project, folder: str, dataset: str, prefix: str, head: str | None) -> str | None:
    """Return the id of the newest version that a working folder held and that the branch of this ``head`` has too.

    One that was added and not published (a conflict, quarantine) is passed over: what others published since is then
    still not undone.
    """
    record = find_record(state_folder(project), os.path.realpath(folder))
    if record is None or record.dataset != dataset or record.prefix != prefix or head is None:
        return None
    held = record.version
    while not descends_from(project, head, held):
        parents = resolve(project, held).parents
        if not parents:
            return None
        held = parents[0]
    return held


def add_folder(
    project: Project,
    folder: str,
    prefix: str,
    start: str | None,
    mirror: bool,
    make: Make,
    progress: Progress | None,
    branch: str,
) -> Version:
    """Return the version that ``make`` makes of what the folder has other than version ``start``; keep its index.

    Raises:
        NotFoundError: the folder holds no file.
        InvalidInputError: something in it cannot be added, or changes while it is read; all of it is named.
    """
    from .adding import put_local

    real = os.path.realpath(folder)
    state = state_folder(project)
    path = index_path(state, real)
    index = StatIndex.read(path)
    if index.base != (start or "") or index.prefix != prefix:
        index = index.rebased(start or "", prefix, digests_in(project, start, prefix) if start else {})
    found = compare(real, index, read_none=True, ignoring=True)  # what changed will be read anyway, to be put
    refuse_odd(folder, found.odd)
    if not found.files:
        raise NotFoundError(f"'{folder}' holds no file. Check the folder, or add the files by name.", path=folder)
    paths = sorted([*found.changed, *found.added])
    stats = found.stats_of(paths)
    files = {prefix + each: LocalFile(f"{real}/{each}", stats.get(each)) for each in paths}
    entries = put_local(project, files, progress)
    gone = [prefix + each for each in found.removed] if mirror else []
    version = make(entries, gone)
    _keep(project, found, version, prefix, entries, mirror, branch)
    return version


def _keep(
    project: Project,
    found: Comparison,
    version: Version,
    prefix: str,
    entries: list[Entry],
    mirror: bool,
    branch: str,
) -> None:
    """Keep the folder's index and record: it holds what the version holds, but for what was removed in it alone."""
    state = state_folder(project)
    cut = len(prefix)
    put: dict[str, tuple[Stat, bytes]] = {}
    stats = found.stats_of([entry.path[cut:] for entry in entries])
    for entry in entries:
        path = entry.path[cut:]
        at = stats.get(path, NO_STAT)
        # One that changed since it was looked at was added as it is now: its stat is not known.
        put[path] = (at if at[1] == entry.size else NO_STAT, bytes.fromhex(entry.digest))
    apart = {*found.ignored, *(() if mirror else found.removed)}
    differs = {path: digest for path, digest in found.differs().items() if path in apart}
    gone = [*found.walk.gone, *(path for path in found.walk.changed if path not in put)]
    index = found.index.patched(gone, put, found.walk.started_ns, differs)
    index.base, index.prefix = version.id, prefix
    index.write(index_path(state, found.folder))
    before = find_record(state, found.folder)
    waiting = before.unpublished if before and before.version == version.id else ""
    record = Record(
        folder=found.folder,
        dataset=version.dataset,
        version=version.id,
        ref=version.ref,
        prefix=prefix,
        mode=before.mode if before else "copy",
        unpublished=branch if version.changed else waiting,
    )
    if record != before:
        write_record(state, record, durable=False)
