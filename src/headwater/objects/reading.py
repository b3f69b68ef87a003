"""Verified reads: no byte leaves the store that was not checked against its digest."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import CorruptError

from .chunks import Chunk, parse_list
from .values import CHUNKED, Location

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .store import ObjectStore

_REMOTE_AHEAD = 6
_LISTS = 64  # chunk lists kept, newest first: a scan of one file asks for the same list again and again


class Reader:
    """Reads entries of the store's packs, verifies them, and puts chunks together."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lists: dict[bytes, list[Chunk]] = {}

    def read(self, digest: bytes, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from ``start`` to ``end`` of an object; beyond its end there are none."""
        location = self._store.locate(digest)
        stop = location.size if end is None else min(end, location.size)
        if location.kind != CHUNKED:
            data = self.entry(digest, location)
            return data if start == 0 and stop == len(data) else data[start:stop]
        return b"".join(self.blocks(digest, location, start, stop))

    def blocks(self, digest: bytes, location: Location, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield verified pieces of an object in order, a few read ahead where a network is between."""
        stop = location.size if end is None else end
        if location.kind != CHUNKED:
            yield self.entry(digest, location)[start:stop]
            return
        wanted = [
            chunk for chunk in self.chunks(digest, location) if chunk.start < stop and chunk.start + chunk.size > start
        ]
        for chunk, data in self._ahead(wanted):
            first, last = max(start - chunk.start, 0), min(stop - chunk.start, chunk.size)
            yield data if last - first == chunk.size else data[first:last]

    def _ahead(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, bytes]]:
        if not self._store.backend.remote:
            for chunk in chunks:
                yield chunk, self.entry(chunk.digest)
            return
        waiting: deque[tuple[Chunk, Future[bytes]]] = deque()
        located = self._store.locate_many([chunk.digest for chunk in chunks])
        for chunk in chunks:
            waiting.append((chunk, self._store.pool.submit(self.entry, chunk.digest, located[chunk.digest])))
            if len(waiting) >= _REMOTE_AHEAD:
                first, data = waiting.popleft()
                yield first, data.result()
        while waiting:
            first, data = waiting.popleft()
            yield first, data.result()

    def entry(self, digest: bytes, location: Location | None = None) -> bytes:
        """Return an entry's own bytes, verified: the object, or its chunk list.

        A mismatch may come from a stale index, so the pack's footer is asked before the bytes are called corrupt.

        Raises:
            CorruptError: the bytes are not what the digest says.
        """
        found = location or self._store.locate(digest)
        data = self._store.read_entry(digest, found)
        if matches(digest, found, data):
            return data
        again = self._store.relocate(digest, found)
        if again is not None:
            data = self._store.read_entry(digest, again)
            if matches(digest, again, data):
                return data
        self._store.found_damaged(digest, again or found)
        raise corrupt(digest, again or found)

    def chunks(self, digest: bytes, location: Location) -> list[Chunk]:
        """Return the chunks of a large object, in order."""
        kept = self._lists.get(digest)
        if kept is None:
            kept = parse_list(self.entry(digest, location))
            if sum(chunk.size for chunk in kept) != location.size:
                raise corrupt(digest, location)
            while len(self._lists) >= _LISTS:
                self._lists.pop(next(iter(self._lists)), None)
            self._lists[digest] = kept
        return kept


def matches(digest: bytes, location: Location, data: bytes | memoryview) -> bool:
    """Tell whether an entry's bytes are what its digest (or its list's) says."""
    from blake3 import blake3

    return blake3(data).digest() == (location.check or digest)


def corrupt(digest: bytes, location: Location) -> CorruptError:
    """Return the error for an entry whose bytes do not have its digest."""
    return CorruptError(
        f"object {digest.hex()} is damaged: its {location.length} bytes at {location.offset} of pack {location.pack} "
        "are not what its digest says. Put the same bytes again ('hw data add') and it is whole again, or bring the "
        "pack back from a backup; 'hw verify' tells what else is damaged.",
        digest=digest.hex(),
        pack=location.pack,
    )


class ObjectFile(io.RawIOBase):
    """An object as a seekable binary file; each chunk is verified before a byte of it is seen."""

    def __init__(self, reader: Reader, digest: bytes, location: Location) -> None:
        super().__init__()
        self._reader = reader
        self._digest = digest
        self._location = location
        self._at = 0
        self._block = b""
        self._block_start = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._location.size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the start of the object")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._at >= self._location.size or not view:
            return 0
        if not self._block_start <= self._at < self._block_start + len(self._block):
            self._load()
        offset = self._at - self._block_start
        piece = self._block[offset : offset + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _load(self) -> None:
        """Read the chunk in which the position lies."""
        if self._location.kind != CHUNKED:
            self._block, self._block_start = self._reader.entry(self._digest, self._location), 0
            return
        chunks = self._reader.chunks(self._digest, self._location)
        chunk = chunks[bisect_right(chunks, self._at, key=lambda each: each.start) - 1]
        self._block, self._block_start = self._reader.entry(chunk.digest), chunk.start
