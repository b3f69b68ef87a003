"""The project that code means when it names none: $HEADWATER_PROJECT, else the nearest folder upwards."""

from __future__ import annotations

import os
from pathlib import Path

from .base import Project
from .opening import find_root, open_project

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


def close_current() -> None:
    """Close the projects that this process opened so, durably; the next use opens them again."""
    for key in [key for key in _open if key.startswith(f"{os.getpid()}:")]:
        _open.pop(key).close()
