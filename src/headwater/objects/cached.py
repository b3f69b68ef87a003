"""The shared cache of materialised files: read-only, verified when made, never the store's own bytes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.durable import disk_error

from . import spool

if TYPE_CHECKING:
    from concurrent.futures import Future

# Files of the cache carry this time of modification. Whoever writes through a hard link changes it, and the
# file is made anew; so a changed file is found by the look that finds it at all.
STAMP_NS = 946_684_800 * 10**9  # 2000-01-01

_WRITERS = 4
_FICLONE = 0x40049409  # the ioctl of Linux that shares a file's blocks
_GROUP_BYTES = 2**20


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
        """Tell whether the file is there as it was made: not changed by somebody since, nor still being written."""
        try:
            status = os.stat(self.path(digest))
        except FileNotFoundError:
            return False
        return status.st_mtime_ns == STAMP_NS and status.st_size == size and not status.st_mode & 0o222

    def lacking(self, sizes: Mapping[str, int]) -> list[str]:
        """Return those of the objects (digest to size in bytes) whose files are not there as they were made."""
        folder, found = str(self._folder), []
        for digest, size in sizes.items():
            try:
                status = os.stat(f"{folder}/{digest[:2]}/{digest}")
            except FileNotFoundError:
                found.append(digest)
                continue
            if status.st_mtime_ns != STAMP_NS or status.st_size != size or status.st_mode & 0o222:
                found.append(digest)
        return found

    def make_many(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write the files of verified objects, several at a time.

        Making a file is the kernel's work, which threads do side by side. Each is written under its own name at
        once; until it carries the time that says so, nobody takes it for whole.

        Raises:
            StorageError: the disk is full, or the cache's folder cannot be written.
        """
        from concurrent.futures import ThreadPoolExecutor

        waiting: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="headwater-cache") as pool:
            for group in batched(objects, _GROUP_BYTES):
                waiting.append(pool.submit(self._make_group, group))
                if len(waiting) > 2 * _WRITERS:
                    waiting.popleft().result()
            for each in waiting:
                each.result()

    def _make_group(self, group: Sequence[tuple[str, bytes]]) -> None:
        for digest, data in group:
            path = f"{self._folder}/{digest[:2]}/{digest}"
            try:
                file = self._create(path)
            except FileExistsError:
                self.make(digest, [data])  # changed by somebody, left by a writer that died, or another's at work
                continue
            except OSError as error:
                raise disk_error(error, Path(path)) from error
            try:
                _write(file, [data])
                os.utime(file, ns=(STAMP_NS, STAMP_NS))
            except OSError as error:
                os.unlink(path)
                raise disk_error(error, Path(path)) from error
            finally:
                os.close(file)

    def _create(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o444)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return os.open(path, flags, 0o444)

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


def batched(objects: Iterable[tuple[str, bytes]], group_bytes: int) -> Iterator[list[tuple[str, bytes]]]:
    """Yield the objects in groups of about so many bytes."""
    group: list[tuple[str, bytes]] = []
    held = 0
    for digest, data in objects:
        group.append((digest, data))
        held += len(data) + 4096  # a file costs something even when it is empty
        if held >= group_bytes:
            yield group
            group, held = [], 0
    if group:
        yield group


def place_link(source: Path, target: Path) -> None:
    """Make ``target`` a hard link of a cached file, replacing what is there; a read-only copy where links cannot go.

    Raises:
        StorageError: the target's folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target) as temporary:
            link_file(str(source), str(temporary))
            os.replace(temporary, target)
    except OSError as error:
        raise disk_error(error, target) from error


def link_file(source: str, target: str) -> None:
    """Make ``target``, which must not exist, a hard link of a cached file; a read-only copy where links cannot go."""
    try:
        os.link(source, target)
    except OSError as error:
        # Another file system, as many links as a file may have, or one that has no links.
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        copy_file(source, target)
        os.chmod(target, 0o444)


def clone_file(source: str, target: str) -> bool:
    """Make ``target``, which must not exist, a file of the user's own; True when it shares its blocks (a reflink).

    Where the file system cannot share blocks, it is a copy.
    """
    import fcntl
    import shutil

    with open(source, "rb") as cached, open(target, "xb") as file:
        try:
            fcntl.ioctl(file.fileno(), _FICLONE, cached.fileno())
            return True
        except OSError:
            shutil.copyfileobj(cached, file, 2**20)
            return False


def copy_file(source: str, target: str) -> None:
    """Make ``target``, which must not exist, a copy of a cached file; the user's own."""
    with open(source, "rb", buffering=0) as cached, open(target, "xb", buffering=0) as file:
        _write(file.fileno(), iter(lambda: cached.read(2**20), b""))


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
