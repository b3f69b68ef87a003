"""What waits to be sent: records kept durably in a folder until somebody takes them, over crashes of who wrote them.

A file is a row of records, each with its length and CRC-32 before it (little-endian). Whoever writes a file holds a
lock on it, so that others send only what belongs to nobody any longer. A file is removed when all of it was taken;
where a sender dies before, it is sent again, so that who takes records must know those it has.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from headwater.durable import crash_point, disk_error, make_directory, sync_directory, sync_file
from headwater.ids import new_id
from headwater.project.base import utc_now_us

_HEAD = struct.Struct("<II")
_END = ".spool"
_log = logging.getLogger("headwater.serve")


class Spool:
    """The records of one folder, which several processes may share. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._size = 0

    def append(self, record: bytes) -> None:
        """Keep a record; it is durable on return.

        Raises:
            StorageError: the disk is full or not writable; the record is not kept.
        """
        data = _HEAD.pack(len(record), zlib.crc32(record)) + record
        with self._lock:
            try:
                file = self._opened()
                crash_point("spool.append")
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                sync_file(file, "spool.append")
            except OSError as error:
                if self._file is not None:
                    with suppress(OSError):
                        os.ftruncate(self._file, self._size)
                raise disk_error(error, self.folder) from error
            self._size += len(data)

    def send(self, take: Callable[[bytes], None]) -> int:
        """Give every record that is here to ``take``, remove those it took, and return how many that were.

        Files of other processes that still run are left to them. What ``take`` raises ends the sending; what it did
        not take stays.
        """
        with self._sending:
            self._finish()
            taken = 0
            for path in sorted(self.folder.glob(f"*{_END}")):
                taken += self._send_file(path, take)
            return taken

    def close(self) -> None:
        """Let go of the file that is being written; what it holds stays."""
        self._finish()

    def _opened(self) -> int:
        if self._file is None:
            make_directory(self.folder, "spool")
            self._path = self.folder / f"{new_id(utc_now_us())}{_END}"
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._size = 0
            sync_directory(self.folder, "spool")
        return self._file

    def _finish(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _send_file(self, path: Path, take: Callable[[bytes], None]) -> int:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0  # another process sent it
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            count = 0
            for record in read_records(path.read_bytes(), str(path)):
                take(record)
                count += 1
            crash_point("spool.sent")
            path.unlink(missing_ok=True)
            sync_directory(self.folder, "spool")
            return count
        finally:
            os.close(file)


def read_records(data: bytes, name: str) -> Iterator[bytes]:
    """Yield the whole records of a file's bytes; what a crash cut off at the end was never acknowledged."""
    place = 0
    while place < len(data):
        head = data[place : place + _HEAD.size]
        size, crc = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
        record = data[place + _HEAD.size : place + _HEAD.size + size]
        # A record is never empty: zeros, which a crash may leave, would else be records without end.
        if not size or len(record) < size or zlib.crc32(record) != crc:
            _log.warning("%s: %d bytes at its end are no whole record and were left out", name, len(data) - place)
            return
        yield record
        place += _HEAD.size + size
