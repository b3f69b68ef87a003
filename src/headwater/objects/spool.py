"""Files being written: locked by their writer, so that those of a writer that died are told from those in use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

_ABANDONED_S = 60  # older than the moment between making a file and locking it


def create(folder: Path) -> tuple[int, Path]:
    """Make a new file to write to; it counts as in use as long as the descriptor is open."""
    path = folder / f"{os.getpid()}-{os.urandom(8).hex()}.tmp"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor, path


def sweep(folder: Path) -> None:
    """Remove the files of writers that died: a minute old, and locked by nobody."""
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime < _ABANDONED_S:
                continue
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
            finally:
                os.close(descriptor)
