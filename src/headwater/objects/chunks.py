"""Objects kept in chunks: the chunk list, and cutting a stream in parallel without holding it whole."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from headwater.errors import CorruptError

from .chunker import STANDARD, WINDOW, Cutter, Cutting, offered_cuts
from .lane import Lane
from .values import BLOCK_BYTES

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from blake3 import blake3 as Hasher  # noqa: N812  # a class of a lower-case name

_MAGIC = b"HWCHUNKS"
_HEAD = struct.Struct("<8sQ")
_CHUNK = struct.Struct("<32sI")
_AHEAD = 4  # blocks, and chunks, that wait to be hashed while the next are read


class Chunk(NamedTuple):
    """One piece of a large object: ``size`` bytes from ``start``, an object of its own."""

    digest: bytes
    start: int
    size: int


def list_bytes(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the chunk list of an object: magic, u64 count, then per chunk its digest and its u32 size."""
    rows = [_CHUNK.pack(digest, size) for digest, size in chunks]
    return _HEAD.pack(_MAGIC, len(rows)) + b"".join(rows)


def parse_list(data: bytes) -> list[Chunk]:
    """Return the chunks of a list, in the order of the object.

    Raises:
        CorruptError: the bytes are no chunk list.
    """
    magic, count = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (b"", 0)
    if magic != _MAGIC or len(data) != _HEAD.size + count * _CHUNK.size:
        raise CorruptError("a chunk list does not have the form of one: run 'hw verify'.")
    chunks: list[Chunk] = []
    at = 0
    for digest, size in _CHUNK.iter_unpack(memoryview(data)[_HEAD.size :]):
        chunks.append(Chunk(digest, at, size))
        at += size
    return chunks


def cut_stream(
    blocks: Iterator[bytes], whole: Hasher, pool: Executor, cutting: Cutting = STANDARD
) -> Iterator[tuple[bytes, bytes]]:
    """Yield digest and bytes of each chunk, in order; ``whole`` is updated with all of the stream.

    The digests are taken in other threads while the next blocks are read and cut; a few blocks are held.
    """
    from blake3 import blake3

    def hashed(chunk: bytes) -> tuple[bytes, bytes]:
        return blake3(chunk).digest(), chunk

    waiting: deque[Future[tuple[bytes, bytes]]] = deque()
    # The digest of the whole takes its bytes in order: a thread of its own.
    in_order = Lane(_AHEAD, "headwater-digest")
    try:
        for chunk in _chunks(_told(blocks, whole, in_order), cutting):
            waiting.append(pool.submit(hashed, chunk))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        in_order.wait()
    finally:
        in_order.close()


def _told(blocks: Iterator[bytes], whole: Hasher, in_order: Lane) -> Iterator[bytes]:
    """Yield the blocks, each told to the digest of the whole."""
    for block in blocks:
        in_order.run(partial(_update, whole, block))
        yield block


def _update(whole: Hasher, block: bytes) -> None:
    whole.update(block)


def _chunks(blocks: Iterator[bytes], cutting: Cutting) -> Iterator[bytes]:
    """Yield the chunks of a stream; those that lie in one block are views of it, which nothing copies."""
    cutter = Cutter(cutting)
    parts: list[memoryview] = []
    before = b""
    for block in blocks:
        view = memoryview(block)
        last = 0
        for cut in cutter.choose(len(block), partial(_first_offered, before, block, cutting.mean)):
            yield b"".join([*parts, view[last:cut]]) if parts else cast(bytes, view[last:cut])
            parts.clear()
            last = cut
        if last < len(block):
            parts.append(view[last:])
        before = (before + block)[-(WINDOW - 1) :] if len(block) < WINDOW else block[-(WINDOW - 1) :]
    if parts:
        yield b"".join(parts)


def _first_offered(before: bytes, block: bytes, mean: int, start: int) -> int | None:
    return next(offered_cuts(before, block, mean, start), None)


def blocks_of(read: Callable[[int], bytes], first: bytes = b"") -> Iterator[bytes]:
    """Yield a stream in blocks of about 4 MiB, ``first`` (read already) before the rest."""
    parts, held = ([first], len(first)) if first else ([], 0)
    while True:
        while held < BLOCK_BYTES and (more := read(BLOCK_BYTES - held)):
            parts.append(more)
            held += len(more)
        if not held:
            return
        yield parts[0] if len(parts) == 1 else b"".join(parts)
        parts, held = [], 0
