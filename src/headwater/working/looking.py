"""The status of a folder without opening its project: possible where record and index agree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .comparing import Comparison, compare
from .records import Record, find_record, index_path
from .statindex import StatIndex


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """What differs in a folder from the version it was checked out from, or last added from.

    ``files`` counts what is there. ``unusable`` says of each thing that cannot be in a version, why. ``unfinished``
    names the version of a checkout that was begun and did not end: what differs is then told against that version.
    ``unpublished`` names the branch that the version was added for and is not on.
    """

    folder: str
    dataset: str
    version: str
    ref: str
    files: int
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unusable: dict[str, str]
    unfinished: str = ""
    unpublished: str = ""

    @property
    def clean(self) -> bool:
        """Whether the folder holds exactly the files of the version."""
        return not (self.added or self.changed or self.removed or self.unusable or self.unfinished)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: the folder is ``clean``, and its version is on the branch it was added for."""
        return self.clean and not self.unpublished


def quick_status(state: Path, folder: str) -> FolderStatus | None:
    """Return the status of a folder of a project's ``state``; None where the version must be read to tell."""
    real = os.path.realpath(folder)
    record = find_record(state, real)
    if record is None or record.to or record.unpublished or not os.path.isdir(real):
        return None
    path = index_path(state, real)
    index = StatIndex.read(path)
    if index.base != record.version or index.prefix != record.prefix:
        return None
    return kept(record, compare(real, index, ignoring=True), path)


def kept(record: Record, found: Comparison, path: Path) -> FolderStatus:
    """Return a comparison as a status, and write the index again where that will save time."""
    if found.worth_keeping():
        found.refreshed().write(path)
    return FolderStatus(
        folder=record.folder,
        dataset=record.dataset,
        version=record.to or record.version,
        ref=record.to_ref or record.ref,
        files=found.files,
        added=tuple(found.added),
        changed=tuple(found.changed),
        removed=tuple(found.removed),
        unusable=found.odd,
        unfinished=record.to_ref,
        unpublished=record.unpublished,
    )


def state_of(place: str | None) -> Path | None:
    """Return the folder of a project's own files for ``--project`` as given; None where it is a URL or not found."""
    chosen = place or os.environ.get("HEADWATER_PROJECT", "")
    if chosen.startswith(("http://", "https://")):
        return None
    start = Path(chosen or ".").absolute()
    for folder in (start,) if chosen else (start, *start.parents):
        if (folder / "headwater.toml").exists():
            return folder / ".headwater"
    return None
