"""Opening a project by folder, by URL, or by looking around."""

from __future__ import annotations

import os
from pathlib import Path

from headwater.errors import NotFoundError

from .base import Project
from .local import open_folder
from .settings import FILE


def open_project(where: str | Path | None = None, *, actor: str | None = None) -> Project:
    """Open the project at a folder or an http(s) URL.

    Without ``where``: $HEADWATER_PROJECT, else the nearest folder upwards that holds headwater.toml.

    Raises:
        NotFoundError: there is no project there.
        UpgradeNeededError: its schema is older or newer than this program.
        UnavailableError: the server or database does not answer.
    """
    place = str(where) if where is not None else os.environ.get("HEADWATER_PROJECT", "")
    if place.startswith(("http://", "https://")):
        from .remote import RemoteProject

        return RemoteProject(place, actor=actor)
    return open_folder(Path(place).absolute() if place else find_root(Path.cwd()), actor=actor)


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that holds headwater.toml.

    Raises:
        NotFoundError: there is none up to the root of the disk.
    """
    for folder in (start, *start.parents):
        if (folder / FILE).exists():
            return folder
    raise NotFoundError(
        f"no project here: neither '{start}' nor a folder above it has {FILE}. "
        "Run 'hw init' to make one, or name one with --project FOLDER-OR-URL."
    )
