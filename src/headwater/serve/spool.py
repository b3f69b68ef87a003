"""What waits to be sent: records kept durably in a folder until somebody takes them, over crashes of who wrote them.

A file is a row of records, each with its length and CRC-32 before it (little-endian). Whoever writes a file holds a
lock on it, so that others send only what belongs to nobody any longer. A file is removed when all of it was taken;
where a sender dies before, it is sent again, so that who takes records must know those it has. A file that could not be
read whole keeps its bytes under the ending ``.damaged``, and a record that was refused is kept in a ``.refused`` file.
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

from headwater.durable import crash_point, disk_error, make_directory, sync_directory, sync_file, write_new
from headwater.ids import new_id
from headwater.project.base import utc_now_us

_HEAD = struct.Struct("<II")
_END, _DAMAGED, _REFUSED = ".spool", ".damaged", ".refused"

LARGEST_BYTES = 16 << 20
"""A file that has grown beyond this is followed by a new one, so that a sender never holds much in memory."""

_log = logging.getLogger("headwater.serve")


class Spool:
    """The records of one folder, which several processes may share. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._file: int | None = None
        self._size = 0

    def append(self, *records: bytes) -> None:
        """Keep records, with one sync; they are durable on return.

        Raises:
            StorageError: the disk is full or not writable; the records are not acknowledged.
        """
        data = b"".join(map(_framed, records))
        with self._lock:
            try:
                file = self._opened()
                crash_point("spool.append")
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                sync_file(file, "spool.append")
            except OSError as error:
                self._give_up()
                raise disk_error(error, self.folder) from error
            self._size += len(data)
            if self._size > LARGEST_BYTES:
                self._close()

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

    def refuse(self, record: bytes) -> Path:
        """Keep a record that will never be taken in a file of its own, for people to look at; return which.

        Raises:
            StorageError: the disk is full or not writable.
        """
        path = self.folder / f"{new_id(utc_now_us())}{_REFUSED}"
        write_new(path, _framed(record), "spool.refuse")
        return path

    def close(self) -> None:
        """Let go of the file that is being written; what it holds stays."""
        self._finish()

    def _opened(self) -> int:
        while self._file is None:
            make_directory(self.folder, "spool")
            path = self.folder / f"{new_id(utc_now_us())}{_END}"
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                sync_directory(self.folder, "spool")
                # A sender may have found it before it was locked, and removed it as empty: a file without a name
                # keeps nothing.
                named = os.fstat(file).st_nlink > 0
            except OSError:
                os.close(file)
                raise
            if named:
                self._file, self._size = file, 0
            else:
                os.close(file)
        return self._file

    def _finish(self) -> None:
        with self._lock:
            self._close()

    def _give_up(self) -> None:
        """Cut off what a failed write left, and write no more to that file: what came behind would not be read."""
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

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
            if not os.fstat(file).st_nlink:
                return 0  # another process sent it before this one held the lock
            data = path.read_bytes()
            count = place = 0
            for record in read_records(data, str(path)):
                take(record)
                count += 1
                place += _HEAD.size + len(record)
            crash_point("spool.sent")
            if place < len(data):
                # Behind a damaged record there may be whole ones, whose place nobody knows: people can look at them.
                kept = path.rename(path.with_suffix(_DAMAGED))
                _log.error("%s could not be read whole: %d records were sent, it is kept as %s", path, count, kept.name)
            else:
                path.unlink(missing_ok=True)
            sync_directory(self.folder, "spool")
            return count
        finally:
            os.close(file)


def _framed(record: bytes) -> bytes:
    return _HEAD.pack(len(record), zlib.crc32(record)) + record


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
