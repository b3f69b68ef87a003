"""The project that code means when it names none: $HEADWATER_PROJECT, else the nearest folder upwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .base import Project
from .opening import find_root, open_project

_open: dict[str, Project] = {}
_meant: ContextVar[Project | None] = ContextVar("headwater_current_project", default=None)


def current_project() -> Project:
    """Return the project of $HEADWATER_PROJECT or of the nearest folder upwards, opened once per process.

    In a flow's own function, and in any block of ``using``, it is the project that the flow runs in.

    Raises:
        NotFoundError: there is none; the message says how to make or name one.
    """
    meant = _meant.get()
    if meant is not None:
        return meant
    place = os.environ.get("HEADWATER_PROJECT") or str(find_root(Path.cwd()))
    key = f"{os.getpid()}:{place}"
    if key not in _open:
        _open[key] = open_project(place)
    return _open[key]


@contextmanager
def using(project: Project) -> Iterator[None]:
    """Make a project, which the caller has opened and closes, the current one of the block."""
    token = _meant.set(project)
    try:
        yield
    finally:
        _meant.reset(token)


def close_current() -> None:
    """Close the projects that this process opened so, durably; the next use opens them again."""
    for key in [key for key in _open if key.startswith(f"{os.getpid()}:")]:
        _open.pop(key).close()
