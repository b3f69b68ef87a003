"""Objects kept in chunks: the chunk list, and cutting a stream in parallel without holding it whole."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from headwater.errors import CorruptError

from .chunker import STANDARD, WINDOW, Cutter, Cutting, offered_cuts
from .values import BLOCK_BYTES

if TYPE_CHECKING:
    from blake3 import blake3 as Hasher  # noqa: N812  # a class of a lower-case name

_MAGIC = b"HWCHUNKS"
_HEAD = struct.Struct("<8sQ")
_CHUNK = struct.Struct("<32sI")
_AHEAD = 4  # blocks, and chunks, being hashed while the next are read


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

    Boundaries are looked for and chunks hashed in ``pool`` while the next blocks are read; a few blocks are held.
    """
    from blake3 import blake3

    def hashed(chunk: bytes) -> tuple[bytes, bytes]:
        return blake3(chunk).digest(), chunk

    waiting: deque[Future[tuple[bytes, bytes]]] = deque()
    for chunk in _chunks(blocks, whole, pool, cutting):
        waiting.append(pool.submit(hashed, chunk))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _chunks(blocks: Iterator[bytes], whole: Hasher, pool: Executor, cutting: Cutting) -> Iterator[bytes]:
    cutter = Cutter(cutting)
    parts: list[bytes | memoryview] = []
    for block, offered in _offers(blocks, whole, pool, cutting.mean):
        view = memoryview(block)
        last = 0
        for cut in cutter.choose(len(block), offered):
            yield b"".join([*parts, view[last:cut]])
            parts.clear()
            last = cut
        if last < len(block):
            parts.append(view[last:])
    if parts:
        yield b"".join(parts)


def _offers(blocks: Iterator[bytes], whole: Hasher, pool: Executor, mean: int) -> Iterator[tuple[bytes, list[int]]]:
    waiting: deque[tuple[bytes, Future[list[int]], Future[object]]] = deque()
    before = b""
    # The digest of the whole takes its bytes in order: a thread of its own, beside those that look for cuts.
    with ThreadPoolExecutor(1, thread_name_prefix="headwater-digest") as in_order:
        for block in blocks:
            waiting.append(
                (block, pool.submit(offered_cuts, before, block, mean), in_order.submit(whole.update, block))
            )
            before = (before + block)[-(WINDOW - 1) :] if len(block) < WINDOW else block[-(WINDOW - 1) :]
            if len(waiting) > _AHEAD:
                first, offered, hashed = waiting.popleft()
                hashed.result()
                yield first, offered.result()
        while waiting:
            first, offered, hashed = waiting.popleft()
            hashed.result()
            yield first, offered.result()


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
