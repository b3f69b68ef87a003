"""Putting many objects with few writes: gathered, de-duplicated, appended to packs, named when all is durable."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from blake3 import blake3

from headwater.errors import DeniedError, HeadwaterError, InvalidInputError, NotFoundError, StorageError

from . import values
from .chunks import blocks_of, cut_stream, list_bytes
from .lane import Lane
from .values import CHUNKED, MIB, WHOLE_BYTES
from .writer import NewEntry, PackWriter

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from .store import ObjectStore

_GROUP_BYTES = 4 * MIB
_GROUP_ENTRIES = 1000
_FIRST_READ = 2**16
_GROUPS_WAITING = 2  # to be written while the next are read and hashed
_PACKS_AT_ONCE = 2  # sent to a bucket, each in parts of which several are under way


class Batch:
    """A context in which objects are put; when it ends without an exception all of them are durable.

    Left by an exception, the packs that were full and durable by then stay, so that the next try neither writes nor
    sends them again; the rest leaves nothing. ``put`` and ``put_file`` may be called from several threads.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._guard = threading.Lock()
        self._seen: set[bytes] = set()
        self._waiting: list[NewEntry] = []
        self._waiting_bytes = 0
        self._writer: PackWriter | None = None
        self._lane: Lane | None = None
        self._closed: list[tuple[PackWriter, Future[None]]] = []
        self._stager: ThreadPoolExecutor | None = None
        self._over = False

    def put(self, data: bytes) -> str:
        """Put bytes and return their digest; they are durable when the batch has ended."""
        if len(data) > WHOLE_BYTES:
            return self._put_chunked(iter([data[i : i + WHOLE_BYTES] for i in range(0, len(data), WHOLE_BYTES)]))[0]
        digest = blake3(data).digest()
        self._add(NewEntry(digest, data, len(data)))
        return digest.hex()

    def put_file(self, path: Path) -> tuple[str, int]:
        """Put a file's bytes and return their digest and number.

        Raises:
            NotFoundError: there is no such file.
            DeniedError: this user may not read it.
            InvalidInputError: it is a folder.
        """
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(error, path) from error
        try:
            data = os.read(file, _FIRST_READ)
            if more := os.read(file, _FIRST_READ):
                return self._put_read(lambda count: os.read(file, count), data + more)
        except OSError as error:
            raise _unreadable(error, path) from error
        finally:
            os.close(file)
        return self.put(data), len(data)

    def put_stream(self, stream: BinaryIO) -> tuple[str, int]:
        """Put what a binary stream holds from where it stands; return its digest and number of bytes."""
        return self._put_read(stream.read, b"")

    def _put_read(self, read: Callable[[int], bytes], first: bytes) -> tuple[str, int]:
        """Put what ``first`` and the reads after it hold: whole when it is small, else chunk by chunk."""
        parts, held = [first], len(first)
        while held <= WHOLE_BYTES and (more := read(WHOLE_BYTES + 1 - held)):
            parts.append(more)
            held += len(more)
        data = b"".join(parts)
        if held <= WHOLE_BYTES:
            return self.put(data), held
        return self._put_chunked(blocks_of(read, data))

    def _put_chunked(self, blocks: Iterator[bytes]) -> tuple[str, int]:
        whole = blake3()
        chunks: list[tuple[bytes, int]] = []
        for digest, data in cut_stream(blocks, whole, self._store.pool):
            self._add(NewEntry(digest, data, len(data)))
            chunks.append((digest, len(data)))
        size = sum(length for _, length in chunks)
        body = list_bytes(chunks)
        digest = whole.digest()
        self._add(NewEntry(digest, body, size, CHUNKED, blake3(body).digest()))
        return digest.hex(), size

    def _add(self, entry: NewEntry) -> None:
        with self._guard:
            self._require_open()
            if entry.digest in self._seen:
                return
            self._seen.add(entry.digest)
            self._waiting.append(entry)
            self._waiting_bytes += len(entry.body)
            if self._waiting_bytes >= _GROUP_BYTES or len(self._waiting) >= _GROUP_ENTRIES:
                self._write_waiting(more=True)

    def _require_open(self) -> None:
        if self._over:
            raise StorageError("the batch is over (it ended, or a write in it failed): put the objects in a new one.")

    def _write_waiting(self, *, more: bool) -> None:
        """Append what is gathered to the pack, without what the store holds already.

        Where ``more`` is to come, the writing goes on beside it, so that a failure may show one group later.
        """
        if more and self._lane is None:
            self._lane = Lane(_GROUPS_WAITING, "headwater-writing")
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not waiting:
            return
        held = self._store.relied([entry.digest for entry in waiting])
        new = [entry for entry in waiting if entry.digest not in held] if held else waiting
        try:
            start = 0
            while start < len(new):
                start = self._append(new, start)
        except BaseException:
            self._over = True
            raise

    def _append(self, new: list[NewEntry], start: int) -> int:
        """Append from ``start`` what fits the open pack; return where the next one goes on."""
        if self._writer is None:
            self._writer = PackWriter(self._store.backend, self._store.was_dropped)
        room = values.PACK_BYTES - self._writer.size
        end = start
        while end < len(new) and (len(new[end].body) <= room or end == start == len(self._writer.entries)):
            room -= len(new[end].body)
            end += 1
        if end > start:
            parts = self._writer.enter(new[start:end])
            if self._lane is None:
                self._writer.write(parts)
            else:
                self._lane.run(partial(self._writer.write, parts))
        if end < len(new):
            self._close_pack()
        return end

    def _close_pack(self) -> None:
        """Close the open pack and make it durable beside what goes on."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        at_once = _PACKS_AT_ONCE if self._store.backend.remote else 1
        if self._stager is None:
            from concurrent.futures import ThreadPoolExecutor

            self._stager = ThreadPoolExecutor(at_once, thread_name_prefix="headwater-packs")
        try:
            self._wait_for_lane()
            writer.close()
            # At most as many packs wait as are being sent, so that the spool stays bounded; one that failed ends all.
            unfinished = [staged for _, staged in self._closed if not staged.done()]
            if len(unfinished) >= at_once:
                unfinished[0].result()
            for _, staged in self._closed:
                if staged.done():
                    staged.result()
        except BaseException:
            if self._lane is not None:
                self._lane.close()  # nothing may write to the file any more when it is closed
            writer.abandon()
            raise
        self._closed = [each for each in self._closed if not each[1].done()]
        self._closed.append((writer, self._stager.submit(self._keep, writer)))

    def _wait_for_lane(self) -> None:
        if self._lane is not None:
            self._lane.wait()

    def _keep(self, writer: PackWriter) -> None:
        """Make a closed pack durable, name it, and take it into the index."""
        writer.stage()
        writer.publish()
        self._store.made([writer])

    def __enter__(self) -> Self:
        self._store.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            try:
                if kind is None:
                    self._finish()
            finally:
                self._abandon()

    def _finish(self) -> None:
        self._require_open()
        self._write_waiting(more=False)
        self._wait_for_lane()
        writer, self._writer = self._writer, None
        try:
            for _, staged in self._closed:
                staged.result()
            if writer is not None:
                writer.close()
                self._keep(writer)
        finally:
            if writer is not None:
                writer.abandon()

    def _abandon(self) -> None:
        """Let go of everything; what was published stays, the rest leaves nothing."""
        self._over = True
        if self._lane is not None:
            self._lane.close()
        if self._stager is not None:
            self._stager.shutdown(wait=True, cancel_futures=True)
        for writer, _ in self._closed:
            writer.abandon()
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        self._waiting.clear()


def _unreadable(error: OSError, path: Path) -> HeadwaterError:
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"there is no file '{path}': it may have been moved since it was listed.", path=str(path))
    if isinstance(error, PermissionError):
        return DeniedError(f"this user may not read '{path}': check its owner and permissions.", path=str(path))
    if isinstance(error, IsADirectoryError):
        return InvalidInputError(f"'{path}' is a folder: put the files in it one by one.", path=str(path))
    return StorageError(f"could not read '{path}': {error.strerror}; check the disk it is on.", path=str(path))
