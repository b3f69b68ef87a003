"""Synced file primitives and crash points: how bytes get onto a local disk and stay there.

Every write, sync, rename and commit on a path that acknowledges something passes a named crash
point. In production a point is one ``if`` on a module variable; the crash harness sets it to
kill the process at the n-th point reached, or to write down the points it passes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from .errors import DiskFullError, StorageError

_at_point: Callable[[str], None] | None = None


class Pace:
    """How quick syncs are lately: while they take under ``slow_s``, blocking an event loop for one costs less than
    handing it to a thread and back; once they take longer, threads do them for ``truce_s`` seconds, or for twenty times
    as long as the slow one took.
    """

    def __init__(self, slow_s: float = 0.002, truce_s: float = 1.0) -> None:
        self._slow_s = slow_s
        self._truce_s = truce_s
        self._usual_s = 0.0
        self._slow_until = float("-inf")

    def quick(self) -> bool:
        """Tell whether a sync is likely to be quick."""
        return time.monotonic() >= self._slow_until

    def took(self, seconds: float) -> None:
        """Take in how long one took."""
        self._usual_s += (seconds - self._usual_s) / 8
        if self._usual_s > self._slow_s:
            self._slow_until, self._usual_s = time.monotonic() + max(self._truce_s, 20 * seconds), 0.0


def on_crash_point(action: Callable[[str], None] | None) -> None:
    """Call ``action`` with the name of each crash point reached from now on; None stops it."""
    global _at_point
    _at_point = action


def crash_point(name: str) -> None:
    """Mark a place where losing power must lose nothing acknowledged."""
    if _at_point is not None:
        _at_point(name)


def sync_file(descriptor: int, name: str) -> None:
    """Force a file's bytes to the disk; the crash points ``name.sync`` stand before and after."""
    crash_point(f"{name}.sync")
    os.fdatasync(descriptor)
    crash_point(f"{name}.synced")


def sync_directory(folder: Path, name: str) -> None:
    """Force a folder's entries to the disk, so that a file made or renamed in it stays."""
    crash_point(f"{name}.sync_directory")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    crash_point(f"{name}.synced_directory")


def write_new(path: Path, data: bytes | memoryview, name: str) -> bool:
    """Create ``path`` with these bytes, durably and all at once; False when it existed already.

    A reader sees nothing or everything: the bytes go to a temporary file beside it, are synced, and are
    linked to the name, which fails if somebody was first; then the folder is synced.

    Raises:
        StorageError: the disk is full or not writable.
    """
    try:
        make_directory(path.parent, name)
        temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        crash_point(f"{name}.create")
        with open(temporary, "xb", buffering=0) as file:
            try:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) or 0 :]
                crash_point(f"{name}.written")
                sync_file(file.fileno(), name)
                return link_new(temporary, path, name)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, path) from error


def link_new(temporary: Path, path: Path, name: str) -> bool:
    """Give a synced temporary file its name, durably; False when the name was taken."""
    crash_point(f"{name}.link")
    try:
        os.link(temporary, path)
        made = True
    except FileExistsError:
        made = False
    crash_point(f"{name}.linked")
    sync_directory(path.parent, name)
    return made


def make_directory(folder: Path, name: str) -> None:
    """Create a folder and those above it, each entry synced into its parent."""
    missing: list[Path] = []
    walk = folder
    while not walk.exists():
        missing.append(walk)
        walk = walk.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_directory(each.parent, name)


def disk_error(error: OSError, path: Path) -> StorageError:
    """Return the error that tells a person what a failed write means and what to do."""
    import errno

    kind: type[StorageError] = StorageError
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        kind = DiskFullError
        advice = "the disk is full: free space ('hw data collect' shows what Headwater can free), then run it again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "this user may not write there: check the owner and the permissions of the folder"
    else:
        advice = "check the disk, then run it again"
    return kind(f"could not write '{path}': {error.strerror}. Nothing acknowledged is lost; {advice}.", path=str(path))
