"""Reading many objects with few reads: by pack, neighbours together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .backend import PackMissing
from .reading import Reader, matches
from .values import CHUNKED, MIB, Location

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .store import ObjectStore

_READ_BYTES = 8 * MIB
_AHEAD = 4
_Run = list[tuple[bytes, Location]]
_GAP_BYTES = 2**16  # a gap this small is cheaper to read over than a second read


def get_many(store: ObjectStore, reader: Reader, digests: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield each digest once with its verified bytes, in the order of packs and offsets."""
    located = store.locate_many(digests)
    order = sorted(located.items(), key=lambda item: (item[1].pack, item[1].offset))
    return _read(store, reader, order)


def _read(store: ObjectStore, reader: Reader, order: list[tuple[bytes, Location]]) -> Iterator[tuple[str, bytes]]:
    for run, block in _blocks(store, _runs(order)):
        start = run[0][1].offset
        view = memoryview(block)
        for digest, location in run:
            piece = view[location.offset - start :][: location.length]
            if location.kind == CHUNKED or not matches(digest, location, piece):
                yield digest.hex(), reader.read(digest)
            else:
                yield digest.hex(), bytes(piece)


def _blocks(store: ObjectStore, runs: Iterator[_Run]) -> Iterator[tuple[_Run, bytes]]:
    """Yield each run with its bytes, a few read ahead where a network is between."""
    if not store.backend.remote:
        for run in runs:
            yield run, _block(store, run)
        return
    waiting: deque[tuple[_Run, Future[bytes]]] = deque()
    for run in runs:
        waiting.append((run, store.pool.submit(_block, store, run)))
        if len(waiting) > _AHEAD:
            first, block = waiting.popleft()
            yield first, block.result()
    while waiting:
        first, block = waiting.popleft()
        yield first, block.result()


def _block(store: ObjectStore, run: _Run) -> bytes:
    first, last = run[0][1], run[-1][1]
    try:
        return store.backend.read(first.pack, first.offset, last.offset + last.length - first.offset)
    except PackMissing:
        return b""  # the reader finds out, entry by entry, where they are now


def _runs(order: list[tuple[bytes, Location]]) -> Iterator[_Run]:
    run: _Run = []
    for digest, location in order:
        if run:
            first, last = run[0][1], run[-1][1]
            near = location.pack == last.pack and location.offset - (last.offset + last.length) <= _GAP_BYTES
            if not near or location.offset + location.length - first.offset > _READ_BYTES:
                yield run
                run = []
        run.append((digest, location))
    if run:
        yield run
