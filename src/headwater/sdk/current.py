"""The project that code means when it names none: $HEADWATER_PROJECT, else the nearest folder upwards."""

from __future__ import annotations

import os
from pathlib import Path

from headwater.project import Project, find_root, open_project

_open: dict[str, Project] = {}


def current_project() -> Project:
    """Return the project of $HEADWATER_PROJECT or of the nearest folder upwards, opened once per process.

    Raises:
        NotFoundError: there is none; the message says how to make or name one.
    """
    place = os.environ.get("HEADWATER_PROJECT") or str(find_root(Path.cwd()))
    key = f"{os.getpid()}:{place}"
    if key not in _open:
        _open[key] = open_project(place)
    return _open[key]
