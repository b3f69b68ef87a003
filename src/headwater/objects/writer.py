"""Writing packs: appended to a spool file, closed with footer and trailer, staged, and named at the very end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from headwater.durable import crash_point, disk_error

from . import spool
from .backend import Backend
from .packs import HEADER, Entries, header_bytes, trailer_bytes
from .values import RAW

_MOST_PARTS = 512  # a system takes up to 1,024 at once
_LARGE_PART = 2**16


class NewEntry(NamedTuple):
    """An entry on its way into a pack: ``check`` is the digest of ``body`` where that is a chunk list."""

    digest: bytes
    body: bytes
    size: int
    kind: int = RAW
    check: bytes | None = None


class PackWriter:
    """One pack being written; afterwards one that is durable but not named, until it is published or abandoned."""

    def __init__(self, backend: Backend, was_dropped: Callable[[str], bool] | None = None) -> None:
        self._backend = backend
        self._was_dropped = was_dropped
        folder = backend.spool()
        self.entries = Entries()
        self.size = HEADER.size
        self.id = ""
        self.footer = b""
        crash_point("objects.pack.create")
        try:
            self._file, self.path = spool.create(folder)
        except OSError as error:
            raise disk_error(error, folder) from error
        try:
            self._write([header_bytes()])
        except OSError as error:
            self.abandon()
            raise disk_error(error, self.path) from error

    def append(self, new: Sequence[NewEntry]) -> None:
        """Write entries after those there are, in one go.

        Raises:
            StorageError: the disk is full.
        """
        self.write(self.enter(new))

    def enter(self, new: Sequence[NewEntry]) -> list[bytes]:
        """Give entries their places after those there are; return their bytes, to be written next."""
        at = self.size
        add = self.entries.add
        for digest, body, size, kind, check in new:
            add(digest, at, len(body), size, kind, check)
            at += len(body)
        self.size = at
        return _joined([entry.body for entry in new])

    def write(self, parts: Sequence[bytes]) -> None:
        """Write the bytes of entries that were entered, in the order in which they were.

        Raises:
            StorageError: the disk is full.
        """
        crash_point("objects.pack.append")
        try:
            self._write(parts)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def _write(self, parts: Sequence[bytes]) -> None:
        waiting = [memoryview(part) for part in parts if part]
        while waiting:
            done = os.writev(self._file, waiting)
            while waiting and done >= len(waiting[0]):
                done -= len(waiting.pop(0))
            if done:
                waiting[0] = waiting[0][done:]

    def close(self) -> None:
        """Write footer and trailer, which gives the pack its id. No entry comes after it."""
        from blake3 import blake3

        self.footer = self.entries.footer()
        digest = blake3(self.footer).digest()
        if self._was_dropped is not None and self._was_dropped(digest.hex()):
            # A pack that was given up may be deleted at any moment: the same bytes go under another id.
            mark = os.urandom(16)
            self.append([NewEntry(blake3(mark).digest(), mark, len(mark))])
            self.footer = self.entries.footer()
            digest = blake3(self.footer).digest()
        trailer = trailer_bytes(self.footer, digest)
        crash_point("objects.pack.footer")
        try:
            self._write([self.footer + trailer])
        except OSError as error:
            raise disk_error(error, self.path) from error
        self.size += len(self.footer) + len(trailer)
        self.id = digest.hex()

    def stage(self) -> None:
        """Make the closed pack durable."""
        self._backend.stage(self._file, self.path, self.id, self.size)

    def publish(self) -> None:
        """Name the staged pack, durably, and let the spool file go."""
        self._backend.publish(self.path, self.id, self.size)
        self.abandon()

    def replace(self) -> None:
        """Put the closed pack, durably and all at once, in the place of a damaged one of its id."""
        self._backend.replace(self._file, self.path, self.id, self.size)
        self.abandon()

    def abandon(self) -> None:
        """Let the spool file go; a pack that was not published leaves nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.path.unlink(missing_ok=True)


def _joined(parts: list[bytes]) -> list[bytes]:
    """Return many small parts as one, which costs less to write; large ones go to the disk as they are."""
    if len(parts) > _MOST_PARTS or sum(map(len, parts)) < len(parts) * _LARGE_PART:
        return [b"".join(parts)]
    return parts
