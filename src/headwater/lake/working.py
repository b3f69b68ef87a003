"""Working folders seen from their project: their status, and what the project's datasets have waiting."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import msgspec

from ..errors import NotFoundError
from ..operation import operation
from ..project import LocalProject, Project
from ..working.comparing import compare
from ..working.looking import FolderStatus, kept, quick_status
from ..working.records import (
    Record,
    find_record,
    forget_record,
    index_path,
    list_records,
    only_one,
    write_record,
)
from ..working.statindex import StatIndex
from .files import iter_files
from .refs import MAIN


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset with versions newer than the head of ``main``: their refs, newest first, at most 20 of ``count``."""

    dataset: str
    head: str | None
    count: int
    versions: tuple[str, ...]


def state_folder(project: Project) -> Path:
    """Return the folder in which this machine keeps what it knows of a project's working folders."""
    if isinstance(project, LocalProject):
        return project.state
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "headwater" / project.id


def folder_status(project: Project, folder: str | Path, *, full: bool = False) -> FolderStatus:
    """Return what differs in a folder from the version it was checked out from, or last added from.

    ``full`` reads every file again instead of trusting times, sizes and inodes.

    Raises:
        NotFoundError: there is no such folder, or no version was checked out to it or added from it.
        GoneError: the version's manifest was collected.
    """
    state = state_folder(project)
    if not full and (quick := quick_status(state, str(folder))) is not None:
        return quick
    record = _looked_up(project, state, require_record(state, folder))
    path = index_path(state, record.folder)
    known = StatIndex() if full else StatIndex.read(path)
    version, prefix = (record.to, record.to_prefix) if record.to else (record.version, record.prefix)
    index = known.rebased(version, prefix, digests_in(project, version, prefix))
    index.stamp_ns = known.stamp_ns or stamp_of(record)
    return kept(record, compare(record.folder, index, ignoring=True), path)


def _looked_up(project: Project, state: Path, record: Record) -> Record:
    """Return the record, with whether the version is on its branch as that stands now."""
    if not record.unpublished:
        return record
    from .branches import find_head
    from .origins import descends_from

    head = find_head(project, record.dataset, record.unpublished)
    if head is None or not descends_from(project, head.id, record.version):
        return record
    found = replace(record, unpublished="")
    write_record(state, found, durable=False)
    return found


def published(project: Project, folder: str | Path) -> None:
    """Note that the version a folder was last added as is on its branch now."""
    state = state_folder(project)
    record = find_record(state, os.path.realpath(folder))
    if record is not None and record.unpublished:
        write_record(state, replace(record, unpublished=""), durable=False)


def forget(project: Project, folder: str | Path) -> Record:
    """Keep a folder no longer as a working folder; its files stay. Returns what was known of it.

    Raises:
        NotFoundError: it is not known.
        ConflictError: a checkout into it is under way.
    """
    state = state_folder(project)
    real = os.path.realpath(folder)
    record = find_record(state, real)
    if record is None:
        raise NotFoundError(f"'{folder}' is no working folder of this project. 'hw data status' shows those there are.")
    with only_one(state, real):
        forget_record(state, real)
    return record


def require_record(state: Path, folder: str | Path) -> Record:
    """Return what is known of a folder, or raise NotFoundError that says how a folder becomes known."""
    real = os.path.realpath(folder)
    record = find_record(state, real)
    if record is None or not os.path.isdir(real):
        known = [each.folder for each in list_records(state)]
        others = f" Known are: {', '.join(known[:5])}." if known else ""
        what = "is not known here" if os.path.isdir(real) else "is not there"
        raise NotFoundError(
            f"the folder '{folder}' {what}. Run 'hw data checkout REF {folder}' to fill it with a version, or "
            f"'hw data add DATASET {folder}' to make a version of it.{others}",
            folder=str(folder),
        )
    return record


def prefix_held(record: Record | None, dataset: str) -> str:
    """Return below which prefix of a dataset the files of a folder lie, "" where the folder holds nothing of it."""
    if record is None or record.dataset != dataset:
        return ""
    return record.to_prefix if record.to else record.prefix


def under_of(project: Project, dataset: str, folder: str | Path) -> str:
    """Return the folder of a dataset that a working folder holds, "" where that is all of it or nothing."""
    return prefix_held(find_record(state_folder(project), os.path.realpath(folder)), dataset).rstrip("/")


def digests_in(project: Project, version: str, prefix: str) -> dict[str, bytes]:
    """Return path (without the prefix) to digest for the files of a version below a prefix."""
    cut = len(prefix)
    return {entry.path[cut:]: bytes.fromhex(entry.digest) for entry in iter_files(project, version, prefix)}


def stamp_of(record: Record) -> int:
    """Return the time of modification that the links of a folder carry, 0 where it has none."""
    from ..objects.cached import STAMP_NS

    return STAMP_NS if record.mode == "link" else 0


@operation("data.waiting", needs="data:read")
def waiting(project: Project) -> list[Waiting]:
    """Return the datasets whose newest versions are not on ``main``: not published, in quarantine, or on a branch."""
    found: list[Waiting] = []
    with project.ledger.read() as tx:
        for row in tx.all("SELECT name, versions FROM datasets ORDER BY name"):
            head = tx.pointer("branch", f"{row.name}/{MAIN}")
            number = tx.value("SELECT number FROM versions WHERE id = ?", (head,)) if head else 0
            count = row.versions - int(number or 0)
            if count > 0:
                newest = tx.all(
                    "SELECT number FROM versions WHERE dataset = ? AND number > ? ORDER BY number DESC LIMIT 20",
                    (row.name, int(number or 0)),
                )
                found.append(
                    Waiting(
                        dataset=row.name,
                        head=f"{row.name}@v{number}" if head else None,
                        count=count,
                        versions=tuple(f"{row.name}@v{each.number}" for each in newest),
                    )
                )
    return found
