"""Reading bytes of a version, and telling who listens what was read.

Reading records nothing by itself. A step of a flow listens while it runs, so that the run knows which versions
and paths its results came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import BinaryIO

import msgspec

from ..project import Project
from .files import get_entry
from .refs import resolve


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One act of reading: the ref as asked, the version it named, and the paths, None meaning all of them."""

    ref: str
    version: str
    dataset: str
    root: str
    paths: tuple[str, ...] | None


Listener = Callable[[Read], None]

reading: ContextVar[tuple[Listener, ...]] = ContextVar("headwater_reading", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with every Read of this context (thread or task) until the block ends."""
    token = reading.set((*reading.get(), listener))
    try:
        yield
    finally:
        reading.reset(token)


def tell(read: Read) -> None:
    """Tell those who listen that something was read."""
    for listener in reading.get():
        listener(read)


def read_bytes(project: Project, ref: str, path: str, start: int = 0, end: int | None = None) -> bytes:
    """Return the bytes of a file of a version, from ``start`` up to ``end`` (both in bytes).

    Raises:
        NotFoundError: the ref names nothing, or the version has no such file.
        GoneError: its bytes were collected.
        CorruptError: the store's bytes are not what their digest says.
    """
    return project.objects.get(_digest_of(project, ref, path), start, end)


def open_file(project: Project, ref: str, path: str) -> BinaryIO:
    """Return a seekable reader of a file of a version; raises as ``read_bytes`` does."""
    return project.objects.open(_digest_of(project, ref, path))


def _digest_of(project: Project, ref: str, path: str) -> str:
    version = resolve(project, ref)
    entry = get_entry(project, version.id, path)
    tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=(path,)))
    return entry.digest
