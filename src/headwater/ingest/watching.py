"""Who watches a pull: its progress is told to a callback that the caller set, in the same process."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager

from .intake import Progress

_watching: contextvars.ContextVar[Progress | None] = contextvars.ContextVar("who_watches_a_pull", default=None)


def watcher() -> Progress | None:
    """Return whoever watches pulls of this thread."""
    return _watching.get()


@contextmanager
def watching(progress: Progress | None) -> Iterator[None]:
    """Tell ``progress`` (files done, files in all, bytes) of each pull within the block."""
    token = _watching.set(progress)
    try:
        yield
    finally:
        _watching.reset(token)
