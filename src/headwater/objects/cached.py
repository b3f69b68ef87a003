"""The shared cache of materialised files: read-only, verified when made, never the store's own bytes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from headwater.durable import disk_error

from . import spool

# Files of the cache carry this time of modification. Whoever writes through a hard link changes it, and the
# file is made anew; so a changed file is found by the look that finds it at all.
STAMP_NS = 946_684_800 * 10**9  # 2000-01-01


class FileCache:
    """``files/ab/<digest>``, mode 0444, one file per object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "files"
        self._making = folder / "making"
        self._swept = False

    def path(self, digest: str) -> Path:
        """Return where the file of an object is, or would be."""
        return self._folder / digest[:2] / digest

    def holds(self, digest: str, size: int) -> bool:
        """Tell whether the file is there as it was made; one that somebody changed is removed."""
        path = self.path(digest)
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        untouched = status.st_mtime_ns == STAMP_NS and status.st_size == size and not status.st_mode & 0o222
        if not untouched:
            path.unlink(missing_ok=True)
        return untouched

    def make(self, digest: str, blocks: Iterable[bytes]) -> Path:
        """Write the file from verified blocks, all at once for those who look.

        Raises:
            StorageError: the disk is full.
        """
        path = self.path(digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file, temporary = spool.create(self._swept_folder())
            try:
                _write(file, blocks)
                os.fchmod(file, 0o444)
                os.utime(file, ns=(STAMP_NS, STAMP_NS))
                os.replace(temporary, path)
            finally:
                os.close(file)
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, path) from error
        return path

    def _swept_folder(self) -> Path:
        if not self._swept:
            self._making.mkdir(parents=True, exist_ok=True)
            spool.sweep(self._making)
            self._swept = True
        return self._making


def place_link(source: Path, target: Path) -> None:
    """Make ``target`` a hard link of a cached file, replacing what is there; a read-only copy where links cannot go.

    Raises:
        StorageError: the target's folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:  # another file system, or as many links as a file may have
                shutil.copyfile(source, temporary)
                os.chmod(temporary, 0o444)
            os.replace(temporary, target)
    except OSError as error:
        raise disk_error(error, target) from error


def place_copy(target: Path, blocks: Iterable[bytes]) -> None:
    """Write ``target`` as the user's own file, replacing what is there.

    Raises:
        StorageError: the disk is full, or the target's folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target) as temporary:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                _write(file, blocks)
            finally:
                os.close(file)
            os.replace(temporary, target)
    except OSError as error:
        raise disk_error(error, target) from error


def _write(file: int, blocks: Iterable[bytes]) -> None:
    for block in blocks:
        view = memoryview(block)
        while view:
            view = view[os.write(file, view) :]


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` that is removed afterwards if it is still there."""
    temporary = path.with_name(f".{path.name[:100]}.{os.urandom(6).hex()}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
